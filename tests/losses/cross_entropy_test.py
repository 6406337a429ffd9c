"""Cross-entropy against hand-computed values and scikit-learn's log loss."""

import math

import jax
import numpy as np
import pytest
from scipy import special, stats
from sklearn import metrics

from apppau_jax.losses import cross_entropy_loss


def _constant(value, shape=(1, 4, 4, 1)):
  return np.full(shape, value, np.float32)


def test_hand_computed():
  # p = 3/4, 1/4 | 3/4, 1/2 over 1, 1 | 0, 0.
  logits = np.float32([math.log(3), -math.log(3), math.log(3), 0])
  mask = np.float32([1, 1, 0, 0])
  actual = cross_entropy_loss(
    logits.reshape(1, 2, 2, 1), mask.reshape(1, 2, 2, 1)
  )
  expected = (math.log(4 / 3) + 2 * math.log(4) + math.log(2)) / 4
  np.testing.assert_allclose(actual, [expected], rtol=1e-6)


def test_is_the_log_loss_of_every_example_and_structure():
  rng = np.random.default_rng(0)
  logits = rng.normal(0, 2, (3, 5, 4, 2))
  mask = (rng.random(logits.shape) < 0.5).astype(np.uint8)
  expected = [
    metrics.log_loss(y.ravel(), special.expit(s).ravel())
    for s, y in zip(logits, mask)
  ]
  actual = cross_entropy_loss(logits, mask)
  np.testing.assert_allclose(actual, expected, rtol=1e-5)


@pytest.mark.parametrize(
  ("logit", "lung", "expected"),
  [
    (0, 0, math.log(2)),
    (0, 1, math.log(2)),
    (50, 1, math.exp(-50)),
    (50, 0, 50),
    (-50, 1, 50),
    (-50, 0, math.exp(-50)),
    (1e4, 0, 1e4),
    (-1e4, 1, 1e4),
    (1e4, 1, 0),
    (-1e4, 0, 0),
    (1e4, 0.25, 7500),
  ],
)
def test_limits(logit, lung, expected):
  actual = cross_entropy_loss(_constant(logit), _constant(lung))
  np.testing.assert_allclose(actual, [expected], rtol=1e-6)


def test_a_soft_mask_is_fitted_by_itself():
  lung = 0.3
  logits = np.linspace(-3, 3, 601, dtype=np.float32).reshape(-1, 1, 1, 1)
  values = cross_entropy_loss(logits, np.full_like(logits, lung))
  best = special.expit(logits[np.argmin(values), 0, 0, 0])
  np.testing.assert_allclose(best, lung, atol=2e-3)
  entropy = stats.bernoulli(lung).entropy()
  np.testing.assert_allclose(np.min(values), entropy, rtol=1e-4)


def test_gradient_is_the_error_over_the_number_of_pixels():
  logits = np.random.default_rng(1).normal(0, 30, (2, 4, 4, 1))
  mask = (logits > 10).astype(np.float32)
  gradient = jax.jit(jax.grad(lambda s: cross_entropy_loss(s, mask).sum()))(
    np.float32(logits)
  )
  expected = (special.expit(logits) - mask) / 16
  np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-8)
