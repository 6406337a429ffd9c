"""S's objective: labelled examples only, averaged over them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from apppau_jax.losses import cross_entropy, objectives


@pytest.fixture
def batch():
  rng = np.random.default_rng(0)
  coarse = np.float32(rng.normal(size=(4, 4, 4, 1)))
  fine = np.float32(rng.normal(size=(4, 8, 8, 1)))
  mask = np.float32(rng.random((4, 4, 4, 1)) < 0.5).repeat(2, 1).repeat(2, 2)
  return (coarse, fine), mask


def _bce(logits, mask):
  s, y = np.asarray(logits, np.float64), np.asarray(mask, np.float64)
  each = np.log1p(np.exp(-np.abs(s))) + np.maximum(s, 0) - s * y
  return each.mean(axis=(1, 2, 3))


def test_mean_over_the_labelled(batch):
  (coarse, fine), mask = batch
  has_mask = np.array([True, False, True, True])
  loss, terms = objectives.segmentation_objective(
    (coarse, fine),
    mask,
    has_mask=jnp.asarray(has_mask),
    loss_fn=cross_entropy.cross_entropy_loss,
  )
  expected = _bce(coarse, mask[:, ::2, ::2]) / 3 + _bce(fine, mask) * 2 / 3
  assert float(loss) == pytest.approx(expected[has_mask].mean(), rel=1e-5)
  assert float(terms["segmentation"]) == float(loss)


def test_no_gradient_from_the_unlabelled(batch):
  sides, mask = batch

  def loss(sides):
    return objectives.segmentation_objective(
      sides,
      mask,
      has_mask=jnp.array([True, False, True, False]),
      loss_fn=cross_entropy.cross_entropy_loss,
    )[0]

  for gradient in jax.jit(jax.grad(loss))(sides):
    moved = np.abs(gradient).sum(axis=(1, 2, 3)) > 0
    assert moved.tolist() == [True, False, True, False]


def test_nothing_labelled_is_zero_not_nan(batch):
  sides, mask = batch
  loss, _ = objectives.segmentation_objective(
    sides,
    mask,
    has_mask=jnp.zeros(4, bool),
    loss_fn=cross_entropy.cross_entropy_loss,
  )
  assert float(loss) == 0.0


def test_masked_mean_by_hand():
  values, valid = jnp.array([1.0, 5.0, 3.0]), jnp.array([True, False, True])
  assert float(objectives.masked_mean(values, valid)) == 2.0
