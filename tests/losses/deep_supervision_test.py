"""Deep supervision, eq. (1): targets, weights, order, and the sum."""

import functools
import math

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special
from skimage import measure

from apppau_jax import losses
from apppau_jax.losses import deep_supervision

SIZES = ((2, 3), (4, 6), (8, 12), (16, 24))
DOUBLING = (1 / 15, 2 / 15, 4 / 15, 8 / 15)
shrink = deep_supervision.side_targets
total = losses.deep_supervision_loss


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


def _expected(side_logits, mask, *, weights=DOUBLING, side_target="hard"):
  """Cross-entropy over block means of scikit-image, in float64."""
  value = 0
  for weight, logits in zip(weights, side_logits):
    factor = mask.shape[1] // logits.shape[1]
    blocks = (1, factor, factor, 1)
    y = measure.block_reduce(np.float64(mask), blocks, np.mean)
    if side_target == "hard":
      y = np.where(y < 0.5, 0.0, 1.0)
    p = special.expit(np.float64(logits))
    pixels = special.xlogy(y, p) + special.xlogy(1 - y, 1 - p)
    value = value - weight * pixels.mean(axis=(1, 2, 3))
  return value


@pytest.mark.parametrize("run", [lambda f: f, jax.jit])
@pytest.mark.parametrize(
  "options", [{}, {"side_target": "soft", "weights": (3.0, 0.0, 0.5, 1.0)}]
)
def test_is_the_weighted_sum(options, run):
  loss = functools.partial(total, loss_fn=losses.cross_entropy_loss, **options)
  side_logits, mask = _example()
  actual = run(loss)(side_logits, mask)
  chex.assert_type(actual, jnp.float32)
  expected = _expected(side_logits, mask, **options)
  np.testing.assert_allclose(actual, expected, rtol=1e-5)


@pytest.mark.parametrize(
  ("values", "weights", "expected"),
  [
    ((7,), None, 7),
    ((1, 10), None, (1 + 2 * 10) / 3),
    ((1, 10, 100, 1000), None, 8421 / 15),
    ((1, 10, 100, 1000), (5, 6, 0, 1), 1065),
  ],
)
def test_weights_follow_the_order_coarse_to_fine(values, weights, expected):
  side_logits = [
    np.full((2, 2**i, 2**i, 1), value, np.float32)
    for i, value in enumerate(values)
  ]
  mask = np.zeros(side_logits[-1].shape, np.uint8)
  actual = total(side_logits, mask, loss_fn=_mean_logit, weights=weights)
  np.testing.assert_allclose(actual, [expected] * 2, rtol=1e-6)


@pytest.mark.parametrize("side_target", ["hard", "soft"])
def test_one_output_is_the_plain_loss_even_of_a_soft_mask(side_target):
  side_logits, mask = _example()
  mask = 0.05 + 0.9 * mask
  actual = total(
    side_logits[-1:], mask, loss_fn=losses.dice_loss, side_target=side_target
  )
  chex.assert_trees_all_equal(actual, losses.dice_loss(side_logits[-1], mask))


def test_targets_by_hand():
  mask = np.array([[1, 1, 0, 1], [1, 0, 0, 0], [0, 1, 0, 0], [1, 0, 0, 0]])
  sizes = [(1, 1), (2, 2), (4, 2), (4, 4)]
  halves = [[1, 0.5], [0.5, 0], [0.5, 0], [0.5, 0]]
  expected = {
    "soft": [[[6 / 16]], [[0.75, 0.25], [0.5, 0]], halves, mask],
    # A tie is lung.
    "hard": [[[0]], [[1, 0], [1, 0]], np.ceil(halves), mask],
  }
  for side_target, targets in expected.items():
    found = shrink(mask[None, ..., None], sizes, side_target=side_target)
    for a, b in zip(found, targets, strict=True):
      np.testing.assert_array_equal(a[0, ..., 0], b)


@pytest.mark.parametrize("factor", [2, 3, 14])
def test_a_tie_is_lung_for_every_factor(factor):
  count = factor * factor
  lungs = np.array([(count + 1) // 2, (count - 1) // 2])
  mask = (np.arange(count) < lungs[:, None]).astype(np.uint8)
  (target,) = shrink(mask.reshape(2, factor, factor, 1), [(1, 1)])
  np.testing.assert_array_equal(target.ravel(), [1, 0])


def test_averages_instead_of_striding():
  # Nothing lies on the points of the stride, yet three quarters are lung.
  mask = np.ones((1, 8, 8, 1), np.uint8)
  mask[:, ::2, ::2] = 0
  (target,) = shrink(mask, [(4, 4)])
  np.testing.assert_array_equal(target, np.ones((1, 4, 4, 1)))


@pytest.mark.parametrize("dtype", ["uint8", "bool", "bfloat16"])
def test_masks_of_any_type_have_float32_targets(dtype):
  _, mask = _example(seed=2)
  targets = shrink(jnp.asarray(mask).astype(dtype), SIZES, side_target="soft")
  chex.assert_type(targets, jnp.float32)
  chex.assert_trees_all_equal(targets, shrink(mask, SIZES, side_target="soft"))


def test_an_empty_mask_is_finite_and_every_output_has_a_gradient():
  side_logits, mask = _example(seed=4)

  @jax.jit
  @jax.value_and_grad
  def value_and_gradient(side_logits):
    return total(side_logits, 0 * mask, loss_fn=losses.kl_tversky_loss).sum()

  value, gradient = value_and_gradient([1e4 * s for s in side_logits])
  chex.assert_tree_all_finite((value, gradient))
  assert all(np.any(side != 0) for side in gradient)


@pytest.mark.parametrize("size", [(5, 24), (16, 5), (32, 24)])
def test_sizes_that_do_not_divide_are_refused(size):
  with pytest.raises(ValueError, match=f"{size[0]} x {size[1]} .*16 x 24"):
    shrink(_example()[1], [size])


def test_unusable_arguments_are_refused():
  side_logits, mask = _example()
  call = functools.partial(total, loss_fn=losses.dice_loss)
  with pytest.raises(ValueError, match="finest last"):
    call(side_logits[::-1], mask)
  with pytest.raises(ValueError, match="at least one"):
    call([], mask)
  with pytest.raises(ValueError, match=r"'hard'.*'soft'"):
    call(side_logits, mask, side_target="nearest")
  bad = [(1, 1, 1), (), (1,) * 5, (1, 1, 1, -1), (0,) * 4, (1, 1, 1, math.nan)]
  for weights in bad:
    with pytest.raises(ValueError, match="4 side output"):
      call(side_logits, mask, weights=weights)


def test_disagreeing_operands_are_refused():
  side_logits, mask = _example()
  call = functools.partial(total, loss_fn=_mean_logit)
  for bad in (mask[:1], mask[..., :1], mask[..., 0]):
    with pytest.raises(AssertionError):
      jax.eval_shape(call, side_logits, bad)
  with pytest.raises(AssertionError):  # an array instead of a sequence of them
    jax.eval_shape(call, side_logits[-1], mask)
  with pytest.raises(AssertionError):  # a scalar instead of one per example
    total(side_logits, mask, loss_fn=lambda s, y: jnp.mean((s - y) ** 2))
