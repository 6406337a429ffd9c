"""Metrics of one predicted lung mask against the reference, on the host.

The positive class is always the LUNG, and every value belongs to one image:
means over images are taken by `statistics.summarise`. The numbers printed in
the APPAU-Net paper are other quantities under the same names; they live in
`paper_compat` and must not share a table with these.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage
from skimage.metrics import structural_similarity

from apppau_jax.errors import ConfigError, DataError
from apppau_jax.metrics.statistics import summarise
from apppau_jax.metrics.surface import binary_pair, surface_distances

__all__ = [
  "keep_largest_components",
  "overlap_metrics",
  "segmentation_metrics",
  "ssim",
  "summarise",
]

_SSIM_SIGMA = 1.5
_SSIM_WINDOW = 11  # pixels: the Gaussian cut at 3.5 sigma, as scikit-image does


def segmentation_metrics(
  prediction: ArrayLike,
  mask: ArrayLike,
  *,
  spacing: float | tuple[float, float] = 1.0,
) -> dict[str, float]:
  """Every metric of the lung class of one image; never NaN.

  `f1` equals `dice` and `recall` equals `sensitivity`: the paper prints both
  names, and differing values in eight rows, so both are kept and tied here.

  Args:
    prediction: bool [h, w], True on lung; sides of at least 11 pixels.
    mask: bool [h, w], the reference.
    spacing: size of a pixel, one number or (dy, dx), for the four distances.

  Returns:
    In this order: dice, jaccard, ssim, f1, hausdorff, hausdorff95,
    average_hausdorff, assd, sensitivity, specificity, precision, recall.
    Distances (see `surface`) are in the unit of `spacing`, ssim lies in
    [-1, 1], the rest in [0, 1]. Both masks empty: overlaps and ssim 1,
    distances 0. One empty: overlaps 0, distances the image diagonal.

  Raises:
    ValueError: shapes that differ or are not [h, w], values other than 0, 1.
    ConfigError: a spacing that is not positive and finite.
    DataError: an image smaller than the window of the SSIM.
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
  """Ratios of pixel counts, pooled over all axes of two bool arrays.

  With tp, fp, fn, tn the counts:

    dice         2 tp / (2 tp + fp + fn)
    jaccard      tp / (tp + fp + fn)
    sensitivity  tp / (tp + fn)
    specificity  tn / (tn + fp), 1 where the reference has no negative
    precision    tp / (tp + fp)
    accuracy     (tp + tn) / (tp + fp + fn + tn)

  Nothing to find and nothing found is right: dice, jaccard, sensitivity and
  precision are then 1. Where only one of the two arrays is empty they are 0,
  those with a zero denominator included.
  """
  return ratios(*counts(prediction, mask))


def counts(
  prediction: NDArray[np.bool_], mask: NDArray[np.bool_]
) -> tuple[int, int, int, int]:
  """Pixels tp, fp, fn, tn of two bool arrays, over all axes."""
  tp = int(np.count_nonzero(prediction & mask))
  fp = int(np.count_nonzero(prediction)) - tp
  fn = int(np.count_nonzero(mask)) - tp
  return tp, fp, fn, mask.size - tp - fp - fn


def ratios(tp: int, fp: int, fn: int, tn: int) -> dict[str, float]:
  """What `overlap_metrics` makes of the counts, of one image or of many."""
  if_undefined = 1.0 if tp + fp + fn == 0 else 0.0
  return {
    "dice": _ratio(2 * tp, 2 * tp + fp + fn, if_undefined=if_undefined),
    "jaccard": _ratio(tp, tp + fp + fn, if_undefined=if_undefined),
    "sensitivity": _ratio(tp, tp + fn, if_undefined=if_undefined),
    "specificity": _ratio(tn, tn + fp, if_undefined=1.0),
    "precision": _ratio(tp, tp + fp, if_undefined=if_undefined),
    "accuracy": (tp + tn) / (tp + fp + fn + tn),
  }


def ssim(prediction: NDArray[np.bool_], mask: NDArray[np.bool_]) -> float:
  """Mean structural similarity of two binary masks [h, w] as 0.0 and 1.0.

  Gaussian 11x11 window of sigma 1.5, population (not sample) covariances,
  K1 = 0.01, K2 = 0.03, dynamic range 1, averaged over the positions where the
  window lies inside the image: Wang et al., "Image quality assessment: from
  error visibility to structural similarity", IEEE TIP 2004. In [-1, 1], 1 for
  equal masks, two empty ones included.
  """
  if min(mask.shape) < _SSIM_WINDOW:
    raise DataError(
      f"An image of {mask.shape[0]} x {mask.shape[1]} pixels is too small for"
      f" the SSIM metric, whose window is {_SSIM_WINDOW} x {_SSIM_WINDOW}"
      " pixels: evaluate at a resolution of at least that."
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
  """A clean-up after prediction: the `count` largest 4-connected components.

  Two lungs are two components. Among equal sizes those met first, row by row
  from the top left, stay. Masks with no more than `count` are unchanged.

  Args:
    prediction: bool [h, w].
    count: how many components stay, >= 1.

  Returns:
    A new bool array [h, w].

  Raises:
    ValueError: an array that is not [h, w] or has values other than 0, 1.
    ConfigError: `count` below 1.
  """
  if count < 1:
    raise ConfigError(
      f"Keeping the {count} largest components would erase every prediction:"
      " count must be at least 1 (2 for a pair of lungs)."
    )
  prediction, _ = binary_pair(prediction, prediction, ndim=2)
  components, _ = ndimage.label(prediction)
  sizes = np.bincount(components.ravel())[1:]
  largest = 1 + np.argsort(-sizes, kind="stable")[:count]
  return np.isin(components, largest)


def _ratio(part: int, whole: int, *, if_undefined: float) -> float:
  return part / whole if whole else if_undefined
