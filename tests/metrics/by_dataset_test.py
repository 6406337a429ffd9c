"""Combined sets by member, and answers that use no image."""

import json

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from apppau_jax.metrics import baselines, by_dataset

NAMES = ("normal", "tb", "nodule")
# Table 3 of the paper: classes of Montgomery, Shenzhen (527) and JSRT.
CCX = {"montgomery": (80, 58, 0), "shenzhen": (279, 248, 0),
       "jsrt": (93, 0, 154)}  # fmt: skip


def _ccx():
  rows = [
    (source, label)
    for source, counts in CCX.items()
    for label, count in enumerate(counts)
    for _ in range(count)
  ]
  return [s for s, _ in rows], np.array([label for _, label in rows])


def test_the_source_alone_is_right_for_513_of_912_of_the_papers_images():
  of, label = _ccx()
  found = by_dataset.source_only(of, label=label, class_names=NAMES)
  assert len(label) == 912
  assert found["accuracy"] == pytest.approx(513 / 912)
  predicted = [{"montgomery": 0, "shenzhen": 0, "jsrt": 2}[s] for s in of]
  assert found["balanced_accuracy"] == pytest.approx(
    sklearn_metrics.balanced_accuracy_score(label, predicted)
  )
  expected = sklearn_metrics.f1_score(label, predicted, average=None)
  assert list(found["f1"].values()) == pytest.approx(expected)
  shares = np.array([np.array(CCX[s]) / sum(CCX[s]) for s in of])
  assert found["auroc"] == pytest.approx(
    sklearn_metrics.roc_auc_score(label, shares, multi_class="ovr")
  )
  json.dumps(found, allow_nan=False)
  rows = baselines.without_images(_report(of, label))
  assert rows[baselines.SOURCE] == {
    name: found[name] for name in ("accuracy", "balanced_accuracy", "auroc")
  }
  assert rows[baselines.LARGEST] == {
    "accuracy": pytest.approx(452 / 912),
    "balanced_accuracy": pytest.approx(1 / 3),
    "auroc": 0.5,
  }


def _report(of, label, names=NAMES):
  images = [{"source": s, "label": names[c]} for s, c in zip(of, label)]
  return {"classification": {"class_names": names}, "per_image": images}


def test_baselines_without_sources_or_classes():
  report = _report([""] * 4, [0, 0, 0, 1], NAMES[:2])
  assert list(baselines.without_images(report)) == [baselines.LARGEST]
  assert baselines.without_images({"per_image": [{"id": "a"}]}) == {}
  assert baselines.without_images({**report, "per_image": []}) == {}
  one_class = baselines.without_images(_report([""] * 3, [0, 0, 0]))
  assert one_class == {baselines.LARGEST: {"accuracy": 1.0}}  # else undefined


def test_accuracy_is_among_all_classes_and_auroc_among_the_sets_own():
  of = ["b", "a", "a", "a", "a", "b"]
  label = np.array([2, 0, 1, 1, 0, 2])
  probs = np.array([
    [0.2, 0.2, 0.6],
    [0.6, 0.3, 0.1],  # of a: tb 1/3 of normal and tb
    [0.1, 0.3, 0.6],  # 3/4, but named nodule: wrong
    [0.5, 0.4, 0.1],  # 4/9, named normal: wrong
    [0.3, 0.5, 0.2],  # 5/8, named tb: wrong
    [0.5, 0.1, 0.4],
  ])  # fmt: skip
  found = by_dataset.diagnosis(of, probs=probs, label=label, class_names=NAMES)
  assert list(found) == ["a", "b"]
  assert found["a"]["n"] == 4
  assert found["a"]["class_names"] == ["normal", "tb"]
  assert found["a"]["accuracy"] == 1 / 4
  assert found["a"]["majority_accuracy"] == 1 / 2
  # Pairs (tb, normal): 3/4 above both, 4/9 above 1/3 only.
  assert found["a"]["auroc"] == 3 / 4
  low, high = found["a"]["ci95"]["auroc"]
  assert low <= 3 / 4 <= high
  assert (found["b"]["accuracy"], found["b"]["auroc"]) == (0.5, None)
  json.dumps(found, allow_nan=False)


def test_segmentation_of_each_set_and_structure():
  dice = [0.5, 0.8, 0.6, 1.0]
  rows = [{"dice": d} for d in dice]
  heart = [{"dice": d / 2} for d in dice]
  found = by_dataset.segmentation(
    ["y", "x", "y", "y"], per_image=rows, structures={"heart": heart}
  )
  assert [(name, part["n"]) for name, part in found.items()] == [
    ("x", 1),
    ("y", 3),
  ]
  assert found["y"]["segmentation"]["dice"]["mean"] == pytest.approx(0.7)
  assert found["y"]["segmentation"]["dice"]["sd"] == pytest.approx(
    np.std([0.5, 0.6, 1.0], ddof=1)
  )
  assert found["x"]["structures"]["heart"]["dice"]["mean"] == 0.4
