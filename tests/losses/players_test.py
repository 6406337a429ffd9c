"""The objectives of S and D, by NumPy in float64."""

import functools
import math

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from apppau_jax.losses import objectives

RNG = np.random.default_rng(0)
REAL = np.float32(RNG.normal(0, 3, (4, 4)))  # r = 4 of b = 6, n = 3
FAKE = np.float32(RNG.normal(0, 3, (6, 4)))
LABEL = np.array([2, 0, -1, 1, 1, -1])
HAS_MASK = np.array([True, False, True, True, False, False])
HAS_LABEL = np.array([True, True, False, True, True, False])


def _terms(real, fake, label, has_mask, has_label, *, conditional):
  """Eqs. (6) to (8) from probabilities, one pair at a time, in float64."""
  real, fake = (special.softmax(np.float64(s), axis=-1) for s in (real, fake))
  terms = {"class": [], "real": [], "fake": [], "class_predicted": []}
  for i, p in enumerate(real):
    if has_mask[i]:
      terms["real"].append(-math.log(sum(p[:-1])))
      if has_label[i]:
        total = sum(p[:-1]) if conditional else 1
        terms["class"].append(-math.log(p[label[i]] / total))
  for i, p in enumerate(fake):
    terms["fake"].append(-math.log(p[-1]))
    if has_label[i]:
      terms["class_predicted"].append(-math.log(p[label[i]] / sum(p[:-1])))
  terms = {k: sum(v) / len(v) if v else 0.0 for k, v in terms.items()}
  right = [p[-1] <= 0.5 for p, m in zip(real, has_mask) if m]
  terms["real_accuracy"] = sum(right) / len(right) if right else 0.0
  terms["fake_accuracy"] = np.mean(fake[:, -1] > 0.5)
  return terms


def _objective(real, fake, known, *, weights):
  label, has_mask, has_label = known
  return objectives.discriminator_objective(
    real,
    fake,
    label=label,
    has_mask=has_mask,
    has_label=has_label,
    **weights,
  )


KNOWN = (LABEL, HAS_MASK, HAS_LABEL)
DEFAULTS = {  # those of Salimans et al. 2016
  "class_weight": 1.0,
  "real_weight": 0.5,
  "fake_weight": 0.5,
  "predicted_weight": 0.0,
}
WEIGHTS = {
  "default": {},
  "literal": {"conditional": False},
  "reweighed": {
    "class_weight": 0.3,
    "real_weight": 2.0,
    "fake_weight": 0.7,
    "predicted_weight": 1.5,
  },
}


@functools.cache
def _jitted(name):
  return jax.jit(functools.partial(_objective, weights=WEIGHTS[name]))


def _compiled(real, fake, known, name):
  return _jitted(name)(real, fake, known)


@pytest.mark.parametrize("name", WEIGHTS)
def test_d_is_its_equations(name):
  terms = _terms(REAL, FAKE, *KNOWN, conditional=name != "literal")
  weights = DEFAULTS | WEIGHTS[name]
  expected = sum(
    weights[f"{key}_weight"] * terms[term]
    for key, term in (
      ("class", "class"),
      ("real", "real"),
      ("fake", "fake"),
      ("predicted", "class_predicted"),
    )
  )
  loss, actual = _compiled(REAL, FAKE, KNOWN, name)
  assert float(loss) == pytest.approx(expected, rel=1e-5)
  assert actual.keys() == terms.keys()
  for key, value in terms.items():
    assert float(actual[key]) == pytest.approx(value, rel=1e-5), key


@pytest.mark.parametrize("rubbish", [-1, 0, 3, 99, -7])
def test_what_is_unknown_contributes_nothing(rubbish):
  """Whatever its label and logits say; row 1 has no mask, 2 and 5 no label."""
  real, label = REAL.copy(), LABEL.copy()
  real[1] = [1e4, -1e4, 50, 0]
  label[~HAS_LABEL] = rubbish
  known = (label, HAS_MASK, HAS_LABEL)
  assert float(_compiled(real, FAKE, known, "reweighed")[0]) == float(
    _compiled(REAL, FAKE, KNOWN, "reweighed")[0]
  )

  def loss(real, fake, known):
    return _objective(real, fake, known, weights=WEIGHTS["reweighed"])[0]

  gradients = jax.jit(jax.grad(loss, argnums=(0, 1)))
  to_real, to_fake = gradients(real, FAKE, known)
  assert np.any(to_real, axis=1).tolist() == [True, False, True, True]
  chex.assert_trees_all_equal((to_real, to_fake), gradients(REAL, FAKE, KNOWN))


