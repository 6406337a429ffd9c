"""The terms of the players: SciPy, hand values, the formulae of Salimans."""

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

from apppau_jax.losses import adversarial

RNG = np.random.default_rng(0)
LOGITS = np.float32(RNG.normal(0, 3, (6, 3)))  # n = 2
LABEL = np.array([0, 1, 1, 0, 1, 0])
MASK = np.float32(RNG.random((2, 4, 3, 2)))


# The oracle: float64, from probabilities.
def _probs(logits):
  return special.softmax(np.float64(logits), axis=-1)


def _conditional(logits, label):
  probs = _probs(logits)[:, :-1]
  probs /= probs.sum(axis=-1, keepdims=True)
  return -np.log([p[i] for p, i in zip(probs, label)])


def _literal(logits, label):
  return -np.log([p[i] for p, i in zip(_probs(logits), label)])


def _real(logits):
  return np.log(_probs(logits)[:, :-1].sum(axis=-1))


def _fake(logits):
  return np.log(_probs(logits)[:, -1])


literal_class_loss = functools.partial(
  adversarial.class_loss, conditional=False
)
smooth_mask = functools.partial(adversarial.smooth_mask, smoothing=0.05)

# Name, function, oracle, operands.
CASES = [
  ("fake_log_prob", adversarial.fake_log_prob, _fake, (LOGITS,)),
  ("real_log_prob", adversarial.real_log_prob, _real, (LOGITS,)),
  ("class", adversarial.class_loss, _conditional, (LOGITS, LABEL)),
  ("class_literal", literal_class_loss, _literal, (LOGITS, LABEL)),
  (
    "nonsaturating",
    adversarial.nonsaturating_loss,
    lambda s: -_real(s),
    (LOGITS,),
  ),
  ("saturating", adversarial.saturating_loss, _fake, (LOGITS,)),
  (
    "smooth_mask",
    smooth_mask,
    lambda y: np.float64(y) * 0.9 + (1 - np.float64(y)) * 0 + 0.05,
    (MASK,),
  ),
]


def _label(logits):
  return np.arange(len(logits)) % max(logits.shape[-1] - 1, 1)


OF_LOGITS = {
  "fake_log_prob": adversarial.fake_log_prob,
  "real_log_prob": adversarial.real_log_prob,
  "class": lambda s: adversarial.class_loss(s, _label(s)),
  "class_literal": lambda s: literal_class_loss(s, _label(s)),
  "nonsaturating": adversarial.nonsaturating_loss,
  "saturating": adversarial.saturating_loss,
}
of_logits = pytest.mark.parametrize("name", OF_LOGITS)


@jax.jit
def _compiled_values(logits):
  return {name: term(logits) for name, term in OF_LOGITS.items()}


@jax.jit
def _compiled_gradients(logits):
  return {
    name: jax.grad(lambda s, term=term: term(s).sum())(logits)
    for name, term in OF_LOGITS.items()
  }


def _at_one_shape(function, logits, rows=16):
  padded = np.zeros((rows, logits.shape[-1]), np.float32)
  padded[: len(logits)] = logits
  return jax.tree.map(lambda x: np.asarray(x)[: len(logits)], function(padded))


_values = functools.partial(_at_one_shape, _compiled_values)
_gradients = functools.partial(_at_one_shape, _compiled_gradients)


def test_two_devices_so_that_the_pmap_variants_run():
  assert jax.device_count() >= 2
  names = [name for name in dir(VariantsTest) if "pmap" in name]
  assert len(names) == len(CASES)


