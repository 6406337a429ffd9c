"""How metrics and numbers are written for readers."""

import math
import numbers
from typing import Any, NamedTuple


class Metric(NamedTuple):
  """A metric's label, meaning, unit and better direction."""

  label: str
  meaning: str
  unit: str = ""
  better: str = "higher"


_LENGTH = ("px", "lower")
SEGMENTATION: dict[str, Metric] = {
  "dice": Metric("Dice", "overlap 2|A∩B| / (|A|+|B|) of prediction and mask"),
  "jaccard": Metric("Jaccard", "overlap |A∩B| / |A∪B|, also called IoU"),
  "ssim": Metric("SSIM", "structural similarity of the two binary masks"),
  "f1": Metric("F1", "of precision and recall; equals Dice"),
  "hausdorff": Metric(
    "Hausdorff", "largest distance from one outline to the other", *_LENGTH
  ),
  "hausdorff95": Metric(
    "HD95", "95th percentile of these distances, larger direction", *_LENGTH
  ),
  "average_hausdorff": Metric(
    "Average Hausdorff", "mean of these distances, larger direction", *_LENGTH
  ),
  "assd": Metric("ASSD", "mean distance over both outlines", *_LENGTH),
  "sensitivity": Metric("Sensitivity", "share of the lungs that was found"),
  "specificity": Metric("Specificity", "share of the background left out"),
  "precision": Metric("Precision", "share of the prediction that is lung"),
  "recall": Metric("Recall", "equals sensitivity"),
}

CLASSIFICATION: dict[str, Metric] = {
  "accuracy": Metric("Accuracy", "share of images classified correctly"),
  "balanced_accuracy": Metric(
    "Balanced accuracy", "mean of the accuracies within each class"
  ),
  "macro_f1": Metric("Macro F1", "mean of the classes’ F1"),
  "f1": Metric("F1 of ", "of precision and recall of this class"),
  "auroc": Metric(
    "AUROC", "probability that of two images the positive one scores higher"
  ),
  "mcc": Metric("MCC", "correlation of true and predicted class, −1 to 1"),
  "ece": Metric(
    "ECE", "mean difference of confidence and accuracy, 10 bins", better="lower"
  ),
  "brier": Metric(
    "Brier", "squared error summed over the classes, 0 to 2", better="lower"
  ),
}


# Of metrics.paper_compat.
PAPER_UNITS = {
  "js_pixel_accuracy": "JS: pixel accuracy a",
  "ds_from_accuracy": "DS: 2a / (1 + a)",
  "sensitivity_background": "SN: sensitivity, background positive",
  "specificity_background": "SP: specificity, background positive",
  "precision_background": "PR: precision, background positive",
  "recall_background": "RC: recall, background positive",
  "f1_background": "F1, background positive",
  "hausdorff_rows": "HD: between rows of pixels",
}


def model_name(preset: str) -> str:
  """A preset's name in print: U-Net, Attention U-Net, PPAU-Net."""
  if preset == "ppau_unet":
    return "PPAU-Net"
  name = preset.replace("_", " ").replace("unet", "U-Net")
  return name[0].upper() + name[1:]


def number(value: Any, unit: str = "") -> str:
  """A value for readers: ratios to 4 places, lengths (with a unit) to 2.

  Values that are not finite numbers become words, never an error.
  """
  if value is None:
    return "–"
  if isinstance(value, bool) or not isinstance(value, numbers.Real):
    return str(value)
  if isinstance(value, numbers.Integral):
    return f"{int(value):,}"
  value = float(value)
  if math.isnan(value):
    return "undefined"
  if math.isinf(value):
    return "infinite" if value > 0 else "−infinite"
  return f"{value:.2f}" if unit else f"{value:.4f}"
