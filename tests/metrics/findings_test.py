"""Metrics of findings against scikit-learn, and what has no numbers."""

import numpy as np
import pytest
from sklearn import metrics

from apppau_jax.metrics import bootstrap, findings

NAMES = ("effusion", "mass", "hernia")


@pytest.fixture
def made():
  rng = np.random.default_rng(0)
  label = (rng.random((80, 3)) < (0.4, 0.3, 0.03)).astype(int)
  probs = np.round(0.3 * label + 0.7 * rng.random((80, 3)), 2)  # with ties
  label[rng.random((80, 3)) < 0.2] = -1
  return probs, label


def test_numbers_are_those_of_scikit_learn(made, monkeypatch):
  monkeypatch.setattr(bootstrap, "RESAMPLES", 50)
  probs, label = made
  found = findings.summarise(probs, label, names=NAMES, least=5)
  for k, name in enumerate(NAMES[:2]):
    known = label[:, k] >= 0
    true, score = label[known, k], probs[known, k]
    one = found["by_finding"][name]
    assert one["n"] == known.sum()
    assert one["positives"] == true.sum()
    assert one["auroc"] == pytest.approx(metrics.roc_auc_score(true, score))
    assert one["average_precision"] == pytest.approx(
      metrics.average_precision_score(true, score)
    )
    assert one["brier"] == pytest.approx(metrics.brier_score_loss(true, score))
    constant = np.full(len(true), true.mean())
    assert one["prevalence"] == pytest.approx(
      metrics.average_precision_score(true, constant)
    )
    assert one["brier_of_prevalence"] == pytest.approx(
      metrics.brier_score_loss(true, constant)
    )
    low, high = one["ci95"]
    assert 0 < low < one["auroc"] < high < 1
  own = [found["by_finding"][name]["auroc"] for name in NAMES[:2]]
  assert found["mean"]["auroc"] == pytest.approx(np.mean(own))
  assert found["mean"]["findings"] == 2


def test_a_finding_of_few_images_is_named_and_has_no_number(made):
  probs, label = made
  found = findings.summarise(probs, label, names=NAMES, least=10)
  assert found["too_few"] == ["hernia"]
  rare = found["by_finding"]["hernia"]
  assert rare["positives"] == (label[:, 2] == 1).sum() < 10
  assert rare["auroc"] is rare["ci95"] is rare["average_precision"] is None
  found = findings.summarise(probs, np.ones_like(label), names=NAMES)
  assert found["too_few"] == [*NAMES]  # none lacks one
  assert found["mean"]["auroc"] is None
  found = findings.summarise(probs, -np.ones_like(label), names=NAMES)
  assert found["n"] == 0


def test_the_interval_resamples_patients(made):
  probs, label = made
  probs, label = probs[:, :1], np.maximum(label[:, :1], 0)
  alone = findings.summarise(probs, label, names=["x"])
  four = [np.repeat(x, 4, axis=0) for x in (probs, label)]
  patients = np.repeat([f"p{i}" for i in range(80)], 4)
  grouped = findings.summarise(*four, names=["x"], patients=patients)
  apart = findings.summarise(*four, names=["x"])

  def width(found):
    low, high = found["by_finding"]["x"]["ci95"]
    return high - low

  assert width(grouped) == pytest.approx(width(alone), rel=0.1)
  assert width(apart) == pytest.approx(width(alone) / 2, rel=0.1)


def test_the_mean_is_over_what_images_have_and_lack(made):
  probs, label = made
  label = label.copy()
  label[:, 2] = 0
  own = []
  for k in (0, 1):
    known = label[:, k] >= 0
    own.append(metrics.roc_auc_score(label[known, k], probs[known, k]))
  assert findings.mean_auroc(probs, label) == pytest.approx(np.mean(own))
  assert np.isnan(findings.mean_auroc(probs, 0 * label))


@pytest.mark.parametrize(
  ("probs", "label"),
  [([[0.5]], [[2]]), ([[1.5]], [[1]]), ([[np.nan]], [[1]]), ([0.5], [1])],
)
def test_other_values_are_refused(probs, label):
  with pytest.raises(ValueError, match="prob"):
    findings.summarise(probs, label, names=["x"])
