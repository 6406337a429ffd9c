"""The overlap and cross-entropy losses against numbers worked out by hand."""

import functools
import math

import jax
import numpy as np
import pytest
from scipy import special, stats
from sklearn import metrics

from apppau_jax import losses

# p = 3/4, 1/4 | 3/4, 1/2 over the mask 1, 1 | 0, 0: TP = 1, FN = 1, FP = 5/4.
SHAPE = (1, 2, 2, 1)
LOGITS = np.log(np.float32([3, 1 / 3, 3, 1])).reshape(SHAPE)
MASK = np.float32([1, 1, 0, 0]).reshape(SHAPE)
ENTROPY = (math.log(4 / 3) + 2 * math.log(4) + math.log(2)) / 4
TVERSKY = 1 - 1 / 2.075  # 1 + 0.3 * 5/4 + 0.7 * 1
XETV = "cross_entropy_tversky"


def _constant(value, shape=(1, 4, 4, 1)):
  return np.full(shape, value, np.float32)


@pytest.mark.parametrize(
  ("name", "options", "expected"),
  [
    ("cross_entropy", {}, ENTROPY),
    ("dice", {}, 9 / 17),
    ("tversky", {}, TVERSKY),
    ("tversky", {"fp_weight": 0.7, "fn_weight": 0.3}, 1 - 1 / 2.175),
    ("tversky", {"fp_weight": 0.5, "fn_weight": 0.5}, 9 / 17),  # Dice
    ("tversky", {"fp_weight": 1, "fn_weight": 1}, 1 - 4 / 13),  # Jaccard
    ("tversky", {"fp_weight": 0, "fn_weight": 1}, 1 - 1 / 2),  # 1 - recall
    ("tversky", {"fp_weight": 1, "fn_weight": 0}, 1 - 4 / 9),  # 1 - precision
    ("tversky", {"fp_weight": 0, "fn_weight": 0}, 0),
    ("tversky", {"smooth": 2}, 1 - 3 / 4.075),
    (XETV, {}, ENTROPY + TVERSKY),
    (XETV, {"cross_entropy_weight": 0}, TVERSKY),
    (XETV, {"tversky_weight": 0}, ENTROPY),
    (
      XETV,
      {"cross_entropy_weight": 0.1, "tversky_weight": 3},
      0.1 * ENTROPY + 3 * TVERSKY,
    ),
    (XETV, {"fp_weight": 0.7, "fn_weight": 0.3}, ENTROPY + 1 - 1 / 2.175),
    (XETV, {"smooth": 2}, ENTROPY + 1 - 3 / 4.075),
  ],
)
def test_four_pixels(name, options, expected):
  actual = losses.LOSSES[name](LOGITS, MASK, **options)
  np.testing.assert_allclose(actual, [expected], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
  ("name", "logit", "lung", "expected"),
  [
    ("tversky", 1e4, 1, 0),
    ("tversky", -1e4, 1, 1),
    ("tversky", -1e4, 0, 0),
    ("tversky", 1e4, 0, 1),
    ("tversky", 0, 0, 1),
    ("tversky", 0, 1, 1 - 1 / 1.7),  # 1 - 8 / (8 + 0.7 * 8)
    ("tversky", -1e4, 0.5, 1),
    ("tversky", 1e4, 0.5, 1 - 1 / 1.3),  # 1 - 8 / (8 + 0.3 * 8)
    ("dice", 1e4, 0, 1),
    ("dice", -1e4, 0, 0),
    ("dice", 1e4, 1, 0),
    ("dice", -1e4, 1, 1),
    ("cross_entropy", 0, 0, math.log(2)),
    ("cross_entropy", 50, 1, math.exp(-50)),
    ("cross_entropy", 50, 0, 50),
    ("cross_entropy", -1e4, 1, 1e4),
    ("cross_entropy", 1e4, 1, 0),
    ("cross_entropy", 1e4, 0.25, 7500),
    (XETV, 100, 1, 0),
  ],
)
def test_limits(name, logit, lung, expected):
  actual = losses.LOSSES[name](_constant(logit), _constant(lung))
  np.testing.assert_allclose(actual, [expected], rtol=1e-6, atol=1e-6)


