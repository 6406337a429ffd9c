"""Decode radiographs from PNG, JPEG, GIF, TIFF, BMP or DICOM to grey levels.

The rules for formats and pixel modes are stated here. A file that no rule
covers is refused with a `DataError` that names it; nothing is repaired.
"""

import contextlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from apppau_jax import errors
from apppau_jax.imaging import (
  boundary,
  dicom,
  file_kinds,
  grey_levels,
  isolated,
  picture_checks,
)
from apppau_jax.imaging.film import Film
from apppau_jax.imaging.grey_levels import deepen, stretch

SUFFIXES = (
  *(".png", ".jpg", ".jpeg", ".tif", ".tiff", ".gif", ".bmp"),
  *(".dcm", ".dicom"),
)
MAX_BYTES = 128 * 1024 * 1024  # of a file
MAX_PIXELS = 64 * 1024 * 1024
MAX_SIDE = 32768
MAX_SCANS = 100  # of a JPEG; progressive ones have about ten

# JPEG stores a grey picture as YCbCr with rounding; the others are lossless.
_CHANNEL_TOLERANCE = {"JPEG": 4}
_ORIENTATION_TAG = 0x0112
_UPRIGHT = (0, 1)  # cameras write 0 where they state none
_BITS_TAG = 0x0102  # of TIFF, one a channel
_PHOTOMETRIC_TAG = 0x0106  # of TIFF; 0: white is zero


def read_grey(
  content: bytes | Path, *, name: str = "", bits: int = 8
) -> np.ndarray:
  """Decodes one picture to grey levels, see `read_film`."""
  return read_film(content, name=name, bits=bits).levels


def read_film(content: bytes | Path, *, name: str = "", bits: int = 8) -> Film:
  """Decodes one picture to grey levels, with remarks on its header.

  Mode `L` is taken as it is, `P` through its palette, `1` as black and white.
  Images of 16 bits are stretched from their lowest value (black) to their
  highest (white), since a file does not state how many bits it uses. Colour of
  8 bits is accepted if the channels are equal, transparency if all pixels are
  opaque, or in a GIF, whose palette states the transparent level. For DICOM
  see `dicom`.

  Args:
    content: the encoded bytes, or the path of a file.
    name: of the file, for messages; the path by default.
    bits: of the result, 8 or 16; white is 255 or 65535.

  Returns:
    The levels, what a DICOM header says against a frontal upright film, and
    the spacing that it states.

  Raises:
    DataError: a damaged or oversized file, or one that no rule covers.
  """
  name = name or default_name(content)
  with boundary.refusing(name):
    content = _read(content, name=name)
    if file_kinds.is_dicom(content):
      return _read_dicom(content, name=name, bits=bits)
    grey = read_levels(content, name=name)
    if grey.dtype == np.uint16:
      return Film(stretch(grey, bits=bits))
    return Film(deepen(grey, bits=bits))


def _read_dicom(content: bytes, *, name: str, bits: int) -> Film:
  if isolated.is_compressed(content):
    return isolated.read_dicom(
      content, name=name, bits=bits, max_bytes=MAX_BYTES
    )
  return dicom.read_dicom(content, name=name, bits=bits, check_size=check_size)


def read_prepared(
  png: bytes, *, side: int | None = None, dtype: type | None = None
) -> np.ndarray:
  """Decodes a picture of a prepared set, its levels unchanged.

  Args:
    png: the encoded bytes. They may come from an untrusted folder.
    side: the side that the picture must have; checked before decoding.
    dtype: the type of the levels that it must have.

  Returns:
    uint8 or uint16 [h, w].

  Raises:
    DataError: it is no such picture.
  """
  try:
    with Image.open(io.BytesIO(png), formats=("PNG",)) as image:
      check_size(image.height, image.width, name="of a prepared set")
      if side is not None and image.size != (side, side):
        raise ValueError(f"{image.width}x{image.height} pixels, not {side}")
      levels = np.asarray(image)
  except Exception as e:  # as in `boundary`
    raise errors.DataError(
      "A prepared set holds a picture that cannot be used: "
      f"{boundary.reason(e)}. Prepare the set again."
    ) from e
  levels = levels if levels.dtype == np.uint8 else levels.astype(np.uint16)
  if levels.ndim != 2 or (dtype and levels.dtype != dtype):
    raise errors.DataError(
      f"A prepared set holds a picture of {levels.dtype} {levels.shape}, not "
      "the grey levels expected. Prepare the set again."
    )
  return levels


def default_name(content: bytes | Path) -> str:
  """Returns what messages call a picture: its path, if it has one."""
  return "in memory" if isinstance(content, bytes) else str(content)


def _read(content: bytes | Path, *, name: str) -> bytes:
  """Reads a file unless it is larger than any radiograph."""
  if isinstance(content, bytes):
    return content
  try:
    with content.open("rb") as file:
      data = file.read(MAX_BYTES + 1)
  except OSError as e:
    raise errors.DataError(f"The image {name} cannot be read ({e}).") from e
  if len(data) > MAX_BYTES:
    raise errors.DataError(
      f"The image {name} is larger than {MAX_BYTES:,} bytes, more than any "
      "radiograph."
    )
  return data


