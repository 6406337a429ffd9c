"""What the scripts of the page know: the model, and the rules of this package.

Every number that the page shares with `launch.predict` comes from the module
that declares it.
"""

from collections.abc import Mapping
from typing import Any

from apppau_jax.imaging import (
  decode,
  dicom_header,
  file_kinds,
  polarity,
  remarks,
  structure,
  view,
)
from apppau_jax.inference import (
  measurements,
  overlay,
  prediction_images,
  quality,
)
from apppau_jax.inference.prediction_table import Columns


def facts(model: Mapping[str, Any]) -> dict[str, Any]:
  """Returns what the page knows, in JSON's types.

  Args:
    model: what model.json states of the model, see `deploy.export`.
  """
  kept = (
    *("resolution", "bits", "structures", "classes", "threshold"),
    "largest_components",
  )
  masks = [*model["structures"]] or [measurements.LUNGS]
  columns = Columns(
    structures=model["structures"], class_names=model["classes"]
  )
  return {
    **{key: model[key] for key in kept},
    "mask_names": masks,
    "columns": columns.groups()[:-2],  # the last need each member's results
    "suffixes": sorted(file_kinds.SUFFIXES, key=len, reverse=True),
    "colours": [overlay.colour(k) for k in range(len(masks))],
    "rules": rules(),
  }


def rules() -> dict[str, Any]:
  """Returns the numbers by which films and masks are read and judged."""
  lungs, weights = structure.LUNGS, view.weights()
  return {
    "left": measurements.LEFT,
    "right": measurements.RIGHT,
    "heart": measurements.HEART,
    "lungs": measurements.LUNGS,
    "smaller_lung": measurements.SMALLER,
    "most_bytes": decode.MAX_BYTES,
    "most_pixels": decode.MAX_PIXELS,
    "overlay_side": prediction_images.OVERLAY,
    "spacing_sides": dicom_header.SIDES,
    "fewest_levels": remarks.FEWEST_LEVELS,
    "smallest_spread": remarks.SMALLEST_SPREAD,
    "most_extreme": remarks.MOST_EXTREME,
    "smallest_side": remarks.SMALLEST,
    "longest_side": remarks.LONGEST,
    "contrast_side": remarks.SMALL[0],
    "decisive": polarity.DECISIVE,
    "ring": polarity.RING,
    "lungs_possible": lungs.possible,
    "lungs_usual": lungs.usual,
    "lungs_most_frame": lungs.most_frame,
    "quality_low": quality.LOW,
    "quality_lungs": quality.LUNGS,
    "view": {
      "side": view.SIDE,
      "fields": view.FIELDS,
      "directions": view.DIRECTIONS,
      "kinds": [*view.KINDS],
      "weights": weights["weights"].T.tolist(),
      "bias": weights["bias"].tolist(),
    },
  }
