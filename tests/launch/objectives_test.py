"""What the configuration makes of the views of unlabelled images."""

import jax
import numpy as np
import optax

from apppau_jax.training import loop
from configs import appau_montgomery
from launch.assemble import objectives

PLAN = loop.Plan(steps=10, steps_per_epoch=5, log_every=5, eval_every=5)


def test_gas_is_drawn_for_s_below_its_masks_and_for_d_not_at_all():
  config = appau_montgomery.get_config()
  config.data.class_names = ("normal", "tuberculosis")
  rooms = config.consistency
  rooms.gas = 1.0
  rooms.gamma = rooms.contrast = rooms.brightness = rooms.noise = 0.0
  rooms.cutmix = 0.0
  image = np.full((8, 32, 32, 1), 0.8, np.float32)
  prob = np.zeros_like(image)
  image[:, 4:20, 4:28] = 0.2
  prob[:, 4:20, 4:28] = 0.9
  key = jax.random.key(0)
  seen, _ = objectives.consistent(config, PLAN).disturb(key, image, prob)
  darker = image - np.asarray(seen)
  assert (darker.max(axis=(1, 2, 3)) > 0.05).all()
  assert darker[:, :20, 4:28].max() == 0.0
  adversary = objectives.adversary(config, PLAN, optax.sgd(0.1))
  np.testing.assert_array_equal(adversary.agree.disturb(key, image), image)
