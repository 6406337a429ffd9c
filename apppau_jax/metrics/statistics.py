"""Mean, spread and uncertainty of per-image metrics."""

from collections.abc import Mapping, Sequence
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

_RESAMPLES = 10_000
_COUNTS_AT_ONCE = 2_000_000  # 16 MB of counts, however many images there are


class Summary(TypedDict):
  """One metric over a set of images, in the metric's own unit.

  Attributes:
    mean: the arithmetic mean over images.
    sd: the standard deviation between images, ddof 1; 0 for one image.
    ci95: [low, high], the percentile bootstrap interval of the mean.
  """

  mean: float
  sd: float
  ci95: list[float]


def summarise(
  per_image: Sequence[Mapping[str, float]], *, seed: int = 0
) -> dict[str, Summary]:
  """Summarises each metric over the images of one evaluation.

  The interval is the percentile bootstrap of Efron (1979): 10 000 resamples
  of the images with replacement, the 2.5th and 97.5th percentiles of their
  means. All metrics share the resamples, so `f1` and `dice` agree exactly.
  It tells how far the mean would move with other images of the same kind, not
  with another training seed, and images of one patient are taken as separate.

  Args:
    per_image: one mapping per image, all with the same keys and finite values.
    seed: of the resampling; the same seed gives the same intervals.

  Returns:
    {metric: {"mean", "sd", "ci95": [low, high]}} of Python floats, in the key
    order of the first image; ready for JSON.

  Raises:
    ValueError: no image, keys that differ, or a value that is not finite.
  """
  names, values = _table(per_image)
  # Measured from the first image: a metric equal on all images then has
  # mean = low = high and sd = 0 exactly, without rounding dust.
  origin = values[0]
  offsets = values - origin
  mean = origin + offsets.mean(axis=0)
  sd = offsets.std(axis=0, ddof=1) if len(values) > 1 else np.zeros(len(names))
  means = _resampled_means(offsets, seed=seed)
  low, high = origin + np.percentile(means, [2.5, 97.5], axis=0)
  return {
    name: Summary(
      mean=float(mean[i]), sd=float(sd[i]), ci95=[float(low[i]), float(high[i])]
    )
    for i, name in enumerate(names)
  }


def _table(
  per_image: Sequence[Mapping[str, float]],
) -> tuple[list[str], NDArray[np.float64]]:
  """The metrics' names and their values [n, m]."""
  if not per_image:
    raise ValueError("there is no image to summarise")
  names = list(per_image[0])
  for index, metrics in enumerate(per_image):
    if metrics.keys() != per_image[0].keys():
      raise ValueError(
        f"image {index} has metrics {sorted(metrics)}, the first image has"
        f" {sorted(names)}"
      )
  values = np.array([[m[name] for name in names] for m in per_image], float)
  bad = np.argwhere(~np.isfinite(values))
  if bad.size:
    row, column = bad[0]
    raise ValueError(
      f"{names[column]} of image {row} is {values[row, column]}: an undefined"
      " value must be given a number before averaging, not dropped"
    )
  return names, values


def _resampled_means(
  values: NDArray[np.float64], *, seed: int
) -> NDArray[np.float64]:
  """Means of bootstrap resamples of the rows of `values` [n, m]: [10000, m].

  A resample is drawn as how often each row occurs in it (multinomial): one
  matrix product then serves all metrics, with no [resamples, n, m] array.
  """
  n = len(values)
  rng = np.random.default_rng(seed)
  rows = max(1, _COUNTS_AT_ONCE // n)
  means = []
  for start in range(0, _RESAMPLES, rows):
    size = min(rows, _RESAMPLES - start)
    counts = rng.multinomial(n, np.full(n, 1 / n), size=size)
    means.append(counts @ values / n)
  return np.concatenate(means)