class VariantsTest(chex.TestCase):
  @chex.all_variants
  @parameterized.named_parameters(CASES)
  def test_oracle(self, function, oracle, operands):
    actual = self.variant(function)(*operands)
    expected = oracle(*operands)
    chex.assert_shape(actual, np.shape(expected))
    chex.assert_type(actual, jnp.float32)
    np.testing.assert_allclose(actual, expected, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_undecided(n):
  """All logits 0: every output has the share 1 / (n + 1)."""
  values = _values(np.zeros((2, n + 1), np.float32))
  expected = {
    "fake_log_prob": -math.log(n + 1),
    "real_log_prob": math.log(n / (n + 1)),
    "nonsaturating": -math.log(n / (n + 1)),
    "saturating": -math.log(n + 1),
    "class": math.log(n),
    "class_literal": math.log(n + 1),
  }
  assert values.keys() == expected.keys()
  for name, value in expected.items():
    np.testing.assert_allclose(values[name], [value] * 2, rtol=1e-6)


def test_hand_computed():
  # Shares 1 : 3 : 4 of class 0, class 1, fake; labels 0 and 1.
  values = _values(np.log(np.float32([[1, 3, 4], [1, 3, 4]])))
  for name, shares in {
    "fake_log_prob": [1 / 2, 1 / 2],
    "real_log_prob": [1 / 2, 1 / 2],
    "class": [4, 4 / 3],
    "class_literal": [8, 8 / 3],
  }.items():
    np.testing.assert_allclose(np.exp(values[name]), shares, rtol=1e-6)


@of_logits
@pytest.mark.parametrize("shift", [-4096, 4096])
def test_one_number_added_to_all_logits_changes_nothing(name, shift):
  logits = np.round(4 * LOGITS) / 4  # Exact in float32 after the shift, too.
  np.testing.assert_allclose(
    _values(logits + np.float32(shift))[name], _values(logits)[name], rtol=1e-5
  )


def test_a_fake_logit_of_zero_gives_the_formulae_of_salimans():
  """loss_lab, and both halves of loss_unl in openai/improved-gan."""
  n_logits = np.float64(LOGITS[:, :-1])
  lse = special.logsumexp(n_logits, axis=-1)
  softplus = np.logaddexp(lse, 0)
  values = _values(np.pad(LOGITS[:, :-1], ((0, 0), (0, 1))))
  picked = [s[i] for s, i in zip(n_logits, _label(LOGITS))]
  for actual, expected in [
    (-values["real_log_prob"], softplus - lse),
    (-values["fake_log_prob"], softplus),
    (values["class"], lse - picked),
  ]:
    np.testing.assert_allclose(actual, expected, rtol=2e-5, atol=1e-6)


def test_the_literal_class_loss_holds_the_real_loss():
  """Eq. (6) as printed = its conditional form + eq. (7)."""
  values = _values(LOGITS)
  parts = values["class"] - values["real_log_prob"]
  np.testing.assert_allclose(values["class_literal"], parts, rtol=1e-5)
  assert np.all(values["class_literal"] - values["class"] > 1e-3)


def test_class_loss_of_one_class():
  values = _values(LOGITS[:, -2:])
  assert not np.any(values["class"])
  np.testing.assert_allclose(
    values["class_literal"], -_real(LOGITS[:, -2:]), rtol=2e-5
  )


@pytest.mark.parametrize("conditional", [True, False])
def test_an_unknown_label_is_finite(conditional):
  def loss(s):
    return adversarial.class_loss(
      s, np.array([-1, 1, -1, 0, -1, 1]), conditional=conditional
    )

  value = jax.jit(loss)(LOGITS)
  gradient = jax.jit(jax.grad(lambda s: loss(s).sum()))(LOGITS)
  chex.assert_tree_all_finite((value, gradient))


@pytest.mark.parametrize("level", [50, 1e4])
def test_value_and_gradient_are_finite_at_saturation(level):
  corners = np.array(np.meshgrid(*[[-1, 1]] * 3)).reshape(3, -1).T
  logits = np.float32(level * np.tile(corners, (2, 1)))
  label = _label(logits)
  assert len(np.unique(np.column_stack([corners, label[:8]]), axis=0)) == 8
  values, gradients = _values(logits), _gradients(logits)
  chex.assert_tree_all_finite((values, gradients))
  for name in ("fake_log_prob", "real_log_prob", "saturating"):
    assert np.all(values[name] <= 0), name
  for name in ("nonsaturating", "class", "class_literal"):
    assert np.all(values[name] >= 0), name


LIMITS = [
  # P(fake) = e^-30 / (2 + e^-30), which 1 - P(fake) in float32 forgets.
  ("real_log_prob", (0, 0, -30), -math.exp(-30) / 2),
  ("nonsaturating", (0, 0, -30), math.exp(-30) / 2),
  ("fake_log_prob", (0, 0, 30), -2 * math.exp(-30)),
  ("saturating", (0, 0, 30), -2 * math.exp(-30)),
  ("fake_log_prob", (0, 0, -30), -30 - math.log(2)),
  ("nonsaturating", (0, 0, 30), 30 - math.log(2)),
  ("nonsaturating", (0, 0, 1e4), 1e4 - math.log(2)),
  ("saturating", (0, 0, -1e4), -1e4 - math.log(2)),
  ("nonsaturating", (0, 1e4, -1e4), 0),
]


def test_limits():
  values = _values(np.float32([logits for _, logits, _ in LIMITS]))
  for i, (name, logits, expected) in enumerate(LIMITS):
    np.testing.assert_allclose(
      values[name][i], expected, rtol=1e-5, err_msg=f"{name} {logits}"
    )


def test_both_forms_of_s_pull_the_same_way():
  """Along (-q, 1), q the classes given real: by P(fake), by 1 - P(fake)."""
  probs = _probs(LOGITS)
  fake = probs[:, -1:]
  direction = np.append(-probs[:, :-1] / (1 - fake), np.ones_like(fake), 1)
  gradients = _gradients(LOGITS)
  strong, weak = gradients["nonsaturating"], gradients["saturating"]
  np.testing.assert_allclose(strong, fake * direction, rtol=1e-4, atol=1e-6)
  np.testing.assert_allclose(weak, (1 - fake) * direction, rtol=1e-4, atol=1e-6)
  np.testing.assert_array_equal(np.sign(strong), np.sign(weak))


def test_only_the_saturating_form_goes_quiet_when_d_is_sure():
  gradients = _gradients(np.float32([[0, 0, 20]]))  # P(fake) = 1 - 4e-9
  np.testing.assert_allclose(
    gradients["nonsaturating"], [[-0.5, -0.5, 1]], rtol=1e-6
  )
  np.testing.assert_allclose(
    gradients["saturating"],
    math.exp(-20) * np.array([[-1, -1, 2]]),
    rtol=1e-5,
  )


def test_numerical_gradients():
  def everything(logits, mask):
    return {**_compiled_values(logits), "smooth": smooth_mask(mask)}

  with jax.enable_x64(True):
    test_util.check_grads(
      jax.jit(everything),
      (jnp.float64(LOGITS), jnp.float64(MASK)),
      order=1,
      modes=("rev",),
    )


@pytest.mark.parametrize("dtype", ["float32", "uint8", "bool"])
def test_smooth_mask_by_hand(dtype):
  mask = np.array([0, 1], dtype).reshape(1, 1, 2, 1)
  smoothed = adversarial.smooth_mask(mask, smoothing=0.1)
  np.testing.assert_allclose(np.ravel(smoothed), [0.1, 0.9], rtol=1e-6)
  np.testing.assert_array_equal(
    adversarial.smooth_mask(mask, smoothing=0), mask
  )


@of_logits
def test_logits_of_another_shape_are_refused(name):
  term = OF_LOGITS[name]
  with pytest.raises(AssertionError):
    term(LOGITS[0])
  with pytest.raises(AssertionError):
    term(LOGITS[None])
  with pytest.raises(ValueError, match="n \\+ 1"):
    term(LOGITS[:, :1])


def test_no_operand_is_stretched_to_fit():
  for bad in (LABEL[:1], LABEL[:, None], LABEL[:5]):
    with pytest.raises(AssertionError):
      adversarial.class_loss(LOGITS, bad)


def test_class_consistency_by_hand():
  """The last logit does not count, agreement costs nothing."""
  third = math.log(3.0)
  student = np.float32([[third, 0, 9], [0, 0, 0], [-4, 4, 1], [60, -60, 0]])
  teacher = np.float32([[0, 0, 2], [5, 5, -3], [-3, 5, 0], [-60, 60, 0]])
  loss = jax.jit(adversarial.class_consistency_loss)(student, teacher)
  np.testing.assert_allclose(loss, [0.125, 0.0, 0.0, 2.0], atol=1e-6)
  to_student, to_teacher = jax.grad(
    lambda a, b: adversarial.class_consistency_loss(a, b).sum(), argnums=(0, 1)
  )(student, teacher)
  assert np.any(to_student[0, :-1])
  assert not np.any(to_student[:, -1])
  assert not np.any(to_teacher)