def read_levels(
  content: bytes | Path,
  *,
  name: str,
  special: Callable[[Image.Image], np.ndarray | None] = lambda image: None,
) -> np.ndarray:
  """Decodes a picture, no DICOM, to the levels that it stores.

  Args:
    content: the encoded bytes, or the path of a file.
    name: of the file, for messages.
    special: returns the levels of a decoded picture that has rules of its own,
      else None.

  Returns:
    uint8 or uint16 [h, w].

  Raises:
    DataError: see `read_film`.
  """
  with boundary.refusing(name):
    data = _read(content, name=name)
    if data.startswith(b"\x89PNG"):
      _open(data).verify()  # the checksum of every chunk; needs a fresh open
    with opened(data, name=name) as image:
      _check_header(image, name=name)
      _check_scans(image, data)
      _check_depth(image, data, name=name)
      picture_checks.check_layout(image, name=name)
      image.load()
      picture_checks.check_palette(image, data, name=name)
      levels = special(image)
      return _to_grey(image, name=name) if levels is None else levels


@contextlib.contextmanager
def opened(data: bytes, *, name: str) -> Iterator[Image.Image]:
  """Opens a picture, no DICOM; its pixels are not decoded yet.

  Raises:
    DataError: it cannot be opened, or used within the context.
  """
  with boundary.refusing(name), _open(data) as image:
    yield image


def _open(data: bytes) -> Image.Image:
  return Image.open(io.BytesIO(data), formats=boundary.FORMATS)


def _check_header(image: Image.Image, *, name: str) -> None:
  """Refuses unusable pictures before any pixel is decoded."""
  width, height = image.size
  check_size(height, width, name=name)
  # To count them takes time that is quadratic in their number for TIFF.
  if getattr(image, "is_animated", False):
    raise errors.DataError(
      f"The image {name} has several frames; one was expected."
    )
  if image.getexif().get(_ORIENTATION_TAG, 1) not in _UPRIGHT:
    raise errors.DataError(
      f"The image {name} carries an EXIF rotation, so that its pixels and "
      "its mask may disagree. Save it upright, without the tag."
    )


def _check_scans(image: Image.Image, data: bytes) -> None:
  """Refuses a JPEG of so many passes over all pixels that it takes hours."""
  is_jpeg = "jpeg" in str(image.info.get("compression", image.format)).lower()
  if is_jpeg and (scans := data.count(b"\xff\xda")) > MAX_SCANS:
    raise ValueError(f"{scans} JPEG scans; at most {MAX_SCANS} are accepted")


def _check_depth(image: Image.Image, data: bytes, *, name: str) -> None:
  """Refuses 16 bits in several channels, of which Pillow reads 8."""
  if image.format == "PNG":  # of IHDR, whose place is fixed
    depth, grey = data[24], data[25] == 0
  elif isinstance(image, TiffImageFile):
    samples = image.tag_v2.get(_BITS_TAG, (1,))
    depth, grey = max(samples), len(samples) == 1
  else:
    return
  if depth > 8 and not grey:
    raise errors.DataError(
      f"The image {name} has {depth} bits in each of several channels, of "
      "which only the upper 8 can be read. Save it as 16-bit grey."
    )


def check_size(height: int, width: int, *, name: str) -> None:
  """Refuses a size that no radiograph has, before pixels are decoded.

  Raises:
    DataError: it is larger than `MAX_PIXELS` or `MAX_SIDE`.
  """
  if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
    raise errors.DataError(
      f"The image {name} states a size of {width}x{height} pixels; at most "
      f"{MAX_PIXELS:,} pixels and {MAX_SIDE:,} a side are accepted. The file "
      "is damaged or not a radiograph."
    )


def is_white_zero(image: Image.Image) -> bool:
  """Returns whether a picture is a TIFF in which zero is white."""
  return (
    isinstance(image, TiffImageFile) and image.tag_v2.get(_PHOTOMETRIC_TAG) == 0
  )


def _to_grey(image: Image.Image, *, name: str) -> np.ndarray:
  mode = image.mode
  if mode.startswith("I;16"):
    deep = np.asarray(image).astype(np.uint16)
    if deep.size and (deep == image.info.get("transparency", -1)).any():
      raise _transparent(name)
    # Pillow inverts such files of 8 bits but not those of 16.
    return 65535 - deep if is_white_zero(image) else deep
  if mode == "I" and image.format == "PNG":  # 16 bits in older Pillow
    return np.asarray(image).astype(np.uint16)
  # A GIF's transparent entry has a colour in the palette all the same.
  see_through = "transparency" in image.info and image.format != "GIF"
  if mode in ("L", "1", "P", "RGB") and see_through:
    image = image.convert("RGBA")
  elif mode == "L":
    return np.asarray(image)
  elif mode == "1":
    return np.asarray(image.convert("L"))
  elif mode == "P":
    image = image.convert("RGB")
  elif mode not in ("RGB", "RGBA", "LA"):
    raise errors.DataError(
      f"The image {name} has pixel mode {mode}, for which no conversion to "
      "grey is defined. Save it as 8-bit or 16-bit grey PNG."
    )
  pixels = np.asarray(image)
  if pixels.shape[2] in (2, 4) and pixels[..., -1].min() < 255:
    raise _transparent(name)
  tolerance = _CHANNEL_TOLERANCE.get(image.format or "", 0)
  return grey_levels.equal_channels(pixels, tolerance=tolerance, name=name)


def _transparent(name: str) -> errors.DataError:
  return errors.DataError(
    f"The image {name} has transparent pixels, whose grey value is "
    "undefined. Save it without an alpha channel."
  )


def encode_png(image: np.ndarray) -> bytes:
  """Encodes uint8 or uint16 [h, w] as PNG, deterministically."""
  buffer = io.BytesIO()
  Image.fromarray(image).save(buffer, "PNG", compress_level=6)
  return buffer.getvalue()
