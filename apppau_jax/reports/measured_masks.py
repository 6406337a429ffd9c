"""Measurements of prepared masks in pixels of the raw image, and in cm2."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from apppau_jax.imaging.film import Spacing
from apppau_jax.inference import measurements


class Frame(NamedTuple):
  """The raw image of an example.

  Attributes:
    size: (height, width) in pixels.
    spacing: of the pixels.
  """

  size: tuple[int, int]
  spacing: Spacing


def measure(
  prediction: np.ndarray,
  mask: np.ndarray,
  *,
  structures: Sequence[str],
  frame: Frame,
) -> dict[str, Any]:
  """Measures the masks of one image, see `inference.measurements`.

  Args:
    prediction: bool `[h, w, k]`.
    mask: the reference, of the same shape.
    structures: names of the masks; empty for the lungs.
    frame: of the raw image.

  Returns:
    What is measured of the `predicted` and of the `reference` masks, and what
    states the `spacing`.
  """

  def of(masks: np.ndarray) -> dict[str, float]:
    return measurements.measure(
      masks if structures else masks[..., 0],
      structures=structures,
      size=frame.size,
      spacing=frame.spacing,
    )

  return {
    "spacing": frame.spacing.element,
    "predicted": of(prediction),
    "reference": of(mask),
  }
