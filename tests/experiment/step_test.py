"""The training step that a configuration describes."""

import dataclasses

import jax
import numpy as np
import pytest

from apppau_jax import semi
from apppau_jax.errors import ConfigError
from apppau_jax.experiment import networks, step
from apppau_jax.losses import tversky_loss
from apppau_jax.training import loop
from configs import appau_montgomery

PLAN = loop.Plan(steps=10, steps_per_epoch=5, log_every=5, eval_every=5)


@pytest.fixture
def config():
  config = appau_montgomery.get_config()
  config.data.class_names = ("normal", "tuberculosis")
  return config


@pytest.mark.parametrize("mixed", ["unlabelled", "labelled"])
def test_boxes_come_from_the_configured_images(config, mixed):
  settings = config.consistency
  for key in ("gamma", "contrast", "brightness", "noise"):
    settings[key] = 0.0
  settings.cutmix, settings.cutmix_with = 1.0, mixed
  shape = (8, 32, 32, 1)
  image, prob = np.full(shape, 0.2, np.float32), np.full(shape, 0.6, np.float32)
  labelled = (np.full(shape, 0.7, np.float32), np.ones(shape, np.float32))
  method = step.semi_supervision(config, PLAN).method
  view, target = method.strong_view(
    jax.random.key(0), image, prob, labelled=labelled
  )
  pasted = np.asarray(view) == np.float32(0.7)
  assert pasted.any(axis=(1, 2, 3)).all() == (mixed == "labelled")
  np.testing.assert_array_equal(target, np.where(pasted, 1.0, prob))


@pytest.mark.parametrize("name", semi.METHODS)
def test_a_method_gets_the_settings_of_its_fields(config, name):
  config.consistency.name = name
  config.consistency.threshold = 0.8
  config.consistency.teacher = "student"
  config.consistency.weight, config.consistency.ramp_up = 2.0, 0.5
  found = step.semi_supervision(config, PLAN)
  assert isinstance(found.method, semi.METHODS[name])
  for field in {f.name for f in dataclasses.fields(found.method)}:
    if field != "strong_view":
      assert getattr(found.method, field) == config.consistency[field]
  assert float(found.weight(5)) == 2.0
  assert 0 < float(found.weight(1)) < 2.0
  state = jax.eval_shape(lambda: networks.init(config, PLAN))
  assert step.training_step(config, PLAN).segmentors == tuple(
    name for name in state.players if name != "discriminator"
  )


def test_a_loss_gets_the_settings_of_its_parameters(config):
  config.loss.name, config.loss.fp_weight = "tversky", 0.9
  config.model.preset = "unet"
  objective = step.training_step(config, PLAN).objective
  rng = np.random.default_rng(0)
  logits = np.float32(rng.normal(size=(2, 8, 8, 1)))
  mask = np.float32(rng.random(logits.shape) < 0.5)
  value, _ = objective([logits], mask, has_mask=np.ones(2, bool))
  expected = tversky_loss(
    logits, mask, fp_weight=0.9, fn_weight=config.loss.fn_weight
  )
  assert float(value) == pytest.approx(float(expected.mean()), rel=1e-6)


def test_side_weights_must_be_as_many_as_side_outputs(config):
  config.loss.side_weights = (1.0, 2.0)
  objective = step.training_step(config, PLAN).objective
  image = np.zeros((1, 4, 4, 1), np.float32)
  with pytest.raises(ConfigError, match="side_weights"):
    objective([image], image, has_mask=np.ones(1, bool))
