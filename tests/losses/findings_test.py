"""The losses of findings against NumPy and SciPy."""

import jax
import numpy as np
import pytest
from scipy import special

from apppau_jax.losses import findings, objectives

LABEL = np.array([[1, 0, -1], [-1, -1, -1], [0, 1, 1], [1, -1, 0]])


def _logits(seed=0):
  return np.random.default_rng(seed).normal(size=(4, 4)).astype(np.float32) * 3


def _by_hand(logits, label):
  losses = []
  for row, stated in zip(special.expit(logits[:, :-1].astype(float)), label):
    each = [-np.log(p if y else 1 - p) for p, y in zip(row, stated) if y >= 0]
    losses.append(np.mean(each) if each else 0.0)
  return np.array(losses)


def test_the_loss_is_the_cross_entropy_of_what_is_stated():
  logits = _logits()
  found = findings.findings_loss(logits, LABEL)
  np.testing.assert_allclose(found, _by_hand(logits, LABEL), rtol=1e-5)


def test_a_finding_that_is_not_stated_teaches_nothing():
  gradient = jax.grad(lambda x: findings.findings_loss(x, LABEL).sum())(
    _logits()
  )
  assert (np.asarray(gradient)[:, :-1][LABEL < 0] == 0).all()
  assert (np.asarray(gradient)[:, :-1][LABEL >= 0] != 0).all()
  assert (np.asarray(gradient)[:, -1] == 0).all()


def test_the_teacher_is_a_constant():
  student, teacher = _logits(1), _logits(2)
  expected = special.expit(student) - special.expit(teacher)
  found = findings.findings_consistency_loss(student, teacher)
  np.testing.assert_allclose(
    found, (expected[:, :-1] ** 2).sum(axis=1), rtol=1e-5
  )
  gradient = jax.grad(
    lambda t: findings.findings_consistency_loss(student, t).sum()
  )(teacher)
  assert not np.asarray(gradient).any()


def test_real_and_fake_do_not_depend_on_the_findings():
  logits = _logits()
  probs = special.softmax(np.asarray(findings.pair_logits(logits)), axis=1)
  np.testing.assert_allclose(probs[:, 1], special.expit(logits[:, -1]), 1e-5)


def test_the_objective_of_d_has_the_terms_of_its_parts():
  real, fake = _logits(3)[:2], _logits(4)
  has_mask = np.array([True, False, True, True])
  has_label = (LABEL >= 0).any(axis=1)
  loss, terms = objectives.discriminator_objective(
    real,
    fake,
    label=LABEL,
    has_mask=has_mask,
    has_label=has_label,
    predicted_weight=2.0,
    multi_label=True,
  )
  of_fake = _by_hand(fake, LABEL)[has_label].mean()
  expected = {
    "class": _by_hand(real, LABEL[:2])[0],
    "real": -np.log(special.expit(-real[0, -1])),
    "fake": -np.log(special.expit(fake[:, -1])).mean(),
    "class_predicted": of_fake,
  }
  for name, value in expected.items():
    assert float(terms[name]) == pytest.approx(value, rel=1e-5), name
  total = expected["class"] + 2 * of_fake
  total += (expected["real"] + expected["fake"]) / 2
  assert float(loss) == pytest.approx(total, rel=1e-5)


def test_the_segmentor_is_judged_by_the_fake_logit_alone():
  fake = _logits(5)
  loss, _ = objectives.adversarial_objective(
    fake,
    has_mask=np.ones(4, bool),
    weight=1.0,
    multi_label=True,
  )
  expected = -np.log(special.expit(-fake[:, -1])).mean()
  assert float(loss) == pytest.approx(expected, rel=1e-5)
