"""Accuracy of answers that use no image: what a classifier has to exceed.

The class shares are those of the evaluated images themselves, so these values
are the best that such answers can reach, not estimates.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from apppau_jax.metrics import classes

LARGEST = "largest class"
SOURCE = "data set alone"
_METRICS = ("accuracy", "balanced_accuracy", "auroc")


def without_images(report: Mapping[str, Any]) -> dict[str, dict[str, float]]:
  """Compute the metrics of answers without an image, for one report.

  Args:
    report: The report.json of a run. Of `per_image` and `class_only`, `label`
      is read and, in a combined set, `source`.

  Returns:
    {row: {metric: value}} with accuracy, balanced accuracy and AUROC. The rows
    are `LARGEST`, the largest class for all images, and `SOURCE`, the largest
    class of the set that the image comes from (if there are several sets).
    There is no row without labels; undefined metrics are left out.
  """
  block = report.get("classification")
  every = (*report.get("per_image", []), *report.get("class_only", []))
  images = [image for image in every if "label" in image]
  if not block or not images:
    return {}
  names = list(block["class_names"])
  label = np.array([names.index(image["label"]) for image in images])
  sources = [image.get("source", "") for image in images]
  groups = {LARGEST: [""] * len(label)}
  if len(set(sources)) > 1:
    groups[SOURCE] = sources
  rows = {}
  for row, group in groups.items():
    found = from_class_shares(group, label=label, count=len(names))
    values = {name: float(found[name][0]) for name in _METRICS}
    rows[row] = {name: v for name, v in values.items() if np.isfinite(v)}
  return rows


def from_class_shares(
  groups: Sequence[str], *, label: np.ndarray, count: int
) -> dict[str, np.ndarray]:
  """Compute the metrics of predicting the class shares of an image's group.

  Args:
    groups: The group of each of m images.
    label: `[m]` in 0..n-1.
    count: Number n of classes.

  Returns:
    The metrics of `classes.measure` with a single weighting.
  """
  group = np.unique(np.asarray(groups), return_inverse=True)[1]
  sums = np.eye(group.max() + 1)[group].T @ np.eye(count)[label]
  probs = (sums / sums.sum(axis=1, keepdims=True))[group]
  return classes.measure(np.ones((1, len(label))), probs=probs, label=label)
