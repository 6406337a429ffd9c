"""What `Model.predict` accepts: image files, and arrays of grey levels."""

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from apppau_jax.errors import DataError
from apppau_jax.imaging import decode, grey_levels, remarks, resample
from apppau_jax.imaging.film import Film, Spacing

Image = str | os.PathLike[str] | np.ndarray


class NetworkInput(NamedTuple):
  """An image at the network's resolution.

  Attributes:
    levels: `[r, r]` uint8 or uint16.
    size: (height, width) of the image itself.
    remarks: what is unusual about the image, one sentence each.
    spacing: of the image's own pixels; None if its file does not state it.
  """

  levels: np.ndarray
  size: tuple[int, int]
  remarks: tuple[str, ...] = ()
  spacing: Spacing | None = None


def network_input(image: Image, *, resolution: int, bits: int) -> NetworkInput:
  """Reads an image and resamples it to the network's resolution.

  Raises:
    DataError: a file that cannot be read, or an image of one grey level.
    ValueError: an array that is not an image, see `film_of`.
  """
  film = film_of(image, bits=bits)
  grey = film.levels
  if grey.min() == grey.max():
    what = "The array" if isinstance(image, np.ndarray) else f"{image}"
    raise DataError(
      f"{what} shows nothing: every pixel has the level {grey.flat[0]}."
    )
  levels = resample.resize_area(grey, (resolution, resolution))
  size = (grey.shape[0], grey.shape[1])
  return NetworkInput(levels, size, remarks.on_image(film), film.spacing)


def film_of(image: Image, *, bits: int = 8) -> Film:
  """Grey levels `[h, w]` of an image, dense parts bright.

  A file is read by the rules of `imaging.decode`. An array of uint8 is taken
  as it is. Any other integer or float array, whatever its range, is scaled
  linearly from its lowest value (black) to its highest (white), as a file of
  16 bits is.

  Args:
    image: a path, or an array `[h, w]`.
    bits: of the result, 8 or 16: white is 255 or 65535.

  Returns:
    The levels, uint8 or uint16 `[h, w]`, remarks on a file's header and its
    spacing.

  Raises:
    DataError: a file that cannot be read.
    ValueError: an array of another shape or type, or with values that are not
      finite.
  """
  if isinstance(image, str | os.PathLike):
    return decode.read_film(Path(image).expanduser(), bits=bits)
  pixels = np.asarray(image)
  if pixels.ndim != 2 or not pixels.size or pixels.dtype.kind not in "uif":
    raise ValueError(
      f"an array {pixels.shape} of {pixels.dtype} is not an image: give grey "
      "levels [h, w], integers or floats, and several images as a list"
    )
  if pixels.dtype == np.uint8:
    return Film(grey_levels.deepen(pixels, bits=bits))
  if not np.isfinite(pixels).all():
    raise ValueError("the array holds values that are not finite")
  return Film(grey_levels.stretch(pixels, bits=bits))
