"""Deep supervision, eq. (1): targets, weights, order, and the sum."""

import functools
import math

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl.testing import parameterized
from scipy import special
from skimage import measure

from apppau_jax.losses import (
  cross_entropy_loss,
  deep_supervision,
  dice_loss,
  kl_tversky_loss,
)

SIZES = ((2, 3), (4, 6), (8, 12), (16, 24))


def _example(seed=0, structures=2):
  rng = np.random.default_rng(seed)
  mask = (rng.random((3, 16, 24, structures)) < 0.5).astype(np.float32)
  side_logits = [
    rng.normal(0, 2, (3, *size, structures)).astype(np.float32)
    for size in SIZES
  ]
  return side_logits, mask


def _mean_logit(logits, mask):
  del mask
  return jnp.mean(logits, axis=(1, 2, 3))


def _constants(*values, batch=1):
  return [
    np.full((batch, 2**i, 2**i, 1), value, np.float32)
    for i, value in enumerate(values)
  ]


def _expected(side_logits, mask, *, weights, side_target):
  """Cross-entropy over block means of scikit-image, in float64."""
  total = 0
  for weight, logits in zip(weights, side_logits):
    factor = mask.shape[1] // logits.shape[1]
    blocks = (1, factor, factor, 1)
    y = measure.block_reduce(np.float64(mask), blocks, np.mean)
    if side_target == "hard":
      y = np.where(y < 0.5, 0.0, 1.0)
    p = special.expit(np.float64(logits))
    pixels = special.xlogy(y, p) + special.xlogy(1 - y, 1 - p)
    total = total - weight * pixels.mean(axis=(1, 2, 3))
  return total


class VariantsTest(chex.TestCase):
  @chex.all_variants
  @parameterized.named_parameters(
    ("default", {}, "hard"),
    (
      "soft",
      {"side_target": "soft", "weights": (3.0, 0.0, 0.5, 1.0)},
      "soft",
    ),
  )
  def test_is_the_weighted_sum(self, options, side_target):
    side_logits, mask = _example()
    loss = functools.partial(
      deep_supervision.deep_supervision_loss,
      loss_fn=cross_entropy_loss,
      **options,
    )
    actual = self.variant(loss)(side_logits, mask)
    chex.assert_type(actual, jnp.float32)
    expected = _expected(
      side_logits,
      mask,
      weights=options.get("weights", [1 / 15, 2 / 15, 4 / 15, 8 / 15]),
      side_target=side_target,
    )
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_two_devices_so_that_the_pmap_variants_run():
  assert jax.device_count() >= 2
  assert sum("pmap" in name for name in dir(VariantsTest)) == 2


@pytest.mark.parametrize(
  ("count", "parts"), [(1, [1]), (2, [1, 2]), (4, [1, 2, 4, 8])]
)
def test_default_weights_double_and_sum_to_one(count, parts):
  weights = deep_supervision.default_weights(count)
  np.testing.assert_allclose(weights, np.array(parts) / sum(parts))


def test_weights_follow_the_order_coarse_to_fine():
  side_logits = _constants(1, 10, 100, 1000, batch=2)
  mask = np.zeros((2, 8, 8, 1), np.uint8)
  total = functools.partial(
    deep_supervision.deep_supervision_loss, loss_fn=_mean_logit
  )
  actual = jax.jit(total)(side_logits, mask)
  np.testing.assert_allclose(actual, [8421 / 15] * 2, rtol=1e-6)
  total = functools.partial(total, weights=(5, 6, 0, 1))
  actual = jax.jit(total)(side_logits, mask)
  np.testing.assert_allclose(actual, [1065] * 2, rtol=1e-6)


def test_one_output_is_the_plain_loss_even_of_a_soft_mask():
  side_logits, mask = _example()
  mask = 0.05 + 0.9 * mask
  for loss_fn in (dice_loss, kl_tversky_loss):
    for side_target in ("hard", "soft"):
      actual = deep_supervision.deep_supervision_loss(
        side_logits[-1:], mask, loss_fn=loss_fn, side_target=side_target
      )
      chex.assert_trees_all_equal(actual, loss_fn(side_logits[-1], mask))


def test_targets_by_hand():
  mask = np.array(
    [
      [1, 1, 0, 1],
      [1, 0, 0, 0],
      [0, 1, 0, 0],
      [1, 0, 0, 0],
    ]
  ).reshape(1, 4, 4, 1)
  sizes = [(1, 1), (2, 2), (4, 2), (4, 4)]
  soft = deep_supervision.side_targets(mask, sizes, side_target="soft")
  hard = deep_supervision.side_targets(mask, sizes)
  halves = [[1, 0.5], [0.5, 0], [0.5, 0], [0.5, 0]]
  for actual, expected in zip(
    soft, [[[6 / 16]], [[0.75, 0.25], [0.5, 0]], halves, mask[0, ..., 0]]
  ):
    np.testing.assert_array_equal(actual[0, ..., 0], expected)
  # A tie is lung.
  for actual, expected in zip(
    hard, [[[0]], [[1, 0], [1, 0]], np.ceil(halves), mask[0, ..., 0]]
  ):
    np.testing.assert_array_equal(actual[0, ..., 0], expected)