def test_a_real_pair_without_label_teaches_real_but_no_class():
  def gradient(**weights):
    weights = {"fake_weight": 0.0, **weights}
    return jax.jit(
      jax.grad(lambda real: _objective(real, FAKE, KNOWN, weights=weights)[0])
    )(REAL)

  only_class = gradient(real_weight=0.0)
  assert np.any(only_class, axis=1).tolist() == [True, False, False, True]
  assert not np.any(only_class[:, -1])  # Conditional: the last is not asked.
  only_real = gradient(class_weight=0.0)
  assert np.any(only_real, axis=1).tolist() == [True, False, True, True]


def test_accuracies_by_hand():
  # P(fake) = 2/3, 1/3, 2/3, 1/6 of n = 2.
  shares = np.float32([[1, 0, 2], [1, 1, 1], [0.5, 0.5, 2], [4, 1, 1]])
  logits = np.log(shares + np.float32(1e-20))
  everything = np.ones(4, bool)
  _, terms = _compiled(
    logits[:3],
    logits,
    (np.zeros(4, int), np.array([True, True, False, True]), everything),
    "default",
  )
  assert float(terms["real_accuracy"]) == 0.5  # Rows 0 and 1 are real pairs.
  assert float(terms["fake_accuracy"]) == 0.5


def test_nothing_known_leaves_the_fake_term():
  unknown = (np.full(6, -1), np.zeros(6, bool), np.zeros(6, bool))

  @jax.jit
  def both(real, fake):
    def loss(real, fake):
      return _objective(real, fake, unknown, weights=WEIGHTS["reweighed"])[0]

    return jax.value_and_grad(loss, argnums=(0, 1))(real, fake)

  loss, (to_real, to_fake) = both(REAL, FAKE)
  expected = -special.log_softmax(np.float64(FAKE), axis=-1)[:, -1].mean()
  assert float(loss) == pytest.approx(0.7 * expected, rel=1e-5)
  chex.assert_tree_all_finite(to_fake)
  assert not np.any(to_real)


def test_masked_mean_forgets_what_is_not_valid():
  values, valid = jnp.array([1.0, jnp.nan, jnp.inf, 4.0]), [1, 0, 0, 1]
  mean = objectives.masked_mean(values, jnp.array(valid, bool))
  assert float(mean) == 2.5


def _against(form, *, ramp=1.0):
  def objective(logits, has_mask, ramp):
    return objectives.adversarial_objective(
      logits,
      has_mask=has_mask,
      form=form,
      weight=0.3,
      unlabelled_weight=0.02,
      ramp=ramp,
    )

  return jax.jit(objective)(FAKE, HAS_MASK, ramp)


@pytest.mark.parametrize("ramp", [1.0, 0.25, 0.0])
@pytest.mark.parametrize("form", ["nonsaturating", "saturating"])
def test_s_is_judged_on_all_with_a_weight_each(form, ramp):
  fake = special.softmax(np.float64(FAKE), axis=-1)[:, -1]
  each = np.log(fake) if form == "saturating" else -np.log1p(-fake)
  c = np.array([0.3 if known else 0.02 for known in HAS_MASK])
  loss, terms = _against(form, ramp=ramp)
  expected = ramp * np.mean(c * each)
  assert float(loss) == pytest.approx(expected, rel=1e-5)
  assert list(terms) == ["adversarial"]
  assert float(terms["adversarial"]) == pytest.approx(each.mean(), rel=1e-5)


def test_a_form_that_does_not_exist():
  with pytest.raises(ValueError, match=r"'wasserstein'.*nonsaturating"):
    _against("wasserstein")


def test_consistency_is_a_weighted_mean():
  loss, terms = objectives.consistency_objective(
    jnp.array([1.0, 2.0, 6.0]), weight=0.5
  )
  assert (float(loss), float(terms["consistency"])) == (1.5, 3.0)
