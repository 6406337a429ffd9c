"""What a model trained on one set is worth on another.

Lungs are lungs everywhere. Classes are not: the sets share "normal", but the
other class is tuberculosis in some and nodules in others, so the diagnosis is
judged by one question only, tuberculosis or not, and only where both the model
and the set know it.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from apppau_jax.metrics import classes as class_metrics
from apppau_jax.paper import comparisons

TB = "tb"


def tb_auroc(
  probs: np.ndarray | None,
  label: np.ndarray,
  *,
  known: Sequence[str],
  classes: Sequence[str],
) -> tuple[float | None, str]:
  """AUROC of the probability of tuberculosis, or why there is none.

  Args:
    probs: `[n, k]` over the classes that the model knows; None where it names
      no class.
    label: `[n]` in 0..len(classes)-1, -1 where unknown.
    known: the model's k classes.
    classes: the measured set's.

  Returns:
    (value, "") or (None, reason).
  """
  if probs is None:
    return None, "the model names no class"
  if TB not in known:
    return None, f"the model knows {', '.join(known)}"
  if TB not in classes:
    return None, f"the set has {', '.join(classes)}"
  told = label >= 0
  positive = label[told] == classes.index(TB)
  if positive.all() or not positive.any():
    return None, "its images are all of one kind"
  curve = class_metrics.roc_curve(probs[told, known.index(TB)], positive)
  return float(np.trapezoid(curve[:, 1], curve[:, 0])), ""


def summarise(cells: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
  """One entry for each row, set trained on and set measured on.

  Args:
    cells: of single runs: `trained_on`, `row`, `measured_on`, `seed`, `n`,
      `dice` and `auroc_tb` (None where not measured) and `why_not`.

  Returns:
    The same over seeds, in order of appearance: `seeds`, `dice` and `auroc_tb`
    as of `comparisons.over_seeds` or None, `why_not` a list without repeats.
  """
  names = ("trained_on", "row", "measured_on")
  groups: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
  for cell in cells:
    groups.setdefault(tuple(cell[name] for name in names), []).append(cell)
  entries = []
  for key, group in groups.items():
    entry: dict[str, Any] = dict(zip(names, key))
    measured = [cell for cell in group if cell["dice"] is not None]
    entry["seeds"] = sorted(cell["seed"] for cell in measured)
    entry["n"] = measured[0]["n"] if measured else None
    for name in ("dice", "auroc_tb"):
      values = [cell[name] for cell in group if cell[name] is not None]
      entry[name] = comparisons.over_seeds(values) if values else None
    reasons = dict.fromkeys(cell["why_not"] for cell in group)
    entry["why_not"] = [reason for reason in reasons if reason]
    entries.append(entry)
  return entries


def matrix(
  entries: Sequence[Mapping[str, Any]], *, name: str, datasets: Sequence[str]
) -> tuple[list[str], np.ndarray]:
  """Row names and `[rows, datasets]` of means, NaN where not measured.

  Args:
    entries: as `summarise` returns them.
    name: `dice` or `auroc_tb`.
    datasets: the columns.
  """
  rows: dict[str, np.ndarray] = {}
  for entry in entries:
    key = f"{entry['trained_on']}: {entry['row']}"
    line = rows.setdefault(key, np.full(len(datasets), np.nan))
    if entry[name] is not None:
      line[datasets.index(entry["measured_on"])] = entry[name]["mean"]
  return list(rows), np.array([*rows.values()]).reshape(
    len(rows), len(datasets)
  )
