"""The bootstrap: resamples of the images, and percentile intervals.

A resample is represented by how often each image occurs in it. One matrix
product with these counts then resamples any number of metrics, without an array
of shape [resamples, images, metrics]. Reference: Efron 1979, Bootstrap methods:
another look at the jackknife, Annals of Statistics 7.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

RESAMPLES = 10_000
_COUNTS_AT_ONCE = 2_000_000  # 16 MB of counts, for any number of images


def resamples(
  n: int,
  *,
  seed: int | np.random.Generator,
  count: int = RESAMPLES,
  label: ArrayLike | None = None,
) -> Iterator[Floats]:
  """Yield how often each of n images occurs in each resample.

  Args:
    n: Number of images.
    seed: Seed or generator of the draws.
    count: Number of resamples.
    label: `[n]`; if it is given, images are drawn within each of its values, so
      that every resample has as many images of each label as the whole.

  Yields:
    Counts `[r, n]` whose rows sum to n, in parts that fit in memory; the r of
    all parts sum to `count`.

  Example:
    >>> from apppau_jax.metrics import bootstrap
    >>> counts = next(bootstrap.resamples(3, seed=0, count=2))
    >>> counts.sum(axis=1)
    array([3., 3.])
  """
  rng = np.random.default_rng(seed)
  rows = max(1, _COUNTS_AT_ONCE // n)
  for start in range(0, count, rows):
    size = min(rows, count - start)
    if label is None:
      drawn = rng.multinomial(n, np.full(n, 1 / n), size=size)
    else:
      drawn = _stratified(np.asarray(label), size=size, rng=rng)
    yield drawn.astype(float)


def interval(values: Floats) -> Floats:
  """Return the 2.5th and 97.5th percentiles over the first axis, `[2, ...]`."""
  return np.percentile(values, [2.5, 97.5], axis=0)


def _stratified(
  label: NDArray, *, size: int, rng: np.random.Generator
) -> NDArray[np.intp]:
  n = len(label)
  groups = [np.flatnonzero(label == value) for value in np.unique(label)]
  drawn = [g[rng.integers(len(g), size=(size, len(g)))] for g in groups]
  flat = np.arange(size)[:, None] * n + np.concatenate(drawn, axis=1)
  return np.bincount(flat.ravel(), minlength=size * n).reshape(size, n)
