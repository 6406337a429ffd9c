"""What answers without an image reach, by counting and by scikit-learn."""

import numpy as np
import pytest
from sklearn import metrics

from apppau_jax.metrics import baselines

NAMES = ["normal", "tb", "nodule"]


def _report(counts):
  """A report of as many images of each source and class."""
  images = [
    {"id": f"{source}{name}{k}", "source": source, "label": name}
    for (source, name), count in counts.items()
    for k in range(count)
  ]
  return {"classification": {"class_names": NAMES}, "per_image": images}


def test_the_papers_union_by_hand():
  rows = baselines.without_images(
    _report(
      {
        ("montgomery", "normal"): 80,
        ("montgomery", "tb"): 58,
        ("shenzhen", "normal"): 279,
        ("shenzhen", "tb"): 248,
        ("jsrt", "normal"): 93,
        ("jsrt", "nodule"): 154,
      }
    )
  )
  assert rows[baselines.LARGEST]["accuracy"] == pytest.approx(452 / 912)
  assert rows[baselines.LARGEST]["auroc"] == 0.5
  assert rows[baselines.LARGEST]["balanced_accuracy"] == pytest.approx(1 / 3)
  alone = rows[baselines.SOURCE]
  assert alone["accuracy"] == pytest.approx(513 / 912)
  # Recalls: 359 of 452 normal, no TB, all nodules.
  assert alone["balanced_accuracy"] == pytest.approx((359 / 452 + 1) / 3)
  truth = np.repeat([0, 1, 0, 1, 0, 2], [80, 58, 279, 248, 93, 154])
  shares = np.array(
    [
      [80 / 138, 58 / 138, 0],
      [279 / 527, 248 / 527, 0],
      [93 / 247, 0, 154 / 247],
    ]
  )
  probs = np.repeat(shares, [138, 527, 247], axis=0)
  expected = metrics.roc_auc_score(truth, probs, multi_class="ovr")
  assert alone["auroc"] == pytest.approx(expected)


def test_one_set_has_one_such_row_and_no_classes_none():
  report = _report({("", "normal"): 3, ("", "tb"): 1})
  report["classification"]["class_names"] = ["normal", "tb"]
  assert list(baselines.without_images(report)) == [baselines.LARGEST]
  assert baselines.without_images({"per_image": [{"id": "a"}]}) == {}
  assert baselines.without_images({**report, "per_image": []}) == {}


def test_what_is_undefined_is_left_out():
  report = _report({("", "normal"): 3})
  rows = baselines.without_images(report)
  assert rows[baselines.LARGEST] == {"accuracy": 1.0}
