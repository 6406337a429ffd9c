"""Metrics of findings, of which an image may have any number.

Each finding is a question of its own, over the images whose answer is stated:

  auroc              P(an image with it scores above one without); a tie is half
  average_precision  sum over the scores, from the highest, of the precision
                     times the gain of recall
  brier              mean of (p - y)^2

The baseline answers every image with the prevalence q of the finding among the
images evaluated: its AUROC is 0.5, its average precision q, its Brier score
q (1 - q).

Intervals are percentile bootstraps over patients, since films of one patient
are not independent. A finding with fewer than `least` images with it, or
without it, is named and has no numbers, since an AUROC of so few images is too
uncertain. Means are over the other findings.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from apppau_jax.metrics import bootstrap, classes
from apppau_jax.metrics.bootstrap import Floats


def summarise(
  probs: ArrayLike,
  label: ArrayLike,
  *,
  names: Sequence[str],
  patients: Sequence[str] = (),
  least: int = 10,
  seed: int = 0,
) -> dict[str, Any]:
  """Compute the metrics of each finding and their means, ready for JSON.

  Args:
    probs: `[m, k]`, in [0, 1].
    label: `[m, k]`, 1 present, 0 absent, -1 not stated.
    names: of the k findings.
    patients: of the m images; by default each is its own.
    least: images with, and without, a finding that its numbers need.
    seed: of the resampling.

  Returns:
    `n`, images of which any finding is stated; `least_positives`;
    `by_finding`: {name: {n, positives, prevalence, auroc, ci95,
    average_precision, brier, brier_of_prevalence}}; `mean`, {auroc, ci95,
    average_precision, prevalence, findings}; `too_few`, names of the findings
    whose metrics are None.

  Raises:
    ValueError: shapes or values do not fit.

  Example:
    >>> from apppau_jax.metrics import findings
    >>> found = findings.summarise(
    ...   [[0.9], [0.2], [0.4]], [[1], [0], [1]], names=["mass"], least=1
    ... )
    >>> found["by_finding"]["mass"]["auroc"], found["mean"]["auroc"]
    (1.0, 1.0)
  """
  probs, label = np.asarray(probs, float), np.asarray(label)
  if (
    probs.ndim != 2 or probs.shape != label.shape or len(names) != len(probs.T)
  ):
    raise ValueError(
      f"probs {probs.shape} and label {label.shape} are not [m, {len(names)}]"
    )
  if (
    not np.isin(label, (-1, 0, 1)).all() or not (abs(probs - 0.5) <= 0.5).all()
  ):
    raise ValueError("labels must be -1, 0 or 1, and probs from 0 to 1")
  positives, stated = (label == 1).sum(axis=0), (label >= 0).sum(axis=0)
  usable = np.minimum(positives, stated - positives) >= max(1, least)
  chosen = np.flatnonzero(usable).tolist()
  intervals, of_mean = _intervals(
    probs[:, chosen], label[:, chosen], patients=patients, seed=seed
  )
  by_finding: dict[str, dict[str, Any]] = {}
  for k, name in enumerate(names):
    known = label[:, k] >= 0
    by_finding[name] = {
      "n": int(stated[k]),
      "positives": int(positives[k]),
      "prevalence": float(positives[k] / stated[k]) if stated[k] else None,
      "ci95": None,
      **_measure(probs[known, k], label[known, k] == 1, usable=usable[k]),
    }
  for k, interval in zip(chosen, intervals):
    by_finding[names[k]]["ci95"] = interval
  measured = [names[k] for k in chosen]
  mean: dict[str, Any] = {
    name: float(np.mean([by_finding[f][name] for f in measured]))
    if measured
    else None
    for name in ("auroc", "average_precision", "prevalence")
  }
  return {
    "n": int((label >= 0).any(axis=1).sum()),
    "least_positives": least,
    "mean": {**mean, "ci95": of_mean, "findings": len(measured)},
    "too_few": [name for name in names if name not in measured],
    "by_finding": by_finding,
  }


def mean_auroc(probs: ArrayLike, label: ArrayLike) -> float:
  """Compute the mean AUROC of the findings that images have and lack.

  Args:
    probs: `[m, k]`.
    label: `[m, k]`, 1 present, 0 absent, -1 not stated.

  Returns:
    The mean; NaN if there is no such finding.
  """
  probs, label = np.asarray(probs, float), np.asarray(label)
  found = _aurocs(np.ones((1, len(label))), probs=probs, label=label)[0]
  return float(np.nanmean(found)) if np.isfinite(found).any() else float("nan")


def average_precision(score: ArrayLike, positive: ArrayLike) -> float:
  """Compute the average precision.

  Args:
    score: `[m]`, higher where the finding is more probable.
    positive: `[m]` bool, with one True at least.

  Example:
    >>> round(average_precision([0.9, 0.8, 0.1], [True, False, True]), 4)
    0.8333
  """
  score, positive = np.asarray(score, float), np.asarray(positive, bool)
  order = np.argsort(-score, kind="stable")
  last = np.flatnonzero(np.diff(score[order], append=-np.inf))
  hits = np.cumsum(positive[order])[last]
  gain = np.diff(hits, prepend=0) / hits[-1]
  return float((gain * hits / (last + 1)).sum())


def _measure(
  score: Floats, positive: np.ndarray, *, usable: bool
) -> dict[str, float | None]:
  if not usable:
    names = ("auroc", "average_precision", "brier", "brier_of_prevalence")
    return dict.fromkeys(names)
  ones, share = np.ones((1, len(score))), float(positive.mean())
  return {
    "auroc": float(classes.auroc(ones, score=score, positive=positive)[0]),
    "average_precision": average_precision(score, positive),
    "brier": float(np.mean((score - positive) ** 2)),
    "brier_of_prevalence": share * (1 - share),
  }


def _aurocs(weights: Floats, *, probs: Floats, label: np.ndarray) -> Floats:
  """Return [r, k]; NaN where a resample has or lacks no image of a finding."""
  found = np.full((len(weights), probs.shape[1]), np.nan)
  for k, (score, of) in enumerate(zip(probs.T, label.T)):
    if (known := of >= 0).any():
      found[:, k] = classes.auroc(
        weights[:, known], score=score[known], positive=of[known] == 1
      )
  return found


def _intervals(
  probs: Floats, label: np.ndarray, *, patients: Sequence[str], seed: int
) -> tuple[list[list[float] | None], list[float] | None]:
  """Return the intervals of each AUROC and of their mean."""
  if not probs.size:
    return [], None
  names = [*patients] or [*map(str, range(len(probs)))]
  group = np.unique(names, return_inverse=True)[1]
  parts = [
    _aurocs(counts[:, group], probs=probs, label=label)
    for counts in bootstrap.resamples(int(group.max()) + 1, seed=seed)
  ]
  drawn = np.concatenate(parts)
  whole = drawn[np.isfinite(drawn).all(axis=1)]
  if not len(whole):
    return [None] * drawn.shape[1], None
  return (
    bootstrap.interval(whole).T.tolist(),
    bootstrap.interval(whole.mean(axis=1)).tolist(),
  )
