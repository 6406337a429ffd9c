"""The table of a sweep as data: means over seeds, printed numbers, tests.

A row is marked as the best of its data set only if its lung Dice exceeds that
of every other row: p < 0.05 after Holm's correction over all pairs, an interval
above zero, and at least three seeds.
"""

import dataclasses
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from apppau_jax.metrics import baselines
from apppau_jax.paper import comparisons, paper_units, printed_numbers
from apppau_jax.paper.comparisons import Result

LEVEL = 0.05  # of the corrected p-value
MIN_SEEDS = 3  # fewer show nothing about other trainings
# Metric: (title, decimals).
LUNG_METRICS = {
  "segmentation.dice": ("Lung Dice", 4),
  "pooled.lungs.dice": ("pooled Dice", 4),
  "segmentation.jaccard": ("Jaccard", 4),
  "segmentation.average_hausdorff": ("average HD, px", 2),
  "segmentation.hausdorff95": ("HD95, px", 2),
  "classification.accuracy": ("accuracy", 3),
  "classification.balanced_accuracy": ("balanced accuracy", 3),
  "classification.auroc": ("AUROC", 3),
  "parameters.segmentor": ("parameters of S", 0),
  "parameters.discriminator": ("parameters of D", 0),
}
PAPER_COLUMNS = (
  *("DS", "JS", "SSIM", "F1", "HD", "SN", "SP", "PR", "RC"),
  *("Acc", "class_PR", "class_RE", "lung_dice"),
)


def make(results: Iterable[Result], *, facts: Mapping[str, Any]) -> dict:
  """Returns everything that the table shows, ready for JSON.

  Args:
    results: finished runs.
    facts: title, caption, number of the paper's `table`, part, command and
      the like; copied.

  Returns:
    `facts` and `rows`, `comparisons`, `best`. Each of `rows` has `dataset`,
    `row`, `seeds`, `values` ({metric: {mean, sd, n}}, the paper's columns as
    `paper_units.COLUMN`), `printed` ({column: number}, empty where the paper
    has no such row), `solved` (the `lung_dice` of the printed row if it
    contradicts no JS) and `positive` (the class that SN, SP, PR, RC and F1
    count as positive).
  """
  table = facts.get("table", "")
  results = [_with_units(result, table) for result in results]
  names = [*LUNG_METRICS, *(f"paper_units.{name}" for name in PAPER_COLUMNS)]
  entries = comparisons.summary(results, names)
  for entry in entries:
    entry |= _printed(table, entry["dataset"], entry["row"])
  pairs = _comparisons(results)
  return {
    **facts,
    "rows": [*entries, *_without_images(results)],
    "comparisons": pairs,
    "best": _best(pairs, results),
  }


def _with_units(result: Result, table: str) -> Result:
  """The result with our values of the paper's columns in its report."""
  row = printed_numbers.find(table, dataset=result.dataset, name=result.row)
  units = paper_units.measure(
    result.report, lung_is_positive=row is not None and row.lung_is_positive
  )
  return dataclasses.replace(
    result, report={**result.report, "paper_units": units}
  )


def _printed(table: str, dataset: str, name: str) -> dict[str, Any]:
  row = printed_numbers.find(table, dataset=dataset, name=name)
  if row is None:
    return {"printed": {}, "solved": {}, "positive": "background"}
  wrong = printed_numbers.contradictions(row)
  agrees = not any(formula.startswith("JS") for formula in wrong)
  return {
    "printed": row.values,
    "solved": {"lung_dice": round(row.lung_dice, 3)} if agrees else {},
    "positive": "lung" if row.lung_is_positive else "background",
  }


def _without_images(results: Sequence[Result]) -> list[dict[str, Any]]:
  """Rows of classifiers that use the shares of the classes alone."""
  entries = []
  for dataset, rows in comparisons.by_row(results).items():
    reports = [r.report for group in rows.values() for r in group]
    found = next(filter(None, map(baselines.without_images, reports)), {})
    for row, values in found.items():
      entries.append(
        {
          "dataset": dataset,
          "row": row,
          "seeds": [],
          "values": {
            f"classification.{name}": comparisons.over_seeds([value])
            for name, value in values.items()
          },
          "printed": {},
        }
      )
  return entries


def _comparisons(results: Sequence[Result]) -> list[dict[str, Any]]:
  """Every pair of rows of a data set by lung Dice, with Holm's p-values."""
  found: list[dict[str, Any]] = []
  for dataset, rows in comparisons.by_row(results).items():
    for first, second in itertools.combinations(rows, 2):
      try:
        result = comparisons.paired(rows[first], rows[second])
      except ValueError:  # measured on different images
        continue
      if result is not None:
        names = {"dataset": dataset, "first": first, "second": second}
        found.append({**names, **result})
  adjusted = comparisons.holm([float(pair["p"]) for pair in found])
  return [{**pair, "p_holm": p} for pair, p in zip(found, adjusted)]


def _best(
  pairs: Sequence[Mapping[str, Any]], results: Sequence[Result]
) -> dict[str, str]:
  """The row of each data set that exceeds every other one, if there is one."""
  best = {}
  for dataset, rows in comparisons.by_row(results).items():
    own = [pair for pair in pairs if pair["dataset"] == dataset]
    for row in rows:
      if sum(_exceeds(row, pair) for pair in own) == len(rows) - 1 > 0:
        best[dataset] = row
  return best


def _exceeds(row: str, pair: Mapping[str, Any]) -> bool:
  """Whether a comparison shows that `row` is better than its other row."""
  low, high = pair["ci95"]
  above = low > 0 if row == pair["first"] else high < 0
  return (
    row in (pair["first"], pair["second"])
    and above
    and pair["p_holm"] < LEVEL
    and len(pair["seeds"]) >= MIN_SEEDS
  )
