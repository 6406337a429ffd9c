"""Area resampling with exact sums, equal on every machine."""

from itertools import pairwise

import numpy as np

_FEW = 2**17  # values of which one call of `reduceat` sums faster than many


def resize_area(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
  """Resamples an image; each new pixel is the mean of the area it covers.

  The sums are exact integers and are rounded half up. Any ratio is allowed,
  also enlarging.

  Args:
    image: uint8 or uint16 [h, w].
    size: the new (height, width).

  Returns:
    [*size], of the same type.
  """
  if image.shape == size:
    return image.copy()
  total = _area_sums(image, size)
  area = image.shape[0] * image.shape[1]
  return ((2 * total + area) // (2 * area)).astype(image.dtype)


def resize_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
  """Resamples bool [h, w]; True where at least half of the area is covered."""
  if mask.shape == size:
    return mask.astype(bool)
  return 2 * _area_sums(mask, size) >= mask.shape[0] * mask.shape[1]


def _area_sums(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
  """Sums value times covered area, in 1/(H*W) pixels; int64 [H, W]."""
  rows = _sum_rows(image, size[0])
  return _sum_rows(np.ascontiguousarray(rows.T), size[1]).T


def _sum_rows(values: np.ndarray, new: int) -> np.ndarray:
  """Sums what each of `new` equal bands covers, in 1/new rows; int64."""
  old = len(values)
  first, skipped = np.divmod(np.arange(new + 1) * old, new)
  # At the end of the last band nothing is skipped, and there is no row.
  edges = values[np.minimum(first, old - 1)] * skipped[:, None]
  return new * _sum_between(values, first) + np.diff(edges, axis=0)


def _sum_between(values: np.ndarray, first: np.ndarray) -> np.ndarray:
  """Sums the rows from each number in `first` to the next; int64."""
  narrow = _type_of_sums(values, int(np.diff(first).max()) + 1)
  if values.size < _FEW:
    sums = np.add.reduceat(values, first[:-1], axis=0, dtype=narrow)
    sums[first[:-1] == first[1:]] = 0  # where `reduceat` takes one row
  else:
    sums = np.stack(
      [values[i:j].sum(axis=0, dtype=narrow) for i, j in pairwise(first)]
    )
  return sums.astype(np.int64)


def _type_of_sums(values: np.ndarray, count: int) -> np.dtype:
  """Returns the smallest type that holds sums of `count` of the values.

  Most of the time of resampling goes into these sums, and as much less as the
  type is smaller.
  """
  if values.dtype == np.int64:
    return values.dtype
  most = 1 if values.dtype == bool else np.iinfo(values.dtype).max
  return np.min_scalar_type(int(most) * count)
