"""Two views agree: NumPy in float64, hand values, the teacher stands still."""

import functools
import math

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl.testing import parameterized
from jax import test_util
from scipy import special

from apppau_jax.losses import consistency

SHAPE = (3, 4, 5, 2)
RNG = np.random.default_rng(0)
LOGITS = np.float32(RNG.normal(0, 3, SHAPE))
TEACHER = np.float32(RNG.beta(0.3, 0.3, SHAPE))  # Mostly sure.


# The oracle: float64, one example and one pixel at a time.
def _mean_teacher(logits, teacher):
  gap = special.expit(np.float64(logits)) - np.float64(teacher)
  return np.array([np.vdot(g, g) / g.size for g in gap])


def _pseudo_label(logits, teacher, *, threshold=0.95):
  totals = []
  for s, q in zip(np.float64(logits), np.float64(teacher)):
    pixels = list(zip(special.expit(s).ravel(), q.ravel()))
    lung = [-math.log(p) for p, q in pixels if q >= threshold]
    none = [-math.log1p(-p) for p, q in pixels if q <= 1 - threshold]
    totals.append((sum(lung) + sum(none)) / len(pixels))
  return np.array(totals)


lax_pseudo_label = functools.partial(
  consistency.pseudo_label_loss, threshold=0.7
)
CASES = [
  ("mean_teacher", consistency.mean_teacher_loss, _mean_teacher),
  ("pseudo_label", consistency.pseudo_label_loss, _pseudo_label),
  (
    "pseudo_label_lax",
    lax_pseudo_label,
    functools.partial(_pseudo_label, threshold=0.7),
  ),
]
every_loss = pytest.mark.parametrize(
  "loss", [case[1] for case in CASES], ids=[case[0] for case in CASES]
)


def test_two_devices_so_that_the_pmap_variants_run():
  assert jax.device_count() >= 2
  names = [name for name in dir(VariantsTest) if "pmap" in name]
  assert len(names) == len(CASES) + 1


class VariantsTest(chex.TestCase):
  @chex.all_variants
  @parameterized.named_parameters(CASES)
  def test_oracle(self, loss, oracle):
    expected = oracle(LOGITS, TEACHER)
    assert np.all(expected > 0.05)  # Some pixels are sure in every example.
    actual = self.variant(loss)(LOGITS, TEACHER)
    chex.assert_shape(actual, SHAPE[:1])
    chex.assert_type(actual, jnp.float32)
    np.testing.assert_allclose(actual, expected, rtol=2e-5, atol=1e-6)

  @chex.all_variants
  def test_ramp_up(self):
    ramp = self.variant(functools.partial(consistency.ramp_up, steps=40))
    np.testing.assert_allclose(
      ramp(np.int32(10)), math.exp(-5 * 0.75**2), rtol=1e-6
    )


@every_loss
def test_no_gradient_to_the_teacher(loss):
  def total(logits, teacher):
    return loss(logits, teacher).sum()

  to_student, to_teacher = jax.jit(jax.grad(total, argnums=(0, 1)))(
    LOGITS, TEACHER
  )
  assert np.any(to_student)
  assert not np.any(to_teacher)


def test_numerical_gradients():
  with jax.enable_x64(True):
    teacher = jnp.float64(TEACHER)
    test_util.check_grads(
      jax.jit(lambda s: [case[1](s, teacher) for case in CASES]),
      (jnp.float64(LOGITS),),
      order=1,
      modes=("rev",),
    )


@every_loss
def test_value_and_gradient_are_finite_at_saturation(loss):
  @jax.jit
  def both(logits, teacher):
    return jax.value_and_grad(lambda s: loss(s, teacher).sum())(logits)

  for level in (50, 1e4):
    for teacher in (TEACHER, np.round(TEACHER)):  # right and wrong
      value, gradient = both(np.float32(level * np.sign(LOGITS)), teacher)
      chex.assert_tree_all_finite((value, gradient))
      assert value > 0


@every_loss
def test_no_operand_is_stretched_to_fit(loss):
  for bad in (TEACHER[..., :1], TEACHER[:1], TEACHER[..., 0]):
    with pytest.raises(AssertionError):
      loss(LOGITS, bad)


@every_loss
def test_an_example_does_not_see_its_neighbour(loss):
  logits, teacher = LOGITS.copy(), TEACHER.copy()
  logits[1], teacher[1] = -logits[1], 1 - teacher[1] / 2
  before, after = loss(LOGITS, TEACHER), loss(logits, teacher)
  assert np.equal(before, after).tolist() == [True, False, True]


