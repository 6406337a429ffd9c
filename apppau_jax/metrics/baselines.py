"""Answers that need no image: what any classifier has to beat.

The shares of the classes are those of the evaluated images themselves, so
these rows are the best that such answers can reach, not estimates.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from apppau_jax.metrics import classes

LARGEST = "largest class"
SOURCE = "data set alone"
_METRICS = ("accuracy", "balanced_accuracy", "auroc")


def without_images(report: Mapping[str, Any]) -> dict[str, dict[str, float]]:
  """Accuracy, balanced accuracy and AUROC of answers without an image.

  Args:
    report: report.json of any run; of `per_image` the `label` is read, and in
      a combined set the `source`.

  Returns:
    {row: {metric: value}}: `LARGEST`, the largest class for everybody, and
    `SOURCE`, the largest class of the set that the image comes from (where
    there are several). No row where no class is known; metrics that are not
    defined are left out.
  """
  block = report.get("classification")
  images = [image for image in report.get("per_image", []) if "label" in image]
  if not block or not images:
    return {}
  names = list(block["class_names"])
  label = np.array([names.index(image["label"]) for image in images])
  source = np.array([image.get("source", "") for image in images])
  rows = {LARGEST: _measure(np.zeros_like(label), label, count=len(names))}
  if len(np.unique(source)) > 1:
    group = np.unique(source, return_inverse=True)[1]
    rows[SOURCE] = _measure(group, label, count=len(names))
  return rows


def _measure(
  group: np.ndarray, label: np.ndarray, *, count: int
) -> dict[str, float]:
  """Metrics of answering with the class shares of an image's group."""
  hits = np.eye(count)[label]
  sums = np.eye(group.max() + 1)[group].T @ hits
  probs = (sums / sums.sum(axis=1, keepdims=True))[group]
  found = classes.measure(np.ones((1, len(label))), probs=probs, label=label)
  values = {name: float(found[name][0]) for name in _METRICS}
  return {name: v for name, v in values.items() if np.isfinite(v)}
