"""The quantities that the APPAU-Net paper prints, inferred from its tables.

Solving Tables 1 and 2 for the pixel counts behind each row shows that the
printed names do not have their usual meaning. This module computes the printed
quantities only for comparison with the paper's rows; `masks` has the metrics to
use. The keys, and the evidence for them:

  js_pixel_accuracy       "JS" equals the pixel accuracy a of its row (to 0.001
                          in 31 of 36 rows), which scikit-learn's withdrawn
                          `jaccard_similarity_score` gave for binary input.
  ds_from_accuracy        "DS" equals 2a / (1 + a), the conversion from Jaccard
                          to Dice, applied to the accuracy.
  sensitivity_background  "SN", "SP", "PR", "RC" and "F1" are pooled over all
  specificity_background  pixels of the test set with the BACKGROUND as the
  precision_background    positive class in the Shenzhen, JSRT and combined
  recall_background       rows (not in all Montgomery rows). So specificity
  f1_background           here is the recall of the lungs.
  hausdorff_rows          "HD" behaves like SciPy's `directed_hausdorff(mask,
                          prediction)` on the 2-D arrays, which takes each ROW
                          of pixels as a point in w dimensions. That is the
                          square root of a number of differing pixels, not a
                          distance between boundaries. Mean over images.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial.distance import directed_hausdorff

from apppau_jax.metrics.masks import counts, ratios
from apppau_jax.metrics.surface import binary_pair


class Tally(NamedTuple):
  """The contribution of one image to the quantities of a test set.

  Attributes:
    tp, fp, fn, tn: Its pixels, with the background as the positive class.
    hausdorff_rows: See the module's head.
  """

  tp: int
  fp: int
  fn: int
  tn: int
  hausdorff_rows: float


def tally(prediction: ArrayLike, mask: ArrayLike) -> Tally:
  """Return the contribution of one image: two bool [h, w], True on lung."""
  prediction, mask = binary_pair(prediction, mask, ndim=2)
  rows = directed_hausdorff(mask.astype(float), prediction.astype(float))
  return Tally(*counts(~prediction, ~mask), rows[0])


def paper_compat(predictions: ArrayLike, masks: ArrayLike) -> dict[str, float]:
  """Compute the paper's printed quantities for a test set.

  Args:
    predictions: Bool [n, h, w], True on lung, as everywhere in this package.
    masks: Bool [n, h, w], the reference.

  Returns:
    js_pixel_accuracy, ds_from_accuracy, sensitivity_background,
    specificity_background, precision_background, recall_background,
    f1_background, all in [0, 1], and hausdorff_rows in [0, sqrt(w)], without
    unit. Undefined ratios follow `masks.overlap_metrics`: 1 if neither array
    has background, 0 if one has; specificity is 1 if there is no lung.

  Raises:
    ValueError: There is no image, shapes differ or are not [n, h, w], or values
      are not 0 or 1.
  """
  predictions, masks = binary_pair(predictions, masks, ndim=3)
  return of_tallies([tally(*pair) for pair in zip(predictions, masks)])


def of_tallies(tallies: Sequence[Tally]) -> dict[str, float]:
  """Compute `paper_compat` from the contributions of at least one image."""
  pooled = (sum(column) for column in list(zip(*tallies))[:4])
  background = ratios(*pooled)
  accuracy = background["accuracy"]
  return {
    "js_pixel_accuracy": accuracy,
    "ds_from_accuracy": 2 * accuracy / (1 + accuracy),
    "sensitivity_background": background["sensitivity"],
    "specificity_background": background["specificity"],
    "precision_background": background["precision"],
    "recall_background": background["sensitivity"],
    "f1_background": background["dice"],
    "hausdorff_rows": float(np.mean([t.hausdorff_rows for t in tallies])),
  }
