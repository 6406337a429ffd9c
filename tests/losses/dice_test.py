"""The Dice loss against Dice's own formula and scikit-learn's F1."""

import math

import chex
import numpy as np
import pytest
from sklearn import metrics

from apppau_jax import errors
from apppau_jax.losses import dice_loss, tversky_loss


def _binary(seed, shape=(4, 8, 8, 1)):
  rng = np.random.default_rng(seed)
  return (rng.random(shape) < [[[[0.4]]]]).astype(np.float32)


def test_hand_computed():
  # p = 3/4, 1/4 | 3/4, 1/2 over 1, 1 | 0, 0: 1 - 2 * 1 / (9/4 + 2) = 9/17.
  logits = np.float32([math.log(3), -math.log(3), math.log(3), 0])
  mask = np.float32([1, 1, 0, 0])
  actual = dice_loss(logits.reshape(1, 2, 2, 1), mask.reshape(1, 2, 2, 1))
  np.testing.assert_allclose(actual, [9 / 17], rtol=1e-6)


def test_is_one_minus_f1_of_a_confident_prediction():
  prediction, mask = _binary(0), _binary(1)
  expected = [
    1 - metrics.f1_score(y.ravel(), p.ravel()) for p, y in zip(prediction, mask)
  ]
  actual = dice_loss(200 * prediction - 100, mask)
  np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_is_tversky_with_two_halves_and_with_no_others():
  logits = np.random.default_rng(2).normal(0, 2, (4, 8, 8, 1))
  mask = _binary(3)
  for smooth in (1e-6, 1.0):
    p = 1 / (1 + np.exp(-logits))
    both = (p * mask).sum(axis=(1, 2, 3))
    sizes = p.sum(axis=(1, 2, 3)) + mask.sum(axis=(1, 2, 3))
    expected = 1 - (2 * both + 2 * smooth) / (sizes + 2 * smooth)
    halves = {"fp_weight": 0.5, "fn_weight": 0.5, "smooth": smooth}
    for actual in (
      dice_loss(logits, mask, smooth=smooth),
      tversky_loss(logits, mask, **halves),
    ):
      np.testing.assert_allclose(actual, expected, rtol=1e-5)
  assert np.all(
    np.abs(dice_loss(logits, mask) - tversky_loss(logits, mask)) > 0
  )


def test_is_symmetric_between_prediction_and_mask():
  prediction, mask = _binary(4), _binary(5)
  chex.assert_trees_all_close(
    dice_loss(200 * prediction - 100, mask),
    dice_loss(200 * mask - 100, prediction),
    rtol=1e-6,
  )


def test_empty_and_full_masks():
  ones = np.ones((1, 4, 4, 1), np.float32)
  found = dice_loss(1e4 * ones, 0 * ones), dice_loss(-1e4 * ones, 0 * ones)
  np.testing.assert_allclose(found, [[1], [0]], atol=1e-6)
  found = dice_loss(1e4 * ones, ones), dice_loss(-1e4 * ones, ones)
  np.testing.assert_allclose(found, [[0], [1]], atol=1e-6)


def test_smooth_out_of_range():
  with pytest.raises(errors.ConfigError, match="smooth=0"):
    dice_loss(_binary(6), _binary(7), smooth=0)
