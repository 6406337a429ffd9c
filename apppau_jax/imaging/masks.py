"""Masks: decoding, and the checks that preparing and validation share."""

import functools
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from apppau_jax.errors import DataError
from apppau_jax.imaging import decode

_GREY = 4  # greatest difference of the channels of a grey JPEG
_BETWEEN = 0.005  # of the pixels of a JPEG that are neither dark nor bright
# Two values are two lungs if the smaller one has this share of the larger, the
# pairs of touching pixels are few beside the side of a square of its size, and
# a vertical line divides them but for this share of both.
_SMALLER, _TOUCHING, _CROSSING = 0.25, 0.5, 0.02


# The (height, width) of an image and of a mask.
Frames = tuple[tuple[int, int], tuple[int, int]]


class FrameError(DataError):
  """A mask has another size than its image."""


def read_mask(content: bytes | Path, *, name: str = "") -> np.ndarray:
  """Decodes one mask of two values, or of one value for each lung.

  - Levels: 0 outside and 1, 255 or full scale inside.
  - A palette of two entries: black outside, or entry 0 if none is black.
  - Black and one colour: black outside. Transparent pixels are outside.
  - A TIFF in which zero is white: as it is stored, as ImageJ means it.
  - JPEG: thresholded at half, if at most 0.5 % of the pixels are between 64
    and 191.
  - Two levels beside 0, such as 1 and 2, if they are the two lungs: one lies
    left of the other, they hardly touch, and neither is far smaller.

  Args:
    content: the encoded bytes, or the path of a file.
    name: of the file, for messages; the path by default.

  Returns:
    bool [h, w], True inside.

  Raises:
    DataError: other values (the message has their histogram), or any of the
      reasons of `decode.read_grey`.
  """
  name = name or decode.default_name(content)
  stored = functools.partial(_stored, name=name)
  grey = decode.read_levels(content, name=name, special=stored)
  inside, most = grey != 0, grey.max()
  full = np.iinfo(grey.dtype).max
  # Counting is far faster than finding the values of most masks, which are two.
  if most in (0, 1, 255, full) and not np.any(inside & (grey != most)):
    return inside
  values = np.unique(grey[inside])
  if len(values) == 2 and _are_two_lungs(*(grey == v for v in values)):
    return inside
  counts = np.bincount(grey.ravel())
  values = np.flatnonzero(counts)
  common = values[np.argsort(-counts[values], kind="stable")[:8]]
  histogram = ", ".join(f"{value}: {counts[value]}" for value in common)
  raise DataError(
    f"The mask {name} holds {len(values)} different values ({histogram}"
    f"{', ...' if len(values) > 8 else ''}), but only {{0, 1}}, {{0, 255}}, "
    f"{{0, {full}}} or one value for each lung are valid. Threshold it, or "
    "export it again without smoothing."
  )


def _stored(image: Image.Image, *, name: str) -> np.ndarray | None:
  """Returns the levels of a mask that differ from those of a radiograph."""
  if image.mode == "P":
    return _palette_levels(image)
  if image.mode in ("RGB", "RGBA", "LA"):
    return _colour_levels(image, name=name)
  if image.format == "JPEG" and image.mode == "L":
    return _thresholded(np.asarray(image))
  if image.format == "TIFF" and image.mode == "L":
    levels = np.asarray(image)
    return ~levels if decode.is_white_zero(image) else levels
  if image.format == "TIFF" and image.mode.startswith("I;16"):
    return np.asarray(image).astype(np.uint16)
  return None


