"""The Tversky loss against numbers worked out by hand."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from apppau_jax import errors
from apppau_jax.losses import tversky_loss

# p = 3/4, 1/4 | 3/4, 1/2 over the mask 1, 1 | 0, 0: TP = 1, FN = 1, FP = 5/4.
LOGITS = np.float32([math.log(3), -math.log(3), math.log(3), 0]).reshape(
  1, 2, 2, 1
)
MASK = np.float32([1, 1, 0, 0]).reshape(1, 2, 2, 1)


def _constant(value, shape=(1, 8, 8, 1)):
  return np.full(shape, value, np.float32)


@pytest.mark.parametrize(
  ("weights", "expected"),
  [
    ({}, 1 - 1 / 2.075),  # 1 + 0.3 * 5/4 + 0.7 * 1
    ({"fp_weight": 0.7, "fn_weight": 0.3}, 1 - 1 / 2.175),
    ({"fp_weight": 0.5, "fn_weight": 0.5}, 1 - 8 / 17),  # Dice
    ({"fp_weight": 1, "fn_weight": 1}, 1 - 4 / 13),  # Jaccard
    ({"fp_weight": 0, "fn_weight": 1}, 1 - 1 / 2),  # 1 - recall
    ({"fp_weight": 1, "fn_weight": 0}, 1 - 4 / 9),  # 1 - precision
    ({"fp_weight": 0, "fn_weight": 0}, 0),
    ({"smooth": 2}, 1 - 3 / 4.075),
  ],
)
def test_hand_computed(weights, expected):
  np.testing.assert_allclose(
    tversky_loss(LOGITS, MASK, **weights), [expected], rtol=2e-6, atol=1e-6
  )


def test_by_default_a_missed_pixel_costs_more_than_an_invented_one():
  mask = np.zeros((1, 4, 4, 1), np.float32)
  mask[0, :2] = 1
  logits = 40 * (2 * mask - 1)
  missed, invented = logits.copy(), logits.copy()
  missed[0, 0, 0] *= -1
  invented[0, 3, 0] *= -1
  np.testing.assert_allclose(tversky_loss(missed, mask), 0.7 / 7.7, rtol=1e-5)
  np.testing.assert_allclose(tversky_loss(invented, mask), 0.3 / 8.3, rtol=1e-5)


def test_weights_apply_to_each_example_and_structure_alone():
  logits = np.concatenate([LOGITS, -LOGITS], axis=0)
  logits = np.concatenate([logits, _constant(30, logits.shape)], axis=-1)
  mask = np.concatenate([MASK, MASK], axis=0)
  mask = np.concatenate([mask, np.ones_like(mask)], axis=-1)
  # -LOGITS: p = 1/4, 3/4 | 1/4, 1/2: TP = 1, FN = 1, FP = 3/4; second: perfect.
  expected = [(1 - 1 / 2.075) / 2, (1 - 1 / 1.925) / 2]
  np.testing.assert_allclose(tversky_loss(logits, mask), expected, rtol=1e-5)


@pytest.mark.parametrize(
  ("logit", "lung", "expected"),
  [
    (1e4, 1, 0),
    (-1e4, 1, 1),
    (-1e4, 0, 0),
    (1e4, 0, 1),
    (0, 0, 1),
    # Full mask at p = 1/2: 1 - 32 / (32 + 0.7 * 32).
    (0, 1, 1 - 1 / 1.7),
    (-1e4, 0.5, 1),
    # Half a lung everywhere, all predicted: 1 - 32 / (32 + 0.3 * 32).
    (1e4, 0.5, 1 - 1 / 1.3),
  ],
)
def test_limits(logit, lung, expected):
  actual = tversky_loss(_constant(logit), _constant(lung))
  np.testing.assert_allclose(actual, [expected], rtol=1e-6, atol=1e-6)


def test_smooth_decides_the_empty_mask():
  # One pixel is invented: 0.3 / (0.3 + smooth).
  logits = _constant(-1e4)
  logits[0, 0, 0, 0] = 1e4
  actual = tversky_loss(logits, _constant(0), smooth=0.1)
  np.testing.assert_allclose(actual, [0.75], rtol=1e-6)


def test_nearly_perfect_masks_keep_their_digits():
  # One minus the ratio would round 64 pixels of 1 - p = 2e-9 to zero.
  actual = tversky_loss(_constant(20), _constant(1))
  np.testing.assert_allclose(actual, [0.7 * math.exp(-20)], rtol=1e-5)
  gradient = jax.grad(lambda s: tversky_loss(s, _constant(1))[0])(_constant(20))
  np.testing.assert_allclose(gradient, -0.7 * math.exp(-20) / 64, rtol=1e-5)


def test_value_before_training_is_about_that_of_the_cross_entropy():
  # p = 1/2 and a quarter of lung, as in an untrained network: 8/13.
  mask = _constant(0)
  mask[:, :4, :4] = 1
  actual = tversky_loss(_constant(0), mask)
  np.testing.assert_allclose(actual, [8 / 13], rtol=1e-5)


@pytest.mark.parametrize("name", ["fp_weight", "fn_weight", "smooth"])
@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf])
def test_options_out_of_range(name, value):
  with pytest.raises(errors.ConfigError, match=f"{name}={value}"):
    tversky_loss(LOGITS, MASK, **{name: value})


def test_smooth_of_zero_would_divide_by_zero():
  with pytest.raises(errors.ConfigError, match=r"smooth=0.*greater than 0"):
    tversky_loss(jnp.asarray(LOGITS), MASK, smooth=0)