@pytest.mark.parametrize("factor", [2, 3, 14])
def test_a_tie_is_lung_for_every_factor(factor):
  count = factor * factor
  lungs = np.array([(count + 1) // 2, (count - 1) // 2])
  mask = (np.arange(count) < lungs[:, None]).astype(np.uint8)
  mask = mask.reshape(2, factor, factor, 1)
  (target,) = deep_supervision.side_targets(mask, [(1, 1)])
  np.testing.assert_array_equal(target.ravel(), [1, 0])


def test_averages_instead_of_striding():
  # Nothing lies on the points of the stride, yet three quarters are lung.
  mask = np.ones((1, 8, 8, 1), np.uint8)
  mask[:, ::2, ::2] = 0
  (target,) = deep_supervision.side_targets(mask, [(4, 4)])
  np.testing.assert_array_equal(target, np.ones((1, 4, 4, 1)))


@pytest.mark.parametrize("dtype", ["uint8", "bool", "bfloat16"])
def test_masks_of_any_type_have_float32_targets(dtype):
  _, mask = _example(seed=2)
  typed = jnp.asarray(mask).astype(dtype)
  targets = deep_supervision.side_targets(typed, SIZES, side_target="soft")
  chex.assert_type(targets, jnp.float32)
  chex.assert_trees_all_equal(
    targets, deep_supervision.side_targets(mask, SIZES, side_target="soft")
  )


def test_an_empty_mask_is_finite_and_every_output_has_a_gradient():
  side_logits, mask = _example(seed=4)

  @jax.jit
  @jax.value_and_grad
  def value_and_gradient(side_logits):
    return deep_supervision.deep_supervision_loss(
      side_logits, 0 * mask, loss_fn=kl_tversky_loss
    ).sum()

  value, gradient = value_and_gradient([1e4 * s for s in side_logits])
  chex.assert_tree_all_finite((value, gradient))
  assert all(np.any(side != 0) for side in gradient)


def test_sizes_that_do_not_divide():
  side_logits, mask = _example()
  for size in ((5, 24), (16, 5), (32, 24)):
    with pytest.raises(ValueError, match=f"{size[0]} x {size[1]} .*16 x 24"):
      deep_supervision.side_targets(mask, [size])
  with pytest.raises(ValueError, match="divide"):
    deep_supervision.deep_supervision_loss(
      [side_logits[0][:, :, :2], side_logits[1][:, :3]],
      mask[:, :, :23],
      loss_fn=dice_loss,
    )


def test_outputs_in_the_wrong_order_or_none():
  side_logits, mask = _example()
  with pytest.raises(ValueError, match="finest last"):
    deep_supervision.deep_supervision_loss(
      side_logits[::-1], mask, loss_fn=dice_loss
    )
  with pytest.raises(ValueError, match="at least one"):
    deep_supervision.deep_supervision_loss([], mask, loss_fn=dice_loss)


def test_disagreeing_operands():
  side_logits, mask = _example()
  total = functools.partial(
    deep_supervision.deep_supervision_loss, loss_fn=_mean_logit
  )
  for bad in (mask[:1], mask[..., :1], mask[..., 0]):
    with pytest.raises(AssertionError):
      jax.eval_shape(total, side_logits, bad)
  with pytest.raises(AssertionError):  # an array instead of a sequence of them
    jax.eval_shape(total, side_logits[-1], mask)
  with pytest.raises(AssertionError):
    deep_supervision.deep_supervision_loss(
      side_logits, mask, loss_fn=lambda s, y: jnp.mean((s - y) ** 2)
    )


@pytest.mark.parametrize(
  "weights",
  [(1, 1, 1), (), (1,) * 5, (1, 1, 1, -1), (0,) * 4, (1, 1, 1, math.nan)],
)
def test_weights_that_cannot_be_used(weights):
  side_logits, mask = _example()
  with pytest.raises(ValueError, match="4 side output"):
    deep_supervision.deep_supervision_loss(
      side_logits, mask, loss_fn=dice_loss, weights=weights
    )


def test_unknown_side_target():
  side_logits, mask = _example()
  with pytest.raises(ValueError, match=r"'hard'.*'soft'"):
    deep_supervision.deep_supervision_loss(
      side_logits, mask, loss_fn=dice_loss, side_target="nearest"
    )
