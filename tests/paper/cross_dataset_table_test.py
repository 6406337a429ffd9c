"""One set's model on another: what is asked, and what never is."""

import numpy as np
import pytest
from sklearn import metrics

from apppau_jax.paper import cross_dataset_table

TB = ("normal", "tb")
NODULES = ("normal", "nodule")
ALL = ("normal", "tb", "nodule")


def test_auroc_of_tuberculosis_wherever_it_stands_among_the_classes():
  rng = np.random.default_rng(0)
  probs = rng.dirichlet(np.ones(3), 40).round(1)  # ties count a half
  label = rng.integers(-1, 2, 40)
  told = label >= 0
  expected = metrics.roc_auc_score(label[told] == 1, probs[told, 1])
  value, why = cross_dataset_table.tb_auroc(probs, label, known=ALL, classes=TB)
  assert value == pytest.approx(expected)
  assert why == ""
  # The same answers of a model that lists its classes otherwise.
  turned = ("nodule", "normal", "tb")
  value, _ = cross_dataset_table.tb_auroc(
    probs[:, [2, 0, 1]], label, known=turned, classes=TB
  )
  assert value == pytest.approx(expected)


@pytest.mark.parametrize(
  ("known", "classes", "label", "why"),
  [
    (NODULES, TB, [0, 1], "the model knows normal, nodule"),
    (TB, NODULES, [0, 1], "the set has normal, nodule"),
    (TB, TB, [0, 0], "its images are all of one kind"),
    (TB, TB, [-1, 1], "its images are all of one kind"),
  ],
)
def test_classes_that_differ_are_never_compared(known, classes, label, why):
  probs = np.array([[0.2, 0.8], [0.7, 0.3]])
  assert cross_dataset_table.tb_auroc(
    probs, np.array(label), known=known, classes=classes
  ) == (None, why)


def test_without_a_classifier_there_is_no_auroc():
  value, why = cross_dataset_table.tb_auroc(
    None, np.array([0, 1]), known=TB, classes=TB
  )
  assert value is None
  assert "no class" in why


def _cell(on, seed, dice, auroc=None, why=""):
  return {
    "trained_on": "mc",
    "row": "A",
    "measured_on": on,
    "seed": seed,
    "n": 7 if dice else None,
    "dice": dice,
    "auroc_tb": auroc,
    "why_not": why,
  }


def test_seeds_are_averaged_and_reasons_said_once():
  entries = cross_dataset_table.summarise(
    [
      _cell("mc", 1, 0.9, 0.75),
      _cell("sz", 1, 0.7, why="no"),
      _cell("jsrt", 1, None, why="not prepared"),
      _cell("mc", 0, 0.8, 0.25),
      _cell("sz", 0, 0.7, why="no"),
    ]
  )
  own, other, absent = entries
  assert own["seeds"] == [0, 1]
  assert own["dice"] == pytest.approx(
    {"mean": 0.85, "sd": 0.05 * 2**0.5, "n": 2}
  )
  assert own["auroc_tb"]["mean"] == pytest.approx(0.5)
  assert (other["auroc_tb"], other["why_not"]) == (None, ["no"])
  assert (absent["dice"], absent["n"], absent["seeds"]) == (None, None, [])
  rows, values = cross_dataset_table.matrix(
    entries, name="dice", datasets=["mc", "sz", "jsrt"]
  )
  assert rows == ["mc: A"]
  np.testing.assert_allclose(values, [[0.85, 0.7, np.nan]])
  assert cross_dataset_table.matrix([], name="dice", datasets=["mc"])[
    1
  ].shape == (0, 1)
  assert cross_dataset_table.matrix([], name="dice", datasets=[])[1].shape == (
    0,
    0,
  )
