"""Which films to outline next.

A few masks teach most if their films resemble all others. Films are described
by their grey levels and by the lungs that a model finds in them, both at low
resolution; the films chosen are those that leave the others nearest to one of
them (greedy facility location; Nemhauser et al. 1978). Where masks exist
already, their films count as chosen, and the doubt of the model about a film
weighs its distance.
"""

from collections.abc import Sequence

import numpy as np

# Cells along a side of the description of a film.
CELLS = 16
_LEAST = 1e-6


def describe(levels: np.ndarray, probability: np.ndarray) -> np.ndarray:
  """Describes films by their grey levels and by where the lungs are.

  Args:
    levels: `[n, r, r]` grey levels of any range, r a multiple of `CELLS`.
    probability: `[n, r, r]` of the lungs, in [0, 1].

  Returns:
    float32 `[n, 2 * CELLS**2]`; both halves have the same total variance.

  Example:
    >>> import numpy as np
    >>> films = np.random.default_rng(0).uniform(size=(5, 32, 32))
    >>> describe(films, films > 0.5).shape
    (5, 512)
  """
  halves = []
  for field in (_stretched(levels), np.asarray(probability, np.float32)):
    cell = field.shape[1] // CELLS
    blocks = field.reshape(len(field), CELLS, cell, CELLS, cell)
    flat = blocks.mean(axis=(2, 4)).reshape(len(field), -1)
    flat = flat - flat.mean(axis=0)
    halves.append(flat / max(np.sqrt((flat**2).sum(1).mean()), _LEAST))
  return np.concatenate(halves, axis=1).astype(np.float32)


def doubt(probabilities: np.ndarray) -> np.ndarray:
  """Measures how unsure a model is about each film.

  Args:
    probabilities: `[m, n, r, r]` of the lungs, by m members of an ensemble.

  Returns:
    float `[n]`: the variance of a pixel's class under the mean of the members,
    summed over the film and divided by the area of the lungs.
  """
  mean = np.asarray(probabilities, np.float32).mean(axis=0)
  area = mean.sum(axis=(1, 2))
  return (mean * (1 - mean)).sum(axis=(1, 2)) / np.maximum(area, 1.0)


def choose(
  features: np.ndarray,
  count: int,
  *,
  chosen: Sequence[int] = (),
  weights: np.ndarray | None = None,
) -> list[int]:
  """Chooses films so that each film is near to one that is chosen.

  Args:
    features: `[n, d]`, see `describe`.
    count: number of films to choose, at least 1.
    chosen: positions of films that have masks already.
    weights: `[n]`, how much each film's distance counts; by default alike.

  Returns:
    `count` further positions, the most useful first; fewer if there are not so
    many films without a mask.

  Raises:
    ValueError: `count` is less than 1, or `chosen` are not positions.

  Example:
    >>> choose(np.array([[0.0], [1.0], [2.0], [9.0]]), 2)
    [1, 3]
  """
  total = len(features)
  if count < 1 or not all(0 <= i < total for i in chosen):
    raise ValueError(
      f"count is {count} and chosen {[*chosen]} of {total} films"
    )
  flat = np.asarray(features, np.float64)
  square = (flat**2).sum(axis=1)
  apart = square[:, None] + square - 2 * flat @ flat.T
  apart = np.sqrt(np.maximum(apart, 0))
  weight = np.ones(total) if weights is None else np.asarray(weights, float)
  nearest = np.full(total, np.inf)
  if len(chosen):
    nearest = apart[[*chosen]].min(axis=0)
  free = np.setdiff1d(np.arange(total), [*chosen])
  found: list[int] = []
  while len(found) < min(count, total - len({*chosen})):
    left = np.minimum(nearest, apart[free]) @ weight
    best = int(free[np.argmin(left)])
    found.append(best)
    nearest = np.minimum(nearest, apart[best])
    free = free[free != best]
  return found


def _stretched(levels: np.ndarray) -> np.ndarray:
  """Maps the grey levels of each film to [0, 1]."""
  field = np.asarray(levels, np.float32)
  low = field.min(axis=(1, 2), keepdims=True)
  high = field.max(axis=(1, 2), keepdims=True)
  return (field - low) / np.maximum(high - low, _LEAST)
