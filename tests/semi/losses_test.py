"""The losses of the methods: NumPy in float64 and hand values."""

import functools
import math

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import test_util
from scipy import optimize, special

from apppau_jax import semi

SHAPE = (3, 4, 5, 2)
RNG = np.random.default_rng(0)
LOGITS = np.float32(RNG.normal(0, 3, SHAPE))
TEACHER = np.float32(RNG.beta(0.3, 0.3, SHAPE))  # mostly confident
CERTAIN = np.float32(RNG.random(SHAPE) < 0.6)


# The oracle: float64, one example and one pixel at a time.
def _mean_teacher(logits, teacher):
  gap = special.expit(np.float64(logits)) - np.float64(teacher)
  return np.array([np.vdot(g, g) / g.size for g in gap])


def _pseudo_label(logits, teacher, *, threshold):
  totals = []
  for s, q in zip(np.float64(logits), np.float64(teacher)):
    pixels = list(zip(special.expit(s).ravel(), q.ravel()))
    lung = [-math.log(p) for p, q in pixels if q >= threshold]
    none = [-math.log1p(-p) for p, q in pixels if q <= 1 - threshold]
    totals.append((sum(lung) + sum(none)) / len(pixels))
  return np.array(totals)


def _certain(logits, teacher):
  gap = special.expit(np.float64(logits)) - np.float64(teacher)
  return np.array([(g[c > 0] ** 2).mean() for g, c in zip(gap, CERTAIN)])


CASES = {
  "certain_mean_teacher": (
    lambda s, q: semi.certain_mean_teacher_loss(s, q, CERTAIN),
    _certain,
  ),
  "mean_teacher": (semi.mean_teacher_loss, _mean_teacher),
  **{
    f"pseudo_label_{threshold}": (
      functools.partial(semi.pseudo_label_loss, threshold=threshold),
      functools.partial(_pseudo_label, threshold=threshold),
    )
    for threshold in (0.95, 0.7)
  },
}
every_loss = pytest.mark.parametrize("name", CASES)


@every_loss
def test_values_are_the_oracles(name):
  loss, oracle = CASES[name]
  expected = oracle(LOGITS, TEACHER)
  assert np.all(expected > 0.05)  # some pixels are confident in every example
  actual = jax.jit(loss)(LOGITS, TEACHER)
  chex.assert_shape(actual, SHAPE[:1])
  np.testing.assert_allclose(actual, expected, rtol=2e-5, atol=1e-6)


@every_loss
def test_no_gradient_to_the_teacher(name):
  loss, _ = CASES[name]
  to_student, to_teacher = jax.grad(
    lambda s, q: loss(s, q).sum(), argnums=(0, 1)
  )(LOGITS, TEACHER)
  assert np.any(to_student)
  assert not np.any(to_teacher)


def test_numerical_gradients():
  with jax.enable_x64(True):
    teacher = jnp.float64(TEACHER)
    test_util.check_grads(
      jax.jit(lambda s: [loss(s, teacher) for loss, _ in CASES.values()]),
      (jnp.float64(LOGITS),),
      order=1,
      modes=("rev",),
    )


@every_loss
def test_value_and_gradient_are_finite_at_saturation(name):
  loss, _ = CASES[name]
  both = jax.value_and_grad(lambda s, q: loss(s, q).sum())
  for level in (50, 1e4):
    for teacher in (TEACHER, np.round(TEACHER)):  # right and wrong
      value, gradient = both(np.float32(level * np.sign(LOGITS)), teacher)
      chex.assert_tree_all_finite((value, gradient))
      assert value > 0


@every_loss
def test_other_shapes_are_refused(name):
  loss, _ = CASES[name]
  for bad in (TEACHER[..., :1], TEACHER[:1], TEACHER[..., 0]):
    with pytest.raises(AssertionError):
      loss(LOGITS, bad)


def _pixels(*teacher, threshold):
  """The loss at p = 3/4 of one pixel for each probability of the teacher."""
  teacher = np.float32(teacher).reshape(-1, 1, 1, 1)
  logits = np.full_like(teacher, math.log(3))
  return np.asarray(
    semi.pseudo_label_loss(logits, teacher, threshold=threshold)
  )


@pytest.mark.parametrize("threshold", [0.75, 0.95])
def test_exactly_at_the_threshold_counts(threshold):
  edge = np.float32(threshold)
  below = np.nextafter(edge, np.float32(0))
  above = np.nextafter(edge, np.float32(1))
  np.testing.assert_allclose(
    _pixels(edge, above, below, 1 - above, 1 - edge + 1e-4, threshold=edge),
    [math.log(4 / 3), math.log(4 / 3), 0, math.log(4), 0],
    rtol=1e-6,
  )


def test_a_threshold_of_a_half_takes_every_pixel():
  np.testing.assert_allclose(
    _pixels(0.5, 0.51, 0.49, threshold=0.5),
    [math.log(4 / 3), math.log(4 / 3), math.log(4)],
    rtol=1e-6,
  )


def test_pixels_are_certain_by_the_entropy_of_the_mean():
  """0.75 log 2 is the entropy at a probability of 0.2145 (SciPy's root)."""
  edge = optimize.brentq(
    lambda p: -p * math.log(p) - (1 - p) * math.log1p(-p) - 0.75 * math.log(2),
    1e-3,
    0.5,
  )
  mean = np.array([0.0, edge - 1e-3, edge + 1e-3, 0.5, 1 - edge + 1e-3, 1.0])
  spread = np.minimum(mean, 1 - mean) / 2  # the copies differ, the mean counts
  probs = np.float32([mean - spread, mean + spread]).reshape(2, 1, 1, -1, 1)
  found = semi.uncertainty_mean_teacher.certain_pixels(probs)
  assert np.ravel(found).tolist() == [1, 1, 0, 0, 1, 1]


def test_an_image_without_certain_pixels_has_no_loss():
  none = np.zeros_like(CERTAIN)
  loss = semi.certain_mean_teacher_loss(LOGITS, TEACHER, none)
  assert not np.any(loss)
