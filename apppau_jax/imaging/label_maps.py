"""Masks of several structures from one picture.

The picture holds one value, one index of its palette, or one colour for each
structure. What each of them means is stated by the caller; a value that is not
stated is refused, since a structure would be missing without a word.
"""

import functools
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from apppau_jax.errors import DataError
from apppau_jax.imaging import decode

Colour = tuple[int, int, int]
_SHOWN = 8  # values in a message


def read_values(
  content: bytes | Path,
  values: Mapping[str, int],
  *,
  name: str = "",
  outside: int = 0,
) -> dict[str, np.ndarray]:
  """Reads the masks of structures from a picture of one value for each.

  Args:
    content: the encoded bytes, or the path of a file. The values of a palette
      picture are its indices; of others its grey levels, as they are stored.
    values: the value of each structure.
    name: of the file, for messages; the path by default.
    outside: the value of pixels that belong to no structure.

  Returns:
    bool [h, w] by structure.

  Raises:
    DataError: the picture has other values, or cannot be read.
    ValueError: two structures have one value.
  """
  name = name or decode.default_name(content)
  levels = decode.read_levels(content, name=name, special=_stored)
  return _divided(
    levels, values, name=name, outside=outside, shown=lambda value: str(value)
  )


def read_colours(
  content: bytes | Path,
  colours: Mapping[str, Colour],
  *,
  name: str = "",
  outside: Colour = (0, 0, 0),
) -> dict[str, np.ndarray]:
  """Reads the masks of structures from a picture of one colour for each.

  Args:
    content: the encoded bytes, or the path of a file.
    colours: red, green and blue of each structure, 0 to 255.
    name: of the file, for messages; the path by default.
    outside: the colour of pixels that belong to no structure.

  Returns:
    bool [h, w] by structure.

  Raises:
    DataError: the picture has other colours, transparent pixels, or cannot be
      read.
    ValueError: two structures have one colour.
  """
  name = name or decode.default_name(content)
  codes = decode.read_levels(
    content, name=name, special=functools.partial(_codes, name=name)
  )
  return _divided(
    codes,
    {structure: _code(colour) for structure, colour in colours.items()},
    name=name,
    outside=_code(outside),
    shown=lambda code: f"({code >> 16}, {code >> 8 & 255}, {code & 255})",
  )


def _divided(
  levels: np.ndarray,
  values: Mapping[str, int],
  *,
  name: str,
  outside: int,
  shown: Callable[[int], str],
) -> dict[str, np.ndarray]:
  stated = [*values.values(), outside]
  if len(set(stated)) < len(stated):
    raise ValueError("two structures, or one and the outside, have one value")
  found, counts = np.unique(levels, return_counts=True)
  other = {
    shown(int(value)): int(count)
    for value, count in zip(found, counts)
    if value not in stated
  }
  if other:
    some = ", ".join(f"{v}: {n}" for v, n in [*other.items()][:_SHOWN])
    raise DataError(
      f"The mask {name} holds {len(other)} values that stand for no structure "
      f"({some}, as value: pixels); only "
      f"{', '.join(map(shown, sorted(stated)))} are expected. It was resampled "
      "with smoothing, or belongs to another set."
    )
  return {structure: levels == value for structure, value in values.items()}


def _stored(image: Image.Image) -> np.ndarray | None:
  """Returns indices of a palette, and the levels of a TIFF unchanged."""
  if image.mode == "P":
    return np.asarray(image)
  if image.format == "TIFF" and image.mode == "L":
    levels = np.asarray(image)
    return ~levels if decode.is_white_zero(image) else levels
  return None


def _codes(image: Image.Image, *, name: str) -> np.ndarray:
  """Returns one number for the colour of each pixel."""
  pixels = np.asarray(image.convert("RGBA")).astype(np.uint32)
  if pixels[..., 3].min() < 255:
    raise DataError(
      f"The mask {name} has transparent pixels, whose colour is undefined. "
      "Save it without an alpha channel."
    )
  return pixels[..., 0] << 16 | pixels[..., 1] << 8 | pixels[..., 2]


def _code(colour: Colour) -> int:
  red, green, blue = colour
  return red << 16 | green << 8 | blue
