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


def _tversky(p, y, *, fp_weight=0.3, fn_weight=0.7, smooth=1e-6):
  overlap = np.vdot(y, p)
  price = fp_weight * (p.sum() - overlap) + fn_weight * (y.sum() - overlap)
  return 1 - (overlap + smooth) / (overlap + price + smooth)


def _dice(p, y, smooth=1e-6):
  return 1 - 2 * (np.vdot(y, p) + smooth) / (p.sum() + y.sum() + 2 * smooth)


def _entropy(p, y):
  own = special.entr(y) + special.entr(1 - y)
  return np.mean(own + special.rel_entr(y, p) + special.rel_entr(1 - y, 1 - p))


def _jeffreys(p, y, *, kl_channels="both", kl_eps=1e-3):
  y = np.clip(y, kl_eps, 1 - kl_eps)
  both_ways = special.rel_entr(y, p) + special.rel_entr(p, y)
  if kl_channels == "both":
    both_ways += special.rel_entr(1 - y, 1 - p)
    both_ways += special.rel_entr(1 - p, 1 - y)
  return np.mean(both_ways)


def _sum(first, p, y, a, b, **options):
  return a * first(p, y) + b * _tversky(p, y, **options)


def _kl_tversky(p, y, *, kl_weight=0.2, tversky_weight=1, **options):
  own = {k: options.pop(k) for k in ("kl_channels", "kl_eps") if k in options}
  divergence = functools.partial(_jeffreys, **own)
  return _sum(divergence, p, y, kl_weight, tversky_weight, **options)


def _xe_tversky(p, y, *, cross_entropy_weight=1, tversky_weight=1, **options):
  return _sum(_entropy, p, y, cross_entropy_weight, tversky_weight, **options)


ROI = {"kl_channels": "roi", "kl_eps": 1e-7}
PRICES = {"fp_weight": 1.5, "fn_weight": 0.2, "smooth": 0.5}
KL = {"kl_weight": 0.5, "tversky_weight": 3.0, "kl_channels": "roi"}
XE = {"cross_entropy_weight": 0.1, "tversky_weight": 2.0}
TABLE = [
  ("tversky", losses.tversky_loss, _tversky, {}),
  ("tversky_reweighed", losses.tversky_loss, _tversky, PRICES),
  ("dice", losses.dice_loss, _dice, {}),
  ("dice_smooth", losses.dice_loss, _dice, {"smooth": 3.0}),
  ("cross_entropy", losses.cross_entropy_loss, _entropy, {}),
  ("kl_both", losses.kl_divergence_loss, _jeffreys, {}),
  ("kl_roi", losses.kl_divergence_loss, _jeffreys, ROI),
  ("kl_tversky", losses.kl_tversky_loss, _kl_tversky, {}),
  (
    "kl_tversky_roi",
    losses.kl_tversky_loss,
    _kl_tversky,
    {**KL, **PRICES, "kl_eps": 0.05},
  ),
  (
    "cross_entropy_tversky",
    losses.cross_entropy_tversky_loss,
    _xe_tversky,
    {},
  ),
  (
    "cross_entropy_tversky_reweighed",
    losses.cross_entropy_tversky_loss,
    _xe_tversky,
    {**XE, **PRICES},
  ),
]
CASES = {
  name: (
    functools.partial(loss, **options),
    functools.partial(oracle, **options),
  )
  for name, loss, oracle, options in TABLE
}
every_loss = pytest.mark.parametrize(
  "loss", [loss for loss, _ in CASES.values()], ids=CASES
)


def test_every_registered_loss_is_tested():
  assert set(losses.LOSSES) <= set(CASES)


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


# The losses share their reductions: two show what any transformation does.
COMPOUND = [
  (name, *CASES[name]) for name in ("kl_tversky_roi", "cross_entropy_tversky")
]


def test_two_devices_so_that_the_pmap_variants_run():
  assert jax.device_count() >= 2
  assert sum("pmap" in name for name in dir(VariantsTest)) == len(COMPOUND)


class VariantsTest(chex.TestCase):
  @chex.all_variants
  @parameterized.named_parameters(COMPOUND)
  def test_oracle(self, loss, oracle):
    logits, mask = _example()
    actual = self.variant(loss)(logits, mask)
    chex.assert_shape(actual, (5,))
    chex.assert_type(actual, jnp.float32)
    np.testing.assert_allclose(
      actual, _expected(oracle, logits, mask), rtol=2e-5, atol=1e-6
    )


@pytest.mark.parametrize(("loss", "oracle"), CASES.values(), ids=CASES)
def test_oracle_in_float32_and_to_many_digits_in_float64(loss, oracle):
  logits, mask = _example(seed=1)
  np.testing.assert_allclose(
    loss(logits, mask), _expected(oracle, logits, mask), rtol=2e-5, atol=1e-6
  )
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
def test_binary_masks_of_any_type(loss):
  logits, mask = _example(seed=4)
  mask = np.round(mask)
  expected = loss(logits, mask)
  for dtype in ("uint8", "bool", "int32", "bfloat16"):
    chex.assert_trees_all_equal(
      loss(logits, jnp.asarray(mask).astype(dtype)), expected
    )


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
