"""Masks drawn over radiographs: outlines, disagreement, several structures."""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

# Okabe and Ito's, in an order that keeps neighbours in a chest apart.
COLOURS = (
  (86, 180, 233),  # sky blue
  (230, 159, 0),  # orange
  (204, 121, 167),  # reddish purple
  (240, 228, 66),  # yellow
  (0, 158, 115),  # bluish green
  (213, 94, 0),  # vermillion
  (0, 114, 178),  # blue
)
TRUTH = (86, 180, 233)  # sky blue: the mask, and what the prediction missed
PREDICTION = (230, 110, 0)  # orange: the prediction, and what it added
AGREED = (255, 255, 255)  # both outlines on one pixel
SHADE = 0.45  # opacity of the disagreement
_FILL = 0.35  # opacity of the reference


def colour(k: int) -> tuple[int, int, int]:
  """The colour of structure k; they repeat after seven."""
  return COLOURS[k % len(COLOURS)]


def draw(
  image: np.ndarray,
  *,
  mask: np.ndarray,
  prediction: np.ndarray,
  width: int = 1,
) -> np.ndarray:
  """Tints each reference and outlines each prediction in one colour.

  A later structure is drawn over an earlier one. Of a single one it is
  `compare`, which shows every disagreement.

  Args:
    image: float [h, w] in [0, 1].
    mask: bool [h, w, k], the references.
    prediction: bool [h, w, k].
    width: thickness of the outlines in pixels.

  Returns:
    uint8 [h, w, 3].

  Raises:
    ValueError: when the three do not have one shape [h, w].
  """
  if mask.shape != prediction.shape or mask.shape[:2] != image.shape:
    raise ValueError(
      f"overlay needs one shape [h, w, k], got image {image.shape}, mask "
      f"{mask.shape}, prediction {prediction.shape}"
    )
  if mask.shape[-1] == 1:
    return compare(
      image, mask=mask[..., 0], prediction=prediction[..., 0], width=width
    )
  grey = np.clip(np.nan_to_num(image.astype(float)), 0.0, 1.0) * 255.0
  rgb = np.repeat(grey[..., None], 3, axis=-1)
  for k in range(mask.shape[-1]):
    region = mask[..., k].astype(bool)
    rgb[region] = (1 - _FILL) * rgb[region] + _FILL * np.asarray(colour(k))
  for k in range(mask.shape[-1]):
    region = prediction[..., k].astype(bool)
    inside = ndimage.binary_erosion(region, iterations=width)
    rgb[region & ~inside] = colour(k)
  return np.rint(rgb).astype(np.uint8)


def legend(names: Sequence[str]) -> list[tuple[str, tuple[int, int, int]]]:
  """Each name as a reader writes it, and its colour."""
  return [(name.replace("_", " "), colour(k)) for k, name in enumerate(names)]


def compare(
  image: np.ndarray,
  *,
  mask: np.ndarray,
  prediction: np.ndarray,
  width: int = 1,
) -> np.ndarray:
  """Draws both outlines on the image and shades where they disagree.

  Outlines run along the inside of each region and are `AGREED` where they
  coincide; pixels of one region alone are tinted in its colour.

  Args:
    image: float [h, w] in [0, 1].
    mask: bool [h, w], drawn in `TRUTH`.
    prediction: bool [h, w], drawn in `PREDICTION`.
    width: thickness of the outlines in pixels.

  Returns:
    uint8 [h, w, 3].

  Raises:
    ValueError: when the three do not have one shape.
  """
  if not image.shape == mask.shape == prediction.shape:
    raise ValueError(
      f"overlay needs one shape [h, w], got image {image.shape}, mask "
      f"{mask.shape}, prediction {prediction.shape}"
    )
  mask, prediction = mask.astype(bool), prediction.astype(bool)
  rgb = np.repeat(_bytes(image)[..., None], 3, axis=-1).astype(float)
  alone = ((mask & ~prediction, TRUTH), (prediction & ~mask, PREDICTION))
  for region, colour in alone:
    rgb[region] = (1 - SHADE) * rgb[region] + SHADE * np.asarray(colour)
  truth, predicted = (
    region & ~ndimage.binary_erosion(region, iterations=width)
    for region in (mask, prediction)
  )
  rgb[truth], rgb[predicted] = TRUTH, PREDICTION
  rgb[truth & predicted] = AGREED
  return np.rint(rgb).astype(np.uint8)


def _bytes(image: np.ndarray) -> np.ndarray:
  unit = np.clip(np.nan_to_num(image.astype(float), nan=0.0), 0.0, 1.0)
  return np.rint(255 * unit).astype(np.uint8)