def test_mean_teacher_by_hand():
  # Student 3/4, 1/4; teacher 1/4, 1/4.
  logits = np.float32([math.log(3), -math.log(3)]).reshape(1, 1, 2, 1)
  teacher = np.full((1, 1, 2, 1), 0.25, np.float32)
  actual = consistency.mean_teacher_loss(logits, teacher)
  np.testing.assert_allclose(actual, [1 / 8], rtol=1e-6)


def _pixels(*teacher, threshold):
  """The loss at p = 3/4 of one pixel for each of the teacher's answers."""
  teacher = np.float32(teacher).reshape(-1, 1, 1, 1)
  logits = np.full_like(teacher, math.log(3))
  loss = consistency.pseudo_label_loss(logits, teacher, threshold=threshold)
  return np.asarray(loss)


@pytest.mark.parametrize("threshold", [0.75, 0.95, 0.8])
def test_exactly_at_the_threshold_counts(threshold):
  edge = np.float32(threshold)
  below = np.nextafter(edge, np.float32(0))
  above = np.nextafter(edge, np.float32(1))
  np.testing.assert_allclose(
    _pixels(edge, above, below, threshold=threshold),
    [math.log(4 / 3), math.log(4 / 3), 0],
    rtol=1e-6,
  )
  # The same edge on the side of "no lung".
  np.testing.assert_allclose(
    _pixels(1 - above, 1 - below - 1e-6, 1 - edge + 1e-4, threshold=threshold),
    [math.log(4), math.log(4), 0],
    rtol=1e-6,
  )


def test_a_threshold_of_a_half_takes_every_pixel():
  np.testing.assert_allclose(
    _pixels(0.5, 0.51, 0.49, threshold=0.5),
    [math.log(4 / 3), math.log(4 / 3), math.log(4)],
    rtol=1e-6,
  )


def test_unsure_pixels_still_divide():
  teacher = np.float32([1, 0.6, 0.5, 0.3]).reshape(1, 2, 2, 1)
  loss = consistency.pseudo_label_loss(np.zeros_like(teacher), teacher)
  np.testing.assert_allclose(loss, [math.log(2) / 4], rtol=1e-6)


def test_where_nothing_is_sure_there_is_no_loss_and_no_gradient():
  teacher = np.full(SHAPE, 0.9, np.float32)

  def total(logits):
    return consistency.pseudo_label_loss(logits, teacher).sum()

  value, gradient = jax.jit(jax.value_and_grad(total))(1e4 * LOGITS)
  assert float(value) == 0.0
  assert not np.any(gradient)


def test_ramp_up_in_closed_form():
  steps = 40
  for t in range(0, 3 * steps, 5):
    expected = math.exp(-5 * max(0, 1 - t / steps) ** 2)
    actual = consistency.ramp_up(jnp.int32(t), steps=steps)
    assert float(actual) == pytest.approx(expected, rel=1e-5)
  assert float(consistency.ramp_up(0, steps=steps)) == pytest.approx(
    math.exp(-5)
  )
  assert float(consistency.ramp_up(steps, steps=steps)) == 1.0
  assert float(consistency.ramp_up(10**6, steps=steps)) == 1.0


def test_no_ramp():
  for t in (0, 1, 7):
    ramp = consistency.ramp_up(t, steps=0)
    assert ramp.shape == ()
    assert float(ramp) == 1.0


class ClassesTest(chex.TestCase):
  @chex.all_variants
  def test_opinions_on_the_classes(self):
    """Hand values: the last logit does not count, agreement costs nothing."""
    third = math.log(3.0)
    student = np.float32([[third, 0, 9], [0, 0, 0], [-4, 4, 1], [60, -60, 0]])
    teacher = np.float32([[0, 0, 2], [5, 5, -3], [-3, 5, 0], [-60, 60, 0]])
    loss = self.variant(consistency.class_consistency_loss)(student, teacher)
    np.testing.assert_allclose(loss, [0.125, 0.0, 0.0, 2.0], atol=1e-6)


def test_classes_no_gradient_to_the_teacher():
  student, teacher = np.float32(RNG.normal(0, 1, (2, 5, 4)))
  to_student, to_teacher = jax.grad(
    lambda a, b: consistency.class_consistency_loss(a, b).sum(), argnums=(0, 1)
  )(student, teacher)
  assert np.all(to_student[:, :-1] != 0)
  assert not np.any(to_student[:, -1])
  assert not np.any(to_teacher)
