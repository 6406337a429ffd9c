"""Distances between the boundaries of two masks of one image.

The boundary of a mask is the mask minus its 4-connected erosion, with
everything outside the frame taken as background, so a lung that reaches the
edge of the image has a boundary there. With A and B the two boundaries and
d(a, B) the Euclidean distance from the centre of pixel a to the nearest pixel
centre of B:

  hausdorff          max(max_a d(a, B), max_b d(b, A))
  hausdorff95        max(p95_a d(a, B), p95_b d(b, A)), percentiles by linear
                     interpolation; the larger of the two directed values, not
                     the percentile of the pooled distances
  average_hausdorff  max(mean_a d(a, B), mean_b d(b, A))  (Dubuisson and Jain,
                     "A modified Hausdorff distance for object matching",
                     ICPR 1994)
  assd               (sum_a d(a, B) + sum_b d(b, A)) / (|A| + |B|), pooled, so
                     a longer boundary weighs more

Empty masks: two empty masks agree perfectly, and every distance is 0. If one is
empty, every distance is the image diagonal, which is larger than any distance
between two pixels. So a missed lung can only raise the mean over images, and no
distance is NaN.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

DISTANCES = ("hausdorff", "hausdorff95", "average_hausdorff", "assd")


def binary_pair(
  prediction: Any, mask: Any, *, ndim: int | None
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
  """Check two masks and return both as bool.

  Args:
    prediction: Bool, or numbers that are all 0 or 1; or an object with such an
      array as its `mask`, like `inference.Prediction`.
    mask: Of the same shape and kind.
    ndim: Number of axes that both must have; None accepts any.

  Raises:
    ValueError: The shapes differ, do not have `ndim` axes or hold no pixel, or
      there are values other than 0 and 1 (probabilities, or files of 0/255).
  """
  pair = _array(prediction), _array(mask)
  ndim = pair[0].ndim if ndim is None else ndim
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


def _array(masks: Any) -> NDArray:
  """Return an array, or the array of an object that has a `mask`."""
  if not isinstance(masks, np.ndarray):
    masks = getattr(masks, "mask", masks)
  return np.asarray(masks)


def boundary(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
  """Return the pixels of `mask` [h, w] with a 4-neighbour outside it."""
  padded = np.pad(mask, 1)
  vertical = padded[:-2, 1:-1] & padded[2:, 1:-1]
  horizontal = padded[1:-1, :-2] & padded[1:-1, 2:]
  return mask & ~(vertical & horizontal)


def surface_distances(
  prediction: Any,
  mask: Any,
  *,
  spacing: float | tuple[float, float] = 1.0,
) -> dict[str, float]:
  """Compute the four boundary distances of the module's head.

  They are symmetric in the two masks.

  Args:
    prediction: Bool [h, w], or an object with such a `mask`.
    mask: Bool [h, w].
    spacing: Size of a pixel of these arrays (after any resizing), one number
      or (dy, dx). 1.0 gives pixels; millimetres per pixel give millimetres.

  Returns:
    `hausdorff`, `hausdorff95`, `average_hausdorff`, `assd`, all >= 0, in the
    unit of `spacing`. If one mask is empty, all are hypot(h * dy, w * dx).

  Raises:
    ValueError: `binary_pair` refuses the arrays, or the spacing is not positive
      and finite.

  Example:
    >>> import numpy as np
    >>> from apppau_jax import metrics
    >>> mask = np.zeros((8, 8), bool)
    >>> mask[2:5, 2:5] = True
    >>> shifted = np.roll(mask, 2, axis=1)
    >>> metrics.surface_distances(shifted, mask, spacing=0.5)["hausdorff"]
    1.0
  """
  prediction, mask = binary_pair(prediction, mask, ndim=2)
  dy, dx = _pixel_size(spacing)
  if not (prediction.any() and mask.any()):
    height, width = mask.shape
    equal = prediction.any() == mask.any()
    distance = 0.0 if equal else math.hypot(height * dy, width * dx)
    return dict.fromkeys(DISTANCES, distance)
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


def hausdorff(
  prediction: Any, mask: Any, *, spacing: float | tuple[float, float] = 1.0
) -> float:
  """Return the Hausdorff distance; see `surface_distances`.

  Example:
    >>> from apppau_jax import metrics
    >>> metrics.hausdorff([[1, 1, 0, 0]], [[1, 0, 0, 0]])
    1.0
  """
  return surface_distances(prediction, mask, spacing=spacing)["hausdorff"]


def hausdorff95(
  prediction: Any, mask: Any, *, spacing: float | tuple[float, float] = 1.0
) -> float:
  """Return the 95th percentile of the distances; see `surface_distances`.

  Example:
    >>> from apppau_jax import metrics
    >>> metrics.hausdorff95([[1] * 11], [[1] + [0] * 10])
    9.5
  """
  return surface_distances(prediction, mask, spacing=spacing)["hausdorff95"]


def assd(
  prediction: Any, mask: Any, *, spacing: float | tuple[float, float] = 1.0
) -> float:
  """Return the average symmetric surface distance; see `surface_distances`.

  Example:
    >>> from apppau_jax import metrics
    >>> metrics.assd([[1, 0, 0, 0]], [[0, 0, 1, 0]])
    2.0
  """
  return surface_distances(prediction, mask, spacing=spacing)["assd"]


def _directed(
  edge: NDArray[np.bool_],
  other: NDArray[np.bool_],
  *,
  sampling: tuple[float, float],
) -> NDArray[np.float64]:
  """Return the distance from each pixel of `edge` to the nearest of `other`."""
  distance = ndimage.distance_transform_edt(~other, sampling=sampling)
  return np.asarray(distance)[edge]


def _bounding_box(mask: NDArray[np.bool_]) -> tuple[slice, slice]:
  """Return the smallest window that contains a non-empty mask."""
  rows = np.flatnonzero(mask.any(axis=1))
  columns = np.flatnonzero(mask.any(axis=0))
  return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _pixel_size(spacing: float | tuple[float, float]) -> tuple[float, float]:
  sizes = np.atleast_1d(np.asarray(spacing, dtype=np.float64))
  valid = sizes.shape in ((1,), (2,)) and np.isfinite(sizes).all()
  if not valid or sizes.min() <= 0:
    raise ValueError(
      f"The pixel spacing {spacing!r} must be one positive finite number or"
      " two, (dy, dx), the size of a pixel at the evaluated resolution; 1.0"
      " measures in pixels."
    )
  return float(sizes[0]), float(sizes[-1])
