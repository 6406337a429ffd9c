"""Runs beside each other: mean and spread over seeds, paired tests.

The images of a part are the same for every run, so two rows are compared image
by image: d_i = mean over the common seeds of (a - b) on image i. The p-value is
Wilcoxon's signed-rank test of the d_i, the interval a percentile bootstrap of
their mean that draws images and seeds anew; several comparisons are corrected
by Holm's method. The test asks about other images, the spread over seeds about
other trainings: both are given.
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
class Run:
  """One finished run: its row, its data set, its seed and its report.json."""

  row: str
  dataset: str
  seed: int
  report: Mapping[str, Any]


def over_seeds(values: Sequence[float]) -> dict[str, Any]:
  """{mean, sd, n}: sd over seeds, ddof 1; None for a single one."""
  array = np.asarray(values, float)
  sd = float(array.std(ddof=1)) if len(array) > 1 else None
  return {"mean": float(array.mean()), "sd": sd, "n": len(array)}


def metric(report: Mapping[str, Any], name: str) -> float | None:
  """A number of report.json by its dotted name; None if it has none.

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


def summary(runs: Iterable[Run], names: Sequence[str]) -> list[dict[str, Any]]:
  """One entry a row and data set, in order of appearance.

  Args:
    runs: finished runs.
    names: dotted names of metrics.

  Returns:
    {dataset, row, seeds, values: {name: {mean, sd, n}}} each; metrics that no
    run of the row has are left out.
  """
  groups: dict[tuple[str, str], list[Run]] = {}
  for run in runs:
    groups.setdefault((run.dataset, run.row), []).append(run)
  entries = []
  for (dataset, row), group in groups.items():
    group = sorted(group, key=lambda run: run.seed)
    values = {}
    for name in names:
      found = [metric(run.report, name) for run in group]
      known = [value for value in found if value is not None]
      if known:
        values[name] = over_seeds(known)
    entries.append(
      {
        "dataset": dataset,
        "row": row,
        "seeds": [run.seed for run in group],
        "values": values,
      }
    )
  return entries


def on_different_images(runs: Iterable[Run]) -> list[str]:
  """Data sets whose runs were not all measured on the same prepared images."""
  seen: dict[str, set] = {}
  for run in runs:
    ids = tuple(image["id"] for image in run.report.get("per_image", ()))
    of = (run.report.get("data_sha256"), ids)
    seen.setdefault(run.dataset, set()).add(of)
  return sorted(name for name, found in seen.items() if len(found) > 1)


def paired(
  first: Sequence[Run], second: Sequence[Run], *, name: str = "dice"
) -> dict[str, Any] | None:
  """Compares two rows of one data set image by image.

  Args:
    first: runs of one row.
    second: runs of the other.
    name: a key of `per_image`.

  Returns:
    {difference, ci95, p, seeds, by_seed}: first minus second; None without a
    common seed.

  Raises:
    ValueError: runs measured on different images.
  """
  left = {run.seed: _by_image(run, name) for run in first}
  right = {run.seed: _by_image(run, name) for run in second}
  seeds = sorted(left.keys() & right.keys())
  if not seeds:
    return None
  ids = left[seeds[0]].keys()
  if any(side[s].keys() != ids for side in (left, right) for s in seeds):
    raise ValueError("the runs to compare were measured on different images")
  each = np.array([[left[s][i] - right[s][i] for i in ids] for s in seeds])
  return {
    "difference": float(each.mean()),
    "ci95": _interval(each),
    "p": _signed_rank(each.mean(axis=0)),
    "seeds": seeds,
    "by_seed": each.mean(axis=1).tolist(),
  }


def holm(p_values: Sequence[float]) -> list[float]:
  """Holm's step-down adjustment of p-values, in their order."""
  p = np.asarray(p_values, float)
  order = np.argsort(p, kind="stable")
  scaled = p[order] * np.arange(len(p), 0, -1)
  adjusted = np.empty_like(p)
  adjusted[order] = np.minimum(1.0, np.maximum.accumulate(scaled))
  return adjusted.tolist()


def _by_image(run: Run, name: str) -> dict[str, float]:
  return {image["id"]: image[name] for image in run.report["per_image"]}


def _signed_rank(differences: np.ndarray) -> float:
  if not differences.any():
    return 1.0
  return float(stats.wilcoxon(differences).pvalue)


def _interval(each: np.ndarray) -> list[float]:
  """Percentile bootstrap of the mean of `[seeds, images]`, both redrawn."""
  rows, columns = _redrawn(*each.shape)
  means = np.sum((rows @ each) * columns, axis=1) / each.size
  low, high = bootstrap.interval(means)
  return [float(low), float(high)]


@functools.lru_cache(maxsize=4)
def _redrawn(seeds: int, images: int) -> tuple[np.ndarray, np.ndarray]:
  """How often each seed and each image counts; the same for every pair."""
  rng = np.random.default_rng(0)
  rows, columns = (
    np.concatenate([*bootstrap.resamples(n, seed=rng, count=_RESAMPLES)])
    for n in (seeds, images)
  )
  return rows, columns
