"""Distances between the boundaries of two masks of one image.

The boundary of a mask is the mask minus its 4-connected erosion, with
everything outside the frame taken as background: a lung cut by the edge of
the film has a boundary there. With A and B the two boundaries and d(a, B) the
Euclidean distance between pixel centres from a to the nearest pixel of B:

  hausdorff          max(max_a d(a, B), max_b d(b, A))
  hausdorff95        max(p95_a d(a, B), p95_b d(b, A)), percentiles by linear
                     interpolation; the larger of the two directed values, not
                     the percentile of the pooled distances
  average_hausdorff  max(mean_a d(a, B), mean_b d(b, A))  (Dubuisson and Jain,
                     "A modified Hausdorff distance for object matching",
                     ICPR 1994)
  assd               (sum_a d(a, B) + sum_b d(b, A)) / (|A| + |B|), pooled, so
                     a longer boundary weighs more

Empty masks: both empty is a perfect answer, every distance 0. One empty: every
distance is the image diagonal, larger than any distance between two pixels,
so a missed lung can only make the mean over images worse. Never NaN.
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from apppau_jax.errors import ConfigError

DISTANCES = ("hausdorff", "hausdorff95", "average_hausdorff", "assd")


def binary_pair(
  prediction: ArrayLike, mask: ArrayLike, *, ndim: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
  """Both arrays as bool, or an error.

  Args:
    prediction: bool, or numbers all 0 or 1.
    mask: the same shape and kind.
    ndim: how many axes both must have.

  Raises:
    ValueError: shapes that differ, are not `ndim`-dimensional or hold no
      pixel, or values other than 0 and 1 (probabilities, or 0/255 files).
  """
  pair = np.asarray(prediction), np.asarray(mask)
  if pair[0].shape != pair[1].shape or pair[0].ndim != ndim or not pair[0].size:
    raise ValueError(
      f"prediction {pair[0].shape} and mask {pair[1].shape} must have one"
      f" shape with {ndim} axes and at least one pixel"
    )
  for name, array in zip(("prediction", "mask"), pair):
    if array.dtype != bool and not ((array == 0) | (array == 1)).all():
      raise ValueError(
        f"{name} must hold only 0 and 1 (threshold probabilities first)"
      )
  return pair[0].astype(bool), pair[1].astype(bool)


def boundary(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
  """Pixels of `mask` [h, w] with a 4-neighbour outside it or off the frame."""
  padded = np.pad(mask, 1)
  vertical = padded[:-2, 1:-1] & padded[2:, 1:-1]
  horizontal = padded[1:-1, :-2] & padded[1:-1, 2:]
  return mask & ~(vertical & horizontal)


def surface_distances(
  prediction: ArrayLike,
  mask: ArrayLike,
  *,
  spacing: float | tuple[float, float] = 1.0,
) -> dict[str, float]:
  """The four boundary distances of the module's head, symmetric by exchange.

  Args:
    prediction: bool [h, w].
    mask: bool [h, w].
    spacing: size of a pixel of these arrays (after any resizing), one number
      or (dy, dx). 1.0 gives pixels; millimetres per pixel give millimetres.

  Returns:
    `hausdorff`, `hausdorff95`, `average_hausdorff`, `assd`, all >= 0, in the
    unit of `spacing`. One mask empty: all hypot(h * dy, w * dx).

  Raises:
    ValueError: arrays that `binary_pair` refuses.
    ConfigError: a spacing that is not positive and finite.
  """
  prediction, mask = binary_pair(prediction, mask, ndim=2)
  dy, dx = _pixel_size(spacing)
  if not (prediction.any() and mask.any()):
    height, width = mask.shape
    alike = prediction.any() == mask.any()
    far = 0.0 if alike else math.hypot(height * dy, width * dx)
    return dict.fromkeys(DISTANCES, far)
  box = _bounding_box(prediction | mask)
  edges = boundary(prediction)[box], boundary(mask)[box]
  forth = _directed(edges[0], edges[1], sampling=(dy, dx))
  back = _directed(edges[1], edges[0], sampling=(dy, dx))
  return {
    "hausdorff": float(max(forth.max(), back.max())),
    "hausdorff95": float(max(np.percentile(d, 95) for d in (forth, back))),
    "average_hausdorff": float(max(forth.mean(), back.mean())),
    "assd": float(np.concatenate([forth, back]).mean()),
  }


def _directed(
  edge: NDArray[np.bool_],
  other: NDArray[np.bool_],
  *,
  sampling: tuple[float, float],
) -> NDArray[np.float64]:
  """Distance from each pixel of `edge` to the nearest pixel of `other`."""
  distance = ndimage.distance_transform_edt(~other, sampling=sampling)
  return np.asarray(distance)[edge]


def _bounding_box(mask: NDArray[np.bool_]) -> tuple[slice, slice]:
  """The smallest window that holds a non-empty mask: a smaller transform."""
  rows = np.flatnonzero(mask.any(axis=1))
  columns = np.flatnonzero(mask.any(axis=0))
  return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _pixel_size(spacing: float | tuple[float, float]) -> tuple[float, float]:
  sizes = np.atleast_1d(np.asarray(spacing, dtype=np.float64))
  valid = sizes.shape in ((1,), (2,)) and np.isfinite(sizes).all()
  if not valid or sizes.min() <= 0:
    raise ConfigError(
      f"Pixel spacing {spacing!r} cannot be used to measure distances: give"
      " one positive finite number or two, (dy, dx), the size of a pixel at"
      " the evaluated resolution; leave it at 1.0 to measure in pixels."
    )
  return float(sizes[0]), float(sizes[-1])
