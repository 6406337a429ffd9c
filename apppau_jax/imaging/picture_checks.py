"""What Pillow reads without a word, but not as the file means it."""

from PIL import Image
from PIL.GifImagePlugin import GifImageFile
from PIL.TiffImagePlugin import TiffImageFile

from apppau_jax import errors

_FORMAT_TAG = 0x0153  # SampleFormat of TIFF; 2: numbers with a sign


def check_layout(image: Image.Image, *, name: str) -> None:
  """Refuses pixels with a sign, which Pillow ignores, and part of a GIF.

  Args:
    image: opened, not loaded.
    name: of the image, for messages.

  Raises:
    DataError: its grey levels are undefined.
  """
  if isinstance(image, TiffImageFile):
    kinds = image.tag_v2.get(_FORMAT_TAG, (1,))
    if 2 in (kinds if isinstance(kinds, tuple) else (kinds,)):
      raise errors.DataError(
        f"The image {name} has numbers with a sign (SampleFormat, tag "
        f"{_FORMAT_TAG}), whose black and white are undefined. Save it as "
        "unsigned grey."
      )
  gif = isinstance(image, GifImageFile)
  if gif and image.tile[0][1] != (0, 0, *image.size):
    raise errors.DataError(
      f"The image {name} has a frame that is smaller than its screen of "
      f"{image.width}x{image.height} pixels. Save it as PNG."
    )


def check_palette(image: Image.Image, data: bytes, *, name: str) -> None:
  """Refuses pixels beyond the palette, for which Pillow invents a colour.

  Args:
    image: loaded.
    data: the file.
    name: of the image, for messages.

  Raises:
    DataError: there is such a pixel.
  """
  colours = 256
  if image.mode == "P" and image.palette and image.palette.palette:
    colours = len(image.palette.palette) // len(image.palette.mode)
  elif image.format == "GIF" and data[10] & 0x80:  # grey, as Pillow has it
    colours = 2 << (data[10] & 7)
  elif image.format == "BMP" and data[14] >= 40:  # the same
    colours = int.from_bytes(data[46:50], "little") or 256
  highest = image.getextrema()[1] if image.mode in ("P", "L") else 0
  if isinstance(highest, int | float) and highest >= colours:
    raise errors.DataError(
      f"The image {name} has pixels of colour {highest:.0f}, but its palette "
      f"holds {colours}. The file is damaged, or its palette was cut."
    )
