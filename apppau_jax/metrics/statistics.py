"""Mean, spread and uncertainty of per-image metrics."""

from collections.abc import Mapping, Sequence
from typing import TypedDict

import numpy as np

from apppau_jax.metrics import bootstrap
from apppau_jax.metrics.bootstrap import Floats


class Summary(TypedDict):
  """One metric over a set of images, in the metric's own unit.

  Attributes:
    mean: The arithmetic mean over images.
    sd: The standard deviation between images, ddof 1; 0 for one image.
    ci95: [low, high], the percentile bootstrap interval of the mean.
  """

  mean: float
  sd: float
  ci95: list[float]


def summarise(
  per_image: Sequence[Mapping[str, float]], *, seed: int = 0
) -> dict[str, Summary]:
  """Summarise each metric over the images of one evaluation.

  The interval is the percentile bootstrap: 10 000 resamples of the images with
  replacement, the 2.5th and 97.5th percentiles of their means. All metrics
  share the resamples, so `f1` and `dice` agree exactly. The interval shows how
  far the mean would move with other images of the same kind, not with another
  training seed. Images of one patient count as independent.

  Args:
    per_image: One mapping per image, all with the same keys and finite values.
    seed: Seed of the resampling; the same seed gives the same intervals.

  Returns:
    For each metric a dictionary of Python floats with the keys `mean`, `sd`
    and `ci95` (the lower and the upper bound), in the key order of the first
    image; ready for JSON.

  Raises:
    ValueError: There is no image, keys differ, or a value is not finite.

  Example:
    >>> from apppau_jax import metrics
    >>> found = metrics.summarise([{"dice": 0.9}, {"dice": 1.0}])
    >>> round(found["dice"]["mean"], 2), found["dice"]["ci95"]
    (0.95, [0.9, 1.0])
  """
  names, values = _table(per_image)
  # Measured from the first image: a metric that is equal on all images then
  # has mean = low = high and sd = 0 exactly, without rounding errors.
  origin = values[0]
  offsets = values - origin
  n = len(values)
  mean = origin + offsets.mean(axis=0)
  sd = offsets.std(axis=0, ddof=1) if n > 1 else np.zeros(len(names))
  parts = [counts @ offsets / n for counts in bootstrap.resamples(n, seed=seed)]
  low, high = origin + bootstrap.interval(np.concatenate(parts))
  return {
    name: Summary(
      mean=float(mean[i]), sd=float(sd[i]), ci95=[float(low[i]), float(high[i])]
    )
    for i, name in enumerate(names)
  }


def _table(
  per_image: Sequence[Mapping[str, float]],
) -> tuple[list[str], Floats]:
  """Return the metrics' names and their values [n, m]."""
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