def test_weights_apply_to_each_example_and_structure_separately():
  logits = np.concatenate([LOGITS, -LOGITS], axis=0)
  logits = np.concatenate([logits, _constant(30, logits.shape)], axis=-1)
  mask = np.concatenate([MASK, MASK], axis=0)
  mask = np.concatenate([mask, np.ones_like(mask)], axis=-1)
  # -LOGITS: p = 1/4, 3/4 | 1/4, 1/2: TP = 1, FN = 1, FP = 3/4; second: perfect.
  expected = [TVERSKY / 2, (1 - 1 / 1.925) / 2]
  actual = losses.tversky_loss(logits, mask)
  np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_a_missed_pixel_costs_more_than_an_invented_one_by_default():
  mask = _constant(0)
  mask[0, :2] = 1
  missed, invented = 40 * (2 * mask - 1), 40 * (2 * mask - 1)
  missed[0, 0, 0] *= -1
  invented[0, 3, 0] *= -1
  for logits, expected in ((missed, 0.7 / 7.7), (invented, 0.3 / 8.3)):
    actual = losses.tversky_loss(logits, mask)
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_smooth_decides_the_value_for_an_empty_mask():
  logits = _constant(-1e4)
  logits[0, 0, 0, 0] = 1e4  # one invented pixel: 0.3 / (0.3 + smooth)
  actual = losses.tversky_loss(logits, _constant(0), smooth=0.1)
  np.testing.assert_allclose(actual, [0.75], rtol=1e-6)


def test_nearly_perfect_masks_keep_their_digits():
  # One minus the ratio would round 16 pixels of 1 - p = 2e-9 to zero.
  ones = _constant(1)
  value, slope = jax.value_and_grad(lambda s: losses.tversky_loss(s, ones)[0])(
    _constant(20)
  )
  np.testing.assert_allclose(value, 0.7 * math.exp(-20), rtol=1e-5)
  np.testing.assert_allclose(slope, -0.7 * math.exp(-20) / 16, rtol=1e-5)


def test_dice_is_one_minus_f1_and_symmetric():
  rng = np.random.default_rng(0)
  a, b = (rng.random((2, 4, 8, 8, 1)) < 0.4).astype(np.float32)
  f1 = [metrics.f1_score(y.ravel(), p.ravel()) for p, y in zip(a, b)]
  for prediction, mask in ((a, b), (b, a)):
    actual = losses.dice_loss(200 * prediction - 100, mask)
    np.testing.assert_allclose(actual, 1 - np.array(f1), rtol=1e-5)


def test_cross_entropy_is_the_log_loss_of_every_example():
  rng = np.random.default_rng(0)
  logits = rng.normal(0, 2, (3, 5, 4, 2))
  mask = (rng.random(logits.shape) < 0.5).astype(np.uint8)
  expected = [
    metrics.log_loss(y.ravel(), special.expit(s).ravel())
    for s, y in zip(logits, mask)
  ]
  actual = losses.cross_entropy_loss(logits, mask)
  np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_cross_entropy_of_a_soft_mask_is_least_at_the_mask():
  logits = np.linspace(-3, 3, 601, dtype=np.float32).reshape(-1, 1, 1, 1)
  values = losses.cross_entropy_loss(logits, np.full_like(logits, 0.3))
  best = special.expit(logits[np.argmin(values), 0, 0, 0])
  np.testing.assert_allclose(best, 0.3, atol=2e-3)
  entropy = stats.bernoulli(0.3).entropy()
  np.testing.assert_allclose(np.min(values), entropy, rtol=1e-4)


@pytest.mark.parametrize("name", ["tversky", XETV, "kl_tversky"])
@pytest.mark.parametrize("option", ["fp_weight", "fn_weight", "smooth"])
@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf])
def test_tversky_options_out_of_range(name, option, value):
  loss = functools.partial(losses.LOSSES[name], **{option: value})
  with pytest.raises(ValueError, match=f"{option}={value}"):
    loss(LOGITS, MASK)


@pytest.mark.parametrize("name", ["tversky", "dice"])
def test_smooth_of_zero_would_divide_by_zero(name):
  with pytest.raises(ValueError, match="smooth=0"):
    losses.LOSSES[name](LOGITS, MASK, smooth=0)
