"""The formulas, against scikit-learn and against sums by hand."""

import hypothesis
import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import strategies as st
from sklearn import metrics as oracle

from apppau_jax.metrics import classes as class_metrics

few = hypothesis.settings(max_examples=40, derandomize=True, deadline=None)


def cases(classes):
  """(probs [m, n] with many ties, label with every class present)."""
  label = hnp.arrays(np.int64, 12, elements=st.integers(0, classes - 1))
  label = label.map(lambda x: np.concatenate([np.arange(classes), x]))
  size = (12 + classes, classes)
  parts = hnp.arrays(float, size, elements=st.integers(1, 5).map(float))
  probs = parts.map(lambda x: x / x.sum(axis=1, keepdims=True))
  return st.tuples(probs, label)


def measure(probs, label, weights=None):
  weights = np.ones(len(label)) if weights is None else weights
  got = class_metrics.measure(weights[None], probs=probs, label=label)
  return {name: value[0] for name, value in got.items()}


def by_sklearn(probs, label):
  classes, guess = probs.shape[1], probs.argmax(axis=1)
  f1 = oracle.f1_score(label, guess, average=None, labels=range(classes))
  if classes == 2:
    auroc = oracle.roc_auc_score(label, probs[:, 1])
    brier = 2 * oracle.brier_score_loss(label, probs[:, 1])
  else:
    auroc = oracle.roc_auc_score(label, probs, multi_class="ovr")
    brier = sum(
      oracle.brier_score_loss(label == c, probs[:, c]) for c in range(classes)
    )
  return {
    "accuracy": oracle.accuracy_score(label, guess),
    "majority_accuracy": np.bincount(label).max() / len(label),
    "balanced_accuracy": oracle.balanced_accuracy_score(label, guess),
    "macro_f1": f1.mean(),
    "f1": f1,
    "mcc": oracle.matthews_corrcoef(label, guess),
    "auroc": auroc,
    "brier": brier,
  }


@few
@hypothesis.given(cases(2) | cases(3))
def test_metrics_match_scikit_learn(case):
  probs, label = case
  got = measure(probs, label)
  for name, expected in by_sklearn(probs, label).items():
    assert got[name] == pytest.approx(expected, abs=1e-12), name


@few
@hypothesis.given(cases(3))
def test_confusion_matches_scikit_learn_rows_true(case):
  probs, label = case
  got = class_metrics.confusion(
    np.ones((1, len(label))), probs=probs, label=label
  )
  expected = oracle.confusion_matrix(
    label, probs.argmax(axis=1), labels=[0, 1, 2]
  )
  np.testing.assert_array_equal(got[0], expected)


@few
@hypothesis.given(cases(3), st.integers(0, 99))
def test_a_weight_is_a_repetition_and_the_order_is_nothing(case, seed):
  probs, label = case
  rng = np.random.default_rng(seed)
  rows = rng.permutation(
    np.concatenate([np.arange(3), rng.integers(0, 15, 12)])
  )
  weights = np.bincount(rows, minlength=15).astype(float)
  weighted, repeated = (
    measure(probs, label, weights),
    measure(probs[rows], label[rows]),
  )
  for name, value in repeated.items():
    assert weighted[name] == pytest.approx(value, abs=1e-12), name


@few
@hypothesis.given(cases(2))
def test_auroc_is_of_the_order_alone(case):
  probs, label = case
  bent = probs[:, 1] ** 3 / 2
  bent = np.column_stack([1 - bent, bent])
  assert measure(bent, label)["auroc"] == measure(probs, label)["auroc"]
  turned = measure(probs[:, ::-1], label)["auroc"]
  assert turned == pytest.approx(1 - measure(probs, label)["auroc"])


def test_calibration_error_by_hand():
  # Confidence .9 .85 | .95 | .6 | .55 in (.8, .9], (.9, 1], (.5, .6]: edges
  # belong to the bin below them.
  top = np.array([0.9, 0.85, 0.95, 0.6, 0.55])
  probs = np.column_stack([top, 1 - top])
  label = np.array([0, 1, 0, 0, 1])
  expected = (abs(1 - 1.75) + abs(1 - 0.95) + abs(1 - 1.15)) / 5
  assert measure(probs, label)["ece"] == pytest.approx(expected)
  table = class_metrics.reliability(probs, label)
  np.testing.assert_array_equal(table[:, 0], [0, 0, 0, 0, 0, 2, 0, 0, 2, 1])
  np.testing.assert_allclose(table[8], [2, 0.875, 0.5])
  assert np.isnan(table[0, 1:]).all()


@few
@hypothesis.given(cases(3))
def test_calibration_error_is_what_the_diagram_shows(case):
  count, confidence, accuracy = class_metrics.reliability(*case).T
  gaps = count * np.abs(confidence - accuracy)
  expected = np.nansum(gaps) / count.sum()
  assert measure(*case)["ece"] == pytest.approx(expected)
  assert count.sum() == len(case[1])


@few
@hypothesis.given(cases(2))
def test_roc_matches_scikit_learn(case):
  probs, label = case
  got = class_metrics.roc_curve(probs[:, 1], label == 1)
  fpr, tpr, _ = oracle.roc_curve(label, probs[:, 1], drop_intermediate=False)
  np.testing.assert_allclose(got, np.column_stack([fpr, tpr]))


def test_one_answer_for_all_has_no_correlation():
  probs = np.tile([0.2, 0.8], (6, 1))
  got = measure(probs, np.array([0, 0, 1, 1, 1, 1]))
  assert (got["mcc"], got["auroc"], got["balanced_accuracy"]) == (0, 0.5, 0.5)
  assert got["accuracy"] == got["majority_accuracy"] == 4 / 6


def test_a_class_without_images_leaves_undefined_what_needs_it():
  probs = np.array([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.2, 0.7]])
  got = measure(probs, np.array([0, 1, 0]))
  undefined = {name for name, x in got.items() if np.isnan(x).any()}
  assert undefined == {"balanced_accuracy", "macro_f1", "f1", "auroc"}
  np.testing.assert_allclose(got["f1"], [2 / 3, 1, np.nan])
  expected = oracle.matthews_corrcoef([0, 1, 0], [0, 1, 2])
  assert got["mcc"] == pytest.approx(expected)
  alone = measure(probs, np.array([1, 1, 1]))
  assert np.isnan(alone["mcc"])
  assert alone["accuracy"] == 1 / 3
