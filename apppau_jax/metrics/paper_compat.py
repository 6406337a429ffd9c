"""The quantities that the APPAU-Net paper prints, inferred from its tables.

Solving Tables 1 and 2 for the counts behind each row shows that the printed
names do not mean what they usually mean. This module recomputes the printed
units, only so that our runs can be laid beside the paper's rows; `metrics`
holds the numbers to trust. What each key is, and why it is read so:

  js_pixel_accuracy       "JS" equals the pixel accuracy a of its row (to 0.001
                          in 31 of 36 rows), as scikit-learn's withdrawn
                          `jaccard_similarity_score` gave on binary input.
  ds_from_accuracy        "DS" equals 2a / (1 + a): Dice from Jaccard, applied
                          to the accuracy.
  sensitivity_background  "SN", "SP", "PR", "RC" and "F1" are pooled over all
  specificity_background  pixels of the test set with the BACKGROUND as the
  precision_background    positive class in the Shenzhen, JSRT and combined
  recall_background       rows (not in all Montgomery rows). So specificity
  f1_background           here is the recall of the lungs.
  hausdorff_rows          "HD" behaves as SciPy's `directed_hausdorff(mask,
                          prediction)` on the 2-D arrays, which takes each ROW
                          of pixels for a point in w dimensions: the square
                          root of a number of differing pixels, not a distance
                          between boundaries. Mean over images.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial.distance import directed_hausdorff

from apppau_jax.metrics import masks as metrics
from apppau_jax.metrics.surface import binary_pair


class Tally(NamedTuple):
  """What one image adds to the units of a test set.

  Attributes:
    tp, fp, fn, tn: its pixels, with the background for the positive class.
    hausdorff_rows: see the module's head.
  """

  tp: int
  fp: int
  fn: int
  tn: int
  hausdorff_rows: float


def tally(prediction: ArrayLike, mask: ArrayLike) -> Tally:
  """What one image adds, of two masks bool [h, w], True on lung."""
  prediction, mask = binary_pair(prediction, mask, ndim=2)
  rows = directed_hausdorff(mask.astype(float), prediction.astype(float))
  return Tally(*metrics.counts(~prediction, ~mask), rows[0])


def paper_compat(predictions: ArrayLike, masks: ArrayLike) -> dict[str, float]:
  """The paper's printed units for a whole test set; see the module's head.

  Args:
    predictions: bool [n, h, w], True on lung, as everywhere in this package.
    masks: bool [n, h, w], the reference.

  Returns:
    js_pixel_accuracy, ds_from_accuracy, sensitivity_background,
    specificity_background, precision_background, recall_background,
    f1_background, all in [0, 1], and hausdorff_rows in [0, sqrt(w)], without
    unit. Undefined ratios follow `metrics.overlap_metrics`: 1 where neither
    array has background, 0 where one has, specificity 1 where no lung is.

  Raises:
    ValueError: no image, shapes that differ or are not [n, h, w], or values
      other than 0 and 1.
  """
  predictions, masks = binary_pair(predictions, masks, ndim=3)
  return of_tallies([tally(*pair) for pair in zip(predictions, masks)])


def of_tallies(tallies: Sequence[Tally]) -> dict[str, float]:
  """`paper_compat` of images tallied one by one; at least one."""
  pooled = (sum(column) for column in list(zip(*tallies))[:4])
  background = metrics.ratios(*pooled)
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
