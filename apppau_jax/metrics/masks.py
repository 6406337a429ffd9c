"""Metrics of one predicted mask against the reference, in NumPy.

The positive class is always the LUNG (or another structure), and every value
belongs to one image; `statistics.summarise` averages over images. The paper
prints other quantities under the same names. They are in `paper_compat` and
must not share a table with these.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage
from skimage.metrics import structural_similarity

from apppau_jax.metrics.surface import binary_pair, surface_distances

_SSIM_SIGMA = 1.5
_SSIM_WINDOW = 11  # pixels: the Gaussian cut at 3.5 sigma, as scikit-image does


def segmentation_metrics(
  prediction: Any,
  mask: Any,
  *,
  spacing: float | tuple[float, float] = 1.0,
) -> dict[str, float]:
  """Compute every metric of the lung class of one image; none is ever NaN.

  `f1` equals `dice` and `recall` equals `sensitivity`. The paper prints both
  names, with different values in eight rows; here one number has both names.

  Args:
    prediction: Bool [h, w], True on lung, sides of at least 11 pixels; or an
      object with such a `mask`.
    mask: Bool [h, w], the reference.
    spacing: Size of a pixel, one number or (dy, dx), for the four distances.

  Returns:
    In this order: dice, jaccard, ssim, f1, hausdorff, hausdorff95,
    average_hausdorff, assd, sensitivity, specificity, precision, recall.
    Distances (see `surface`) are in the unit of `spacing`, ssim lies in
    [-1, 1], the rest in [0, 1]. If both masks are empty, overlaps and ssim are
    1 and distances 0. If one is empty, overlaps are 0 and distances the image
    diagonal.

  Raises:
    ValueError: Shapes differ or are not [h, w], values are not 0 or 1, the
      spacing is not positive and finite, or the image is smaller than the
      window of the SSIM.

  Example:
    >>> import numpy as np
    >>> from apppau_jax import metrics
    >>> mask = np.zeros((16, 16), bool)
    >>> mask[4:12, 4:12] = True
    >>> found = metrics.segmentation_metrics(np.roll(mask, 4, axis=1), mask)
    >>> found["dice"], found["hausdorff"]
    (0.5, 4.0)
  """
  prediction, mask = binary_pair(prediction, mask, ndim=2)
  overlap = overlap_metrics(prediction, mask)
  distances = surface_distances(prediction, mask, spacing=spacing)
  return {
    "dice": overlap["dice"],
    "jaccard": overlap["jaccard"],
    "ssim": ssim(prediction, mask),
    "f1": overlap["dice"],
    **distances,
    "sensitivity": overlap["sensitivity"],
    "specificity": overlap["specificity"],
    "precision": overlap["precision"],
    "recall": overlap["sensitivity"],
  }


def overlap_metrics(
  prediction: NDArray[np.bool_], mask: NDArray[np.bool_]
) -> dict[str, float]:
  """Compute ratios of pixel counts, pooled over all axes of two bool arrays.

  With tp, fp, fn, tn the counts:

    dice         2 tp / (2 tp + fp + fn)
    jaccard      tp / (tp + fp + fn)
    sensitivity  tp / (tp + fn)
    specificity  tn / (tn + fp), 1 if the reference has no negative
    precision    tp / (tp + fp)
    accuracy     (tp + tn) / (tp + fp + fn + tn)

  If both arrays are empty, dice, jaccard, sensitivity and precision are 1. If
  only one is empty they are 0, also those with a zero denominator.
  """
  return ratios(*counts(prediction, mask))


def counts(
  prediction: NDArray[np.bool_], mask: NDArray[np.bool_]
) -> tuple[int, int, int, int]:
  """Count the pixels tp, fp, fn, tn of two bool arrays, over all axes."""
  tp = int(np.count_nonzero(prediction & mask))
  fp = int(np.count_nonzero(prediction)) - tp
  fn = int(np.count_nonzero(mask)) - tp
  return tp, fp, fn, mask.size - tp - fp - fn


def ratios(tp: int, fp: int, fn: int, tn: int) -> dict[str, float]:
  """Compute the ratios of `overlap_metrics` from the pixel counts."""
  if_undefined = 1.0 if tp + fp + fn == 0 else 0.0
  return {
    "dice": _ratio(2 * tp, 2 * tp + fp + fn, if_undefined=if_undefined),
    "jaccard": _ratio(tp, tp + fp + fn, if_undefined=if_undefined),
    "sensitivity": _ratio(tp, tp + fn, if_undefined=if_undefined),
    "specificity": _ratio(tn, tn + fp, if_undefined=1.0),
    "precision": _ratio(tp, tp + fp, if_undefined=if_undefined),
    "accuracy": (tp + tn) / (tp + fp + fn + tn),
  }


def pooled(
  counts: Any, structures: Sequence[str] = ()
) -> dict[str, dict[str, float]]:
  """Compute ratios of pixel counts that are summed over all images.

  A large lung counts more than a small one, unlike in a mean over images.

  Args:
    counts: `[k, 4]`, tp, fp, fn and tn of each of k masks over all images.
    structures: Names of the masks; empty for one mask, "lungs".

  Returns:
    The ratios of `overlap_metrics` by name.

  Example:
    >>> pooled([(1, 1, 0, 2)])["lungs"]["precision"]
    0.5
  """
  names = [*structures] or ["lungs"]
  return {
    name: ratios(*(int(count) for count in row))
    for name, row in zip(names, counts, strict=True)
  }


def dice(prediction: Any, mask: Any) -> float:
  """Return the Dice score, 2 tp / (2 tp + fp + fn), pooled over all axes.

  Args:
    prediction: Bool or 0/1 array; or an object with such a `mask`, like
      `inference.Prediction`.
    mask: Bool or 0/1 array of the same shape, the reference.

  Returns:
    A number in [0, 1]; 1 if both are empty.

  Raises:
    ValueError: Shapes differ, or values are not 0 or 1.

  Example:
    >>> from apppau_jax import metrics
    >>> metrics.dice([[0, 1, 1, 0]], [[0, 0, 1, 1]])
    0.5
  """
  return overlap_metrics(*binary_pair(prediction, mask, ndim=None))["dice"]


def jaccard(prediction: Any, mask: Any) -> float:
  """Return the Jaccard index, tp / (tp + fp + fn); see `dice`.

  Example:
    >>> from apppau_jax import metrics
    >>> round(metrics.jaccard([[0, 1, 1, 0]], [[0, 0, 1, 1]]), 3)
    0.333
  """
  return overlap_metrics(*binary_pair(prediction, mask, ndim=None))["jaccard"]


def ssim(prediction: Any, mask: Any) -> float:
  """Compute the mean structural similarity of two binary masks [h, w].

  Gaussian 11x11 window of sigma 1.5, population (not sample) covariances,
  K1 = 0.01, K2 = 0.03, dynamic range 1, averaged over the positions at which
  the window lies inside the image: Wang et al., "Image quality assessment: from
  error visibility to structural similarity", IEEE TIP 2004. The value lies in
  [-1, 1] and is 1 for equal masks, also for two empty ones. The arguments are
  those of `dice`; both sides have at least 11 pixels.

  Example:
    >>> import numpy as np
    >>> from apppau_jax import metrics
    >>> metrics.ssim(np.eye(16), np.eye(16))
    1.0
  """
  prediction, mask = binary_pair(prediction, mask, ndim=2)
  if min(mask.shape) < _SSIM_WINDOW:
    raise ValueError(
      f"An image of {mask.shape[0]} x {mask.shape[1]} pixels is smaller than"
      f" the window of the SSIM, {_SSIM_WINDOW} x {_SSIM_WINDOW} pixels."
    )
  value = structural_similarity(
    prediction.astype(np.float64),
    mask.astype(np.float64),
    data_range=1.0,
    gaussian_weights=True,
    sigma=_SSIM_SIGMA,
    use_sample_covariance=False,
  )
  return float(value)


def keep_largest_components(
  prediction: ArrayLike, *, count: int = 2
) -> NDArray[np.bool_]:
  """Keep the `count` largest 4-connected components, a clean-up of predictions.

  Two lungs are two components. Of components of equal size, those that come
  first row by row from the top left stay. Masks with at most `count` components
  are unchanged.

  Args:
    prediction: Bool [h, w].
    count: Number of components that stay, >= 1.

  Returns:
    A new bool array [h, w].

  Raises:
    ValueError: The array is not [h, w] or has values other than 0 and 1, or
      `count` is below 1.

  Example:
    >>> from apppau_jax import metrics
    >>> metrics.keep_largest_components([[1, 1, 0, 1]], count=1).astype(int)
    array([[1, 1, 0, 0]])
  """
  if count < 1:
    raise ValueError(
      f"count is {count}; it must be at least 1 (2 for a pair of lungs)"
    )
  prediction, _ = binary_pair(prediction, prediction, ndim=2)
  components, _ = ndimage.label(prediction)
  sizes = np.bincount(components.ravel())[1:]
  largest = 1 + np.argsort(-sizes, kind="stable")[:count]
  return np.isin(components, largest)


def _ratio(part: int, whole: int, *, if_undefined: float) -> float:
  return part / whole if whole else if_undefined
