"""The results of models on data sets that they were not trained on.

All sets have lungs and the class "normal", but the other class is tuberculosis
in some and nodules in others. The classification is therefore measured by one
question, tuberculosis or not, and only if both model and set have that class.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from apppau_jax.metrics import classes
from apppau_jax.paper import comparisons

_TB = "tb"


def tb_auroc(
  probs: np.ndarray | None,
  label: np.ndarray,
  *,
  model_classes: Sequence[str],
  set_classes: Sequence[str],
) -> tuple[float | None, str]:
  """Returns the AUROC of tuberculosis and "", or None and the reason.

  Args:
    probs: `[n, k]` over the classes of the model; None if it has no classes.
    label: `[n]` in 0..len(set_classes)-1, -1 where it is not given.
    model_classes: the k classes of the model.
    set_classes: those of the data set.
  """
  if probs is None:
    return None, "the model does not classify"
  if _TB not in model_classes:
    return None, f"the model has the classes {', '.join(model_classes)}"
  if _TB not in set_classes:
    return None, f"the set has the classes {', '.join(set_classes)}"
  labelled = label >= 0
  positive = label[labelled] == set_classes.index(_TB)
  if positive.all() or not positive.any():
    return None, "its images are all of one class"
  scores = probs[labelled, model_classes.index(_TB)]
  curve = classes.roc_curve(scores, positive)
  return float(np.trapezoid(curve[:, 1], curve[:, 0])), ""


def summarise(
  measured: Iterable[Mapping[str, Any]],
) -> list[dict[str, Any]]:
  """Returns one entry for each row, set trained on and set measured on.

  Args:
    measured: of single runs: `trained_on`, `row`, `measured_on`, `seed`, `n`,
      `dice` and `auroc_tb` (None if not measured) and `why_not`.

  Returns:
    The same over seeds, in order of appearance: `seeds`, `dice` and `auroc_tb`
    as from `comparisons.over_seeds` or None, `why_not` a list of reasons.
  """
  names = ("trained_on", "row", "measured_on")
  groups: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
  for one in measured:
    groups.setdefault(tuple(one[name] for name in names), []).append(one)
  entries = []
  for key, group in groups.items():
    present = [one for one in group if one["dice"] is not None]
    entry: dict[str, Any] = {
      **dict(zip(names, key)),
      "seeds": sorted(one["seed"] for one in present),
      "n": present[0]["n"] if present else None,
      "why_not": [*dict.fromkeys(o["why_not"] for o in group if o["why_not"])],
    }
    for name in ("dice", "auroc_tb"):
      values = [one[name] for one in group if one[name] is not None]
      entry[name] = comparisons.over_seeds(values) if values else None
    entries.append(entry)
  return entries
