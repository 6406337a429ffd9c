"""Properties of every loss, for operands that hypothesis draws."""

import chex
import hypothesis
import jax
import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from apppau_jax import losses

SHAPE = (2, 4, 3, 2)


def _kl_roi(logits, mask):
  return losses.kl_divergence_loss(logits, mask, kl_channels="roi")


LOSSES = {
  "tversky": losses.tversky_loss,
  "dice": losses.dice_loss,
  "cross_entropy": losses.cross_entropy_loss,
  "kl_both": losses.kl_divergence_loss,
  "kl_roi": _kl_roi,
  "kl_tversky": losses.kl_tversky_loss,
  "cross_entropy_tversky": losses.cross_entropy_tversky_loss,
}
# Called at one shape: an example that made one compile again would fail.
COMPILED = {
  name: jax.jit(chex.assert_max_traces(loss, n=1))
  for name, loss in LOSSES.items()
}
every_loss = pytest.mark.parametrize("loss", COMPILED.values(), ids=COMPILED)
examples = hypothesis.settings(
  max_examples=25, derandomize=True, deadline=None, database=None
)


def _arrays(low, high, shape=SHAPE):
  elements = st.floats(low, high, width=32, allow_subnormal=False)
  return hnp.arrays(np.float32, shape, elements=elements)


soft_masks = _arrays(0, 1)
binary_masks = hnp.arrays(np.float32, SHAPE, elements=st.sampled_from([0, 1]))
masks = soft_masks | binary_masks
any_logits = _arrays(-1000, 1000)
mild_logits = _arrays(-4, 4)


def _close(actual, expected):
  np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-6)


@every_loss
@examples
@hypothesis.given(any_logits, masks)
def test_is_finite_and_in_range(loss, logits, mask):
  value = loss(logits, mask)
  assert np.all(np.isfinite(value))
  # A product of two rounded zeros may be negative by this much.
  assert np.all(value >= -1e-6)
  if loss in (COMPILED["tversky"], COMPILED["dice"]):
    assert np.all(value <= 1)


@every_loss
@examples
@hypothesis.given(any_logits, masks, st.permutations(range(12)))
def test_the_order_of_pixels_and_examples_does_not_matter(
  loss, logits, mask, order
):
  def moved(x):
    return x.reshape(2, 12, 2)[::-1, order].reshape(SHAPE)

  _close(loss(moved(logits), moved(mask))[::-1], loss(logits, mask))


@every_loss
@examples
@hypothesis.given(any_logits, masks, _arrays(-9, 9, SHAPE[1:]))
def test_examples_are_independent(loss, logits, mask, other):
  other_logits, other_mask = logits.copy(), mask.copy()
  other_logits[1], other_mask[1] = other, 1 - mask[1]
  assert loss(logits, mask)[0] == loss(other_logits, other_mask)[0]


@every_loss
@examples
@hypothesis.given(any_logits, masks)
def test_structures_are_averaged(loss, logits, mask):
  each = [
    loss(*(np.repeat(x[..., k : k + 1], 2, axis=-1) for x in (logits, mask)))
    for k in range(2)
  ]
  _close(loss(logits, mask), np.mean(each, axis=0))


# Within +-6 no pixel has passed its smoothed target, logit(1 - eps) = 6.9.
@every_loss
@examples
@hypothesis.given(mild_logits, binary_masks, _arrays(0, 2))
def test_a_step_towards_the_mask_never_costs(loss, logits, mask, step):
  better = logits + step * (2 * mask - 1)
  assert np.all(loss(better, mask) <= loss(logits, mask) + 1e-6)


@pytest.mark.parametrize("name", ["cross_entropy", "kl_both"])
@examples
@hypothesis.given(any_logits, masks)
def test_structure_and_background_are_treated_alike(name, logits, mask):
  loss = COMPILED[name]
  _close(loss(-logits, 1 - mask), loss(logits, mask))
