"""What the configuration makes of the views of unlabelled images."""

import jax
import numpy as np
import pytest

from apppau_jax.experiment import objectives
from apppau_jax.training import loop
from configs import appau_montgomery

PLAN = loop.Plan(steps=10, steps_per_epoch=5, log_every=5, eval_every=5)


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
