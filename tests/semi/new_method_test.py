"""A new method is one class and one line (docs/how_to/add_method.md)."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from apppau_jax import semi
from apppau_jax.experiment import step
from apppau_jax.semi.method import Method, Student
from apppau_jax.training import loop
from configs import appau_phantom

PLAN = loop.Plan(steps=10, steps_per_epoch=5, log_every=5, eval_every=5)


@dataclasses.dataclass(frozen=True, kw_only=True)
class EntropyMinimisation(Method):
  """Confident predictions, Grandvalet and Bengio 2004. There is no teacher."""

  threshold: float = 0.95  # config.consistency.threshold; surer pixels rest

  def views(self, key, image, *, labelled, predict, student):
    return self.strong_view(key, image, image, labelled=labelled)[0]

  def loss(self, student: Student, views: Any) -> jax.Array:
    logits = student(views).logits
    p = jax.nn.sigmoid(logits)
    entropy = -p * jax.nn.log_sigmoid(logits)
    entropy -= (1 - p) * jax.nn.log_sigmoid(-logits)
    unsure = jnp.maximum(p, 1 - p) < self.threshold
    return jnp.mean(entropy * unsure, axis=(1, 2, 3))


def test_its_loss_is_the_entropy_of_unsure_pixels():
  logits = np.random.default_rng(0).normal(0, 3, (2, 4, 4, 1))
  p = special.expit(logits)
  entropy = -p * np.log(p) - (1 - p) * np.log(1 - p)
  expected = (entropy * (np.maximum(p, 1 - p) < 0.9)).mean(axis=(1, 2, 3))
  method = EntropyMinimisation(strong_view=lambda *a, **k: a, threshold=0.9)

  def student(image):
    return dataclasses.make_dataclass("Output", ["logits"])(image)

  found = method.loss(student, jnp.float32(logits))
  np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_configuration_chooses_it_and_sets_its_fields(monkeypatch):
  monkeypatch.setitem(semi.METHODS, "entropy", EntropyMinimisation)
  config = appau_phantom.get_config()
  config.consistency.name, config.consistency.threshold = "entropy", 0.8
  chosen = step.semi_supervision(config, PLAN)
  assert chosen is not None
  assert isinstance(chosen.method, EntropyMinimisation)
  assert chosen.method.threshold == 0.8
  assert float(chosen.weight(jnp.int32(10))) == pytest.approx(1.0)
