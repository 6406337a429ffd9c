"""What the configuration makes of the views of unlabelled images."""

import jax
import numpy as np
import optax
import pytest

from apppau_jax.experiment import objectives
from apppau_jax.training import loop
from configs import appau_montgomery

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
  known = (image, (prob > 0.5).astype(np.float32))
  seen, _ = objectives.consistent(config, PLAN).disturb(key, image, prob, known)
  darker = image - np.asarray(seen)
  assert (darker.max(axis=(1, 2, 3)) > 0.05).all()
  assert darker[:, :20, 4:28].max() == 0.0
  adversary = objectives.adversary(config, PLAN, optax.sgd(0.1))
  np.testing.assert_array_equal(adversary.agree.disturb(key, image), image)


@pytest.mark.parametrize("mixed", ["unlabelled", "labelled"])
def test_who_gives_the_box(mixed):
  config = appau_montgomery.get_config()
  rooms = config.consistency
  rooms.gamma = rooms.contrast = rooms.brightness = rooms.noise = 0.0
  rooms.cutmix, rooms.cutmix_with = 1.0, mixed
  shape = (8, 32, 32, 1)
  image, prob = np.full(shape, 0.2, np.float32), np.full(shape, 0.6, np.float32)
  known = (np.full(shape, 0.7, np.float32), np.ones(shape, np.float32))
  seen, true = objectives.consistent(config, PLAN).disturb(
    jax.random.key(0), image, prob, known
  )
  drawn = np.asarray(seen) == np.float32(0.7)
  assert drawn.any(axis=(1, 2, 3)).all() == (mixed == "labelled")
  np.testing.assert_array_equal(true, np.where(drawn, 1.0, prob))
