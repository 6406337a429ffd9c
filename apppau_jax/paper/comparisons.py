"""Statistics of several runs: mean and spread over seeds, and paired tests.

All runs of a seed on a data set are measured on the same images: those of every
other seed too, or of another fold. Two rows are therefore compared image by
image: d_i is the mean of (a - b) on image i over the common seeds that measured
it. The p-value is that of Wilcoxon's signed-rank test of the d_i. The interval
is a percentile bootstrap of their mean that resamples images and seeds, within
each fold where there are folds. Several p-values are corrected by Holm's
method. The test concerns other images, the spread over seeds concerns other
trainings, so both are reported.
"""

import dataclasses
import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from apppau_jax.metrics import bootstrap

_RESAMPLES = 5000


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
  """A finished run: names of its row and data set, seed and report.json."""

  row: str
  dataset: str
  seed: int
  report: Mapping[str, Any]


def over_seeds(values: Sequence[float]) -> dict[str, Any]:
  """Returns {mean, sd, n}; sd has ddof 1 and is None for a single seed."""
  array = np.asarray(values, float)
  sd = float(array.std(ddof=1)) if len(array) > 1 else None
  return {"mean": float(array.mean()), "sd": sd, "n": len(array)}


def metric(report: Mapping[str, Any], name: str) -> float | None:
  """Returns a number of a report by its dotted name, or None.

  Segmentation metrics are their mean over images.
  """
  value: Any = report
  for part in name.split("."):
    if not isinstance(value, Mapping) or part not in value:
      return None
    value = value[part]
  if isinstance(value, Mapping):
    value = value.get("mean")
  return None if value is None else float(value)


def by_row(
  results: Iterable[Result],
) -> dict[str, dict[str, list[Result]]]:
  """Returns {data set: {row: its results by seed}}, in order of appearance."""
  groups: dict[str, dict[str, list[Result]]] = {}
  for result in results:
    rows = groups.setdefault(result.dataset, {})
    rows.setdefault(result.row, []).append(result)
  for rows in groups.values():
    for group in rows.values():
      group.sort(key=lambda result: result.seed)
  return groups


def summary(
  results: Iterable[Result], names: Sequence[str]
) -> list[dict[str, Any]]:
  """Returns {dataset, row, seeds, values} for each row of each data set.

  `values` is {name: {mean, sd, n}} of the metrics `names` (see `metric`) that
  a run of the row has.
  """
  entries = []
  for dataset, rows in by_row(results).items():
    for row, group in rows.items():
      found = {n: [metric(r.report, n) for r in group] for n in names}
      present = {n: [v for v in vs if v is not None] for n, vs in found.items()}
      entries.append(
        {
          "dataset": dataset,
          "row": row,
          "seeds": [result.seed for result in group],
          "values": {n: over_seeds(v) for n, v in present.items() if v},
        }
      )
  return entries


def on_different_images(results: Iterable[Result]) -> list[str]:
  """Returns data sets whose runs were measured on different images."""
  measured: dict[tuple[str, str], set] = {}
  for result in results:
    report = result.report
    ids = tuple(image["id"] for image in report.get("per_image", ()))
    part = (result.dataset, report.get("split_name", ""))
    measured.setdefault(part, set()).add((report.get("data_sha256"), ids))
  return sorted({part[0] for part, seen in measured.items() if len(seen) > 1})


def paired(
  first: Sequence[Result], second: Sequence[Result], *, name: str = "dice"
) -> dict[str, Any] | None:
  """Compares two rows of one data set by a key of `per_image`.

  Returns:
    {difference, ci95, p, seeds, by_seed} of first minus second, or None
    without a common seed.

  Raises:
    ValueError: the runs were measured on different images.
  """
  left = {result.seed: _by_image(result, name) for result in first}
  right = {result.seed: _by_image(result, name) for result in second}
  seeds = sorted(left.keys() & right.keys())
  if not seeds:
    return None
  folds: dict[frozenset[str], list[list[float]]] = {}
  for s in seeds:
    if left[s].keys() != right[s].keys():
      raise ValueError("the runs to compare were measured on different images")
    ids = left[s]
    folds.setdefault(frozenset(ids), []).append(
      [left[s][i] - right[s][i] for i in sorted(ids)]
    )
  if sum(map(len, folds)) != len(frozenset().union(*folds)):
    raise ValueError("the runs to compare share some of their images only")
  blocks = [np.array(block) for block in folds.values()]
  each = np.concatenate([block.mean(axis=0) for block in blocks])
  return {
    "difference": float(each.mean()),
    "ci95": _interval(blocks),
    "p": _signed_rank(each),
    "seeds": seeds,
    "by_seed": [
      float(np.mean([left[s][i] - right[s][i] for i in left[s]])) for s in seeds
    ],
  }


def holm(p_values: Sequence[float]) -> list[float]:
  """Returns p-values after Holm's step-down adjustment, in their order."""
  p = np.asarray(p_values, float)
  order = np.argsort(p, kind="stable")
  scaled = p[order] * np.arange(len(p), 0, -1)
  adjusted = np.empty_like(p)
  adjusted[order] = np.minimum(1.0, np.maximum.accumulate(scaled))
  return adjusted.tolist()


def _by_image(result: Result, name: str) -> dict[str, float]:
  return {image["id"]: image[name] for image in result.report["per_image"]}


def _signed_rank(differences: np.ndarray) -> float:
  if not differences.any():
    return 1.0
  return float(stats.wilcoxon(differences).pvalue)


def _interval(blocks: Sequence[np.ndarray]) -> list[float]:
  """Percentile bootstrap of the mean over the images of all folds.

  Each block is `[seeds, images]`, both of which are resampled.
  """
  total = np.zeros(_RESAMPLES)
  for number, each in enumerate(blocks):
    rows, columns = _counts(*each.shape, number)
    total += np.sum((rows @ each) * columns, axis=1) / len(each)
  low, high = bootstrap.interval(total / sum(b.shape[1] for b in blocks))
  return [float(low), float(high)]


@functools.lru_cache(maxsize=16)
def _counts(
  seeds: int, images: int, number: int
) -> tuple[np.ndarray, np.ndarray]:
  """How often a resample has each seed and image; the same for every pair."""
  rng = np.random.default_rng(number)
  rows, columns = (
    np.concatenate([*bootstrap.resamples(n, seed=rng, count=_RESAMPLES)])
    for n in (seeds, images)
  )
  return rows, columns
