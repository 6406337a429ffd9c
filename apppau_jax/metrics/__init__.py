"""Metrics: NumPy arrays in, numbers out.

`masks` and `surface` compare one predicted mask with its reference,
`statistics` summarises such values over images, `classes` and `classification`
evaluate class probabilities, `by_dataset` and `baselines` treat combined data
sets, and `paper_compat` computes the quantities that the paper prints.
"""

from apppau_jax.metrics.classes import roc_curve
from apppau_jax.metrics.masks import (
  dice,
  jaccard,
  keep_largest_components,
  segmentation_metrics,
  ssim,
)
from apppau_jax.metrics.statistics import summarise
from apppau_jax.metrics.surface import (
  assd,
  hausdorff,
  hausdorff95,
  surface_distances,
)

__all__ = [
  "assd",
  "dice",
  "hausdorff",
  "hausdorff95",
  "jaccard",
  "keep_largest_components",
  "roc_curve",
  "segmentation_metrics",
  "ssim",
  "summarise",
  "surface_distances",
]
