"""Masks drawn over radiographs: outlines, and where two masks disagree."""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

# Colours of Okabe and Ito, ordered so that neighbouring structures differ.
COLOURS = (
  (86, 180, 233),  # sky blue
  (230, 159, 0),  # orange
  (204, 121, 167),  # reddish purple
  (240, 228, 66),  # yellow
  (0, 158, 115),  # bluish green
  (213, 94, 0),  # vermillion
  (0, 114, 178),  # blue
)
TRUTH = (86, 180, 233)  # sky blue: the reference, and what was missed
PREDICTION = (230, 110, 0)  # orange: the prediction, and what was added
AGREED = (255, 255, 255)  # both outlines on one pixel
SHADE = 0.45  # opacity of the disagreement
_FILL = 0.35  # opacity of the reference of several structures


def colour(k: int) -> tuple[int, int, int]:
  """The colour of structure k; they repeat after seven."""
  return COLOURS[k % len(COLOURS)]


def legend(names: Sequence[str]) -> list[tuple[str, tuple[int, int, int]]]:
  """Each structure's name for readers, with its colour."""
  return [(name.replace("_", " "), colour(k)) for k, name in enumerate(names)]


def draw(
  image: np.ndarray,
  *,
  mask: np.ndarray,
  prediction: np.ndarray,
  width: int = 1,
) -> np.ndarray:
  """Tints the references [h, w, k] and outlines the predictions [h, w, k].

  Each structure has one colour, and later ones cover earlier ones. A single
  structure is drawn by `compare`, whose other arguments, result and error
  these are.
  """
  _check_shapes(image.shape, mask.shape[:2], prediction.shape[:2])
  _check_shapes(mask.shape, prediction.shape)
  if mask.shape[-1] == 1:
    mask, prediction = mask[..., 0], prediction[..., 0]
    return compare(image, mask=mask, prediction=prediction, width=width)
  rgb = _grey_rgb(np.nan_to_num(image.astype(float)))
  for k in range(mask.shape[-1]):
    _tint(rgb, mask[..., k].astype(bool), colour(k), opacity=_FILL)
  for k in range(mask.shape[-1]):
    rgb[_outline(prediction[..., k].astype(bool), width=width)] = colour(k)
  return np.rint(rgb).astype(np.uint8)


def compare(
  image: np.ndarray,
  *,
  mask: np.ndarray,
  prediction: np.ndarray,
  width: int = 1,
) -> np.ndarray:
  """Draws both outlines on the image and shades where the masks disagree.

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
    ValueError: the shapes disagree.
  """
  _check_shapes(image.shape, mask.shape, prediction.shape)
  mask, prediction = mask.astype(bool), prediction.astype(bool)
  rgb = np.rint(_grey_rgb(np.nan_to_num(image.astype(float), nan=0.0)))
  _tint(rgb, mask & ~prediction, TRUTH, opacity=SHADE)
  _tint(rgb, prediction & ~mask, PREDICTION, opacity=SHADE)
  truth = _outline(mask, width=width)
  predicted = _outline(prediction, width=width)
  rgb[truth], rgb[predicted] = TRUTH, PREDICTION
  rgb[truth & predicted] = AGREED
  return np.rint(rgb).astype(np.uint8)


def _check_shapes(*shapes: tuple[int, ...]) -> None:
  if len(set(shapes)) > 1:
    raise ValueError(f"overlay needs one shape for all, got {shapes}")


def _grey_rgb(image: np.ndarray) -> np.ndarray:
  grey = np.clip(image, 0.0, 1.0) * 255.0
  return np.repeat(grey[..., None], 3, axis=-1)


def _tint(
  rgb: np.ndarray,
  region: np.ndarray,
  colour: tuple[int, int, int],
  *,
  opacity: float,
) -> None:
  rgb[region] = (1 - opacity) * rgb[region] + opacity * np.asarray(colour)


def _outline(region: np.ndarray, *, width: int) -> np.ndarray:
  return region & ~ndimage.binary_erosion(region, iterations=width)
