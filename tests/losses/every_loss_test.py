"""What holds for every loss, under every way of running it."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl.testing import parameterized
from jax import test_util
from scipy import special

from apppau_jax import losses

# The oracle: float64, from probabilities, one structure of one image at a time.


def _tversky(p, y, *, alpha, beta, smooth=1e-6):
  overlap = np.vdot(y, p)
  fp, fn = p.sum() - overlap, y.sum() - overlap
  return 1 - (overlap + smooth) / (overlap + alpha * fp + beta * fn + smooth)


def _dice(p, y, smooth=1e-6):
  return 1 - 2 * (np.vdot(y, p) + smooth) / (p.sum() + y.sum() + 2 * smooth)


def _entropy(p, y):
  own = special.entr(y) + special.entr(1 - y)
  return np.mean(own + special.rel_entr(y, p) + special.rel_entr(1 - y, 1 - p))


def _jeffreys(p, y, *, channels, eps=1e-3):
  y = np.clip(y, eps, 1 - eps)
  both_ways = special.rel_entr(y, p) + special.rel_entr(p, y)
  if channels == "both":
    both_ways += special.rel_entr(1 - y, 1 - p)
    both_ways += special.rel_entr(1 - p, 1 - y)
  return np.mean(both_ways)


CASES = {
  "tversky": (
    losses.tversky_loss,
    functools.partial(_tversky, alpha=0.3, beta=0.7),
  ),
  "tversky_reweighed": (
    functools.partial(
      losses.tversky_loss, fp_weight=1.5, fn_weight=0.2, smooth=2.0
    ),
    functools.partial(_tversky, alpha=1.5, beta=0.2, smooth=2.0),
  ),
  "dice": (losses.dice_loss, _dice),
  "dice_smooth": (
    functools.partial(losses.dice_loss, smooth=3.0),
    functools.partial(_dice, smooth=3.0),
  ),
  "cross_entropy": (losses.cross_entropy_loss, _entropy),
  "kl_both": (
    losses.kl_divergence_loss,
    functools.partial(_jeffreys, channels="both"),
  ),
  "kl_roi": (
    functools.partial(losses.kl_divergence_loss, channels="roi", eps=1e-7),
    functools.partial(_jeffreys, channels="roi", eps=1e-7),
  ),
  "kl_tversky": (
    losses.kl_tversky_loss,
    lambda p, y: (
      0.2 * _jeffreys(p, y, channels="both")
      + _tversky(p, y, alpha=0.3, beta=0.7)
    ),
  ),
  "kl_tversky_roi": (
    functools.partial(
      losses.kl_tversky_loss,
      kl_weight=0.5,
      tversky_weight=3.0,
      fp_weight=0.4,
      fn_weight=0.9,
      channels="roi",
      eps=0.05,
      smooth=0.5,
    ),
    lambda p, y: (
      0.5 * _jeffreys(p, y, channels="roi", eps=0.05)
      + 3 * _tversky(p, y, alpha=0.4, beta=0.9, smooth=0.5)
    ),
  ),
  "cross_entropy_tversky": (
    losses.cross_entropy_tversky_loss,
    lambda p, y: _entropy(p, y) + _tversky(p, y, alpha=0.3, beta=0.7),
  ),
  "cross_entropy_tversky_reweighed": (
    functools.partial(
      losses.cross_entropy_tversky_loss,
      cross_entropy_weight=0.1,
      tversky_weight=2.0,
      fp_weight=0.8,
      fn_weight=0.6,
      smooth=0.5,
    ),
    lambda p, y: (
      0.1 * _entropy(p, y) + 2 * _tversky(p, y, alpha=0.8, beta=0.6, smooth=0.5)
    ),
  ),
}
NAMED = [(name, *case) for name, case in CASES.items()]
every_loss = pytest.mark.parametrize("loss", [c[1] for c in NAMED], ids=CASES)


def _expected(oracle, logits, mask):
  """The oracle on every structure, then the mean over structures, `[b]`."""
  probs = special.expit(np.float64(logits))
  mask = np.float64(mask)
  channels = range(mask.shape[-1])
  return np.array(
    [np.mean([oracle(p[..., k], y[..., k]) for k in channels])
     for p, y in zip(probs, mask)]
  )  # fmt: skip


def _example(seed=0, shape=(5, 6, 4, 2)):
  """Binary masks, then a soft, an empty and a full one."""
  rng = np.random.default_rng(seed)
  mask = (rng.random(shape) < 0.4).astype(np.float32)
  mask[2] = rng.random(shape[1:])
  mask[3], mask[4] = 0, 1
  return rng.normal(0, 3, shape).astype(np.float32), mask


def test_two_devices_so_that_the_pmap_variants_run():
  assert jax.device_count() >= 2
  names = [name for name in dir(VariantsTest) if "pmap" in name]
  assert len(names) == len(CASES)


class VariantsTest(chex.TestCase):
  @chex.all_variants
  @parameterized.named_parameters(NAMED)
  def test_oracle(self, loss, oracle):
    logits, mask = _example()
    actual = self.variant(loss)(logits, mask)
    chex.assert_shape(actual, (5,))
    chex.assert_type(actual, jnp.float32)
    np.testing.assert_allclose(
      actual, _expected(oracle, logits, mask), rtol=2e-5, atol=1e-6
    )


@pytest.mark.parametrize(("loss", "oracle"), CASES.values(), ids=CASES)
def test_oracle_to_many_digits_in_float64(loss, oracle):
  logits, mask = _example(seed=1)
  with jax.enable_x64(True):
    actual = loss(np.float64(logits), mask)
  assert actual.dtype == np.float64
  np.testing.assert_allclose(
    actual, _expected(oracle, logits, mask), rtol=1e-9, atol=1e-12
  )


# Not jitted: the losses share their operations, which compile once that way.
@every_loss
def test_numerical_gradients(loss):
  logits, mask = _example(seed=2, shape=(5, 2, 2, 2))
  with jax.enable_x64(True):
    test_util.check_grads(
      lambda s: loss(s, np.float64(mask)),
      (jnp.float64(logits),),
      order=1,
      modes=("rev",),
    )


@every_loss
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("level", [50, 1e4])
def test_value_and_gradient_are_finite_at_saturation(loss, dtype, level):
  logits, mask = _example()
  logits = jnp.asarray(level * np.sign(logits), dtype)  # right and wrong
  value, pullback = jax.vjp(lambda s: loss(s, mask), logits)
  (gradient,) = pullback(jnp.ones_like(value))
  chex.assert_tree_all_finite((value, gradient))
  chex.assert_type([value, gradient], [jnp.float32, jnp.dtype(dtype)])
  assert np.all(value >= 0)


@every_loss
def test_bfloat16_logits_are_computed_in_float32(loss):
  logits, mask = _example(seed=3, shape=(5, 32, 32, 2))
  rough = jnp.asarray(logits, jnp.bfloat16)
  chex.assert_trees_all_equal(
    loss(rough, mask), loss(rough.astype(jnp.float32), mask)
  )


@every_loss
@pytest.mark.parametrize("dtype", ["uint8", "bool", "int32", "bfloat16"])
def test_binary_masks_of_any_type(loss, dtype):
  logits, mask = _example(seed=4)
  mask = np.round(mask)
  typed = jnp.asarray(mask).astype(dtype)
  chex.assert_trees_all_equal(loss(logits, typed), loss(logits, mask))


@every_loss
def test_confidently_right_costs_little_and_wrong_costs_more(loss):
  mask = np.round(_example(seed=5)[1])
  right = loss(np.float32(6.5) * (2 * mask - 1), mask)
  wrong = loss(np.float32(-6.5) * (2 * mask - 1), mask)
  binary = slice(0, 3)  # With no lung at all the overlap is undecided.
  assert np.all(right[binary] < 0.1)  # p stops short of eps = 0.05
  assert np.all(wrong[binary] > 0.5)


@every_loss
def test_no_operand_is_stretched_to_fit(loss):
  logits, mask = _example()
  for bad in (mask[..., :1], mask[:1], mask[:, :1], mask[..., 0], mask[:4]):
    with pytest.raises(AssertionError):
      loss(logits, bad)
    with pytest.raises(AssertionError):
      jax.jit(loss).trace(logits, bad)
  with pytest.raises(AssertionError):
    loss(logits[..., 0], mask[..., 0])
