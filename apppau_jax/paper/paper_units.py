"""The measurements of a run in the units of the paper's columns.

docs/paper.md derives what the columns are. SN, SP, PR, RC and F1 are pooled
over all pixels, with the positive class of the printed row: the background in
most rows, the lungs in most rows of Montgomery.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

_RATIOS = ("sensitivity", "specificity", "precision", "f1")


def measure(
  report: Mapping[str, Any], *, lung_is_positive: bool = False
) -> dict[str, float]:
  """Returns the values of a report by the paper's names of columns.

  Args:
    report: `paper_compat`, `segmentation` and `classification` are read.
    lung_is_positive: the positive class of SN, SP, PR, RC and F1.

  Returns:
    DS, JS, SSIM, F1, HD, SN, SP, PR, RC, `lung_dice` (pooled), and of a
    classification Acc, class_PR and class_RE; what the report lacks is left
    out.
  """
  units = report.get("paper_compat", {})
  found = {
    "JS": units.get("js_pixel_accuracy"),
    "DS": units.get("ds_from_accuracy"),
    "HD": units.get("hausdorff_rows"),
    "SSIM": report.get("segmentation", {}).get("ssim", {}).get("mean"),
  }
  if "f1_background" in units:
    background = [units[f"{n}_background"] for n in _RATIOS]
    lung = _swapped(*background, accuracy=units["js_pixel_accuracy"])
    sn, sp, pr, f1 = lung if lung_is_positive else background
    found |= {"SN": sn, "RC": sn, "SP": sp, "PR": pr, "F1": f1}
    found["lung_dice"] = lung[-1]
  if "confusion" in (block := report.get("classification", {})):
    found |= _classes(block["confusion"])
  return {k: float(v) for k, v in found.items() if v is not None}


def _swapped(
  sn: float, sp: float, pr: float, f1: float, *, accuracy: float
) -> tuple[float | None, ...]:
  """The same four ratios with the other class as the positive one."""
  errors = 1.0 - accuracy
  if errors <= 0:
    return sp, sn, 1.0, 1.0
  if not f1:  # the shares of the classes are undetermined
    return sp, sn, None, None
  positive = errors / ((1.0 - sn) + sn * (1.0 - pr) / pr)
  missed = positive * (1.0 - sn)
  hits = max(0.0, 1.0 - positive - (errors - missed))  # of the other class
  predicted = hits + missed
  precision = hits / predicted if predicted > 1e-12 else 0.0
  return sp, sn, precision, 2.0 * hits / (2.0 * hits + errors)


def _classes(confusion: Sequence[Sequence[int]]) -> dict[str, float]:
  """The columns of a classification, rows of `confusion` true.

  PR and RE are F1 of normal and of abnormal for two classes. For three classes
  they are taken to be precision and recall, weighted by the class sizes.
  """
  counts = np.asarray(confusion, float)
  right, actual, predicted = counts.diagonal(), counts.sum(1), counts.sum(0)
  accuracy = right.sum() / counts.sum()
  first, second = actual @ (right / np.maximum(predicted, 1)), accuracy
  first /= counts.sum()
  if len(counts) == 2:
    first, second = 2.0 * right / np.maximum(actual + predicted, 1)
  return {"Acc": accuracy, "class_PR": first, "class_RE": second}