def _palette_levels(image: Image.Image) -> np.ndarray | None:
  """Returns 0 for black and 1, 2, ... for the other entries in use.

  Without black, entry 0 is 0. None for many levels of grey.
  """
  indices = np.asarray(image)
  used = np.unique(indices)
  palette = np.zeros((256, 3), np.uint8)
  stated = np.reshape(image.getpalette() or [], (-1, 3))[:256]
  palette[: len(stated)] = stated
  black = used[~palette[used].any(axis=1)]
  inside = np.setdiff1d(used, black if len(black) else [0])
  if len(inside) > 2 and not np.ptp(palette[used], axis=1).any():
    return None
  levels = np.zeros(256, np.uint8)
  levels[inside] = np.arange(1, len(inside) + 1)
  return levels[indices]


def _colour_levels(image: Image.Image, *, name: str) -> np.ndarray | None:
  """Returns the levels of equal channels, and 1 for a colour beside black."""
  pixels = np.asarray(image.convert("RGBA"))
  opaque = pixels[..., 3] == 255
  if not (opaque | (pixels[..., 3] == 0)).all():
    return None
  colours = pixels[..., :3] * opaque[..., None]
  spread = np.ptp(colours, axis=2).max()
  if image.format == "JPEG" and spread <= _GREY:
    return _thresholded(colours[..., 1])
  if not spread:
    return colours[..., 0]
  inside = colours.any(axis=2)
  if (colours[inside] != colours[inside][:1]).any():
    raise DataError(
      f"The mask {name} has several colours; only black and one other are "
      "valid. Save it in grey, 0 outside and 255 inside."
    )
  return inside.astype(np.uint8)


def _thresholded(grey: np.ndarray) -> np.ndarray | None:
  """Returns 0 and 1 for the levels of a JPEG near 0 and 255, else None."""
  between = np.count_nonzero((grey >= 64) & (grey < 192))
  if between > _BETWEEN * grey.size or grey.max() < 192:
    return None
  return (grey >= 128).astype(np.uint8)


def _are_two_lungs(one: np.ndarray, other: np.ndarray) -> bool:
  """Whether two masks of an image can be its two lungs."""
  areas = one.sum(), other.sum()
  touching = sum(
    np.count_nonzero((a[1:] & b[:-1]).ravel())
    for a, b in ((one, other), (other, one), (one.T, other.T), (other.T, one.T))
  )
  left = np.cumsum([one.sum(axis=0), other.sum(axis=0)], axis=1)
  # The share of both that a vertical line puts on the wrong side, at best.
  wrong = [areas[i] - left[i] + left[1 - i] for i in (0, 1)]
  return (
    min(areas) >= _SMALLER * max(areas)
    and touching <= _TOUCHING * min(areas) ** 0.5
    and np.min(wrong) <= _CROSSING * sum(areas)
  )


class Coverage(NamedTuple):
  """How much of an image a mask covers, as fractions.

  Attributes:
    image: of all pixels.
    frame: of the outermost pixels.
  """

  image: float
  frame: float


def coverage(mask: np.ndarray) -> Coverage:
  """Measures bool [h, w]."""
  frame = np.concatenate([mask[0], mask[-1], mask[1:-1, 0], mask[1:-1, -1]])
  return Coverage(float(mask.mean()), float(frame.mean()))


def check_frame(
  mask: tuple[int, ...],
  image: tuple[int, ...],
  *,
  name: str,
  scaled: bool,
  frames: Frames | None = None,
) -> None:
  """Checks that a mask shows the frame of its image.

  Args:
    mask: its (height, width).
    image: that of the image, or of another of its masks.
    name: of the mask, for messages.
    scaled: the mask may be coarser or finer by the same integer in both
      directions.
    frames: sizes of an image and of a mask that show the same frame although
      they differ, because the owner of the set says so.

  Raises:
    FrameError: it does not.
  """
  (h, w), (rows, columns) = image, mask
  multiple = h * columns == w * rows and not (h % rows and rows % h)
  if mask == image or (scaled and multiple) or (image, mask) == frames:
    return
  raise FrameError(
    f"The mask {name} is {columns}x{rows} pixels but its image is {w}x{h}. "
    "They must match pixel by pixel; neither is stretched."
  )
