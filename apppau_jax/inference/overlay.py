"""Masks drawn over radiographs: outlines, and where two masks disagree."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont
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
_HALO = 0.6  # opacity of the black beside an outline
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


def outline(image: np.ndarray, masks: np.ndarray) -> np.ndarray:
  """Outlines predictions so that they can be seen on bone and on air.

  Outlines have the colours of `legend`, run along the inside of each mask, are
  three pixels wide in images of 1024 pixels a side and never less than two, and
  have a dark line of one pixel on their outer side.

  Args:
    image: float [h, w] in [0, 1].
    masks: bool [h, w, k]; later ones cover earlier ones.

  Returns:
    uint8 [h, w, 3].

  Raises:
    ValueError: the shapes disagree.
  """
  _check_shapes(image.shape, masks.shape[:2])
  rgb = _grey_rgb(np.nan_to_num(image.astype(float)))
  width = max(2, round(max(image.shape) / 384))
  planes = [*np.moveaxis(masks.astype(bool), -1, 0)]
  for mask in planes:
    _tint(rgb, ndimage.binary_dilation(mask) & ~mask, (0, 0, 0), opacity=_HALO)
  for k, mask in enumerate(planes):
    rgb[_outline(mask, width=width)] = colour(k)
  return np.rint(rgb).astype(np.uint8)


def with_legend(drawn: np.ndarray, names: Sequence[str]) -> np.ndarray:
  """Adds a black strip below a picture with the structures and their colours.

  Args:
    drawn: uint8 [h, w, 3].
    names: of the structures, in the order of their colours.

  Returns:
    uint8, higher than `drawn`, and wider only where a name has no room.
  """
  size = max(12, drawn.shape[1] // 50)  # of the letters
  font, line = ImageFont.load_default(size), round(1.5 * size)
  entries = legend(names)
  rooms = [2 * line + round(font.getlength(text)) for text, _ in entries]
  width = max(drawn.shape[1], *rooms)
  places, x, y = [], 0, 0
  for room in rooms:
    if x + room > width:
      x, y = 0, y + line
    places.append((x, y))
    x += room
  strip = Image.new("RGB", (width, y + line))
  pen, edge = ImageDraw.Draw(strip), line // 4
  for (x, y), (text, rgb) in zip(places, entries):
    square = (x + edge, y + edge, x + 3 * edge, y + 3 * edge)
    pen.rectangle(square, fill=rgb)
    at = (x + line, y + line // 2)
    pen.text(at, text, fill="white", font=font, anchor="lm")
  wide = np.pad(drawn, ((0, 0), (0, width - drawn.shape[1]), (0, 0)))
  return np.concatenate([wide, np.asarray(strip)])


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
