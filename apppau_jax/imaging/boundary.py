"""The one boundary around everything that parses a picture."""

import contextlib
from collections.abc import Iterator

from PIL import UnidentifiedImageError

from apppau_jax import errors

FORMATS = ("PNG", "JPEG", "GIF", "TIFF", "BMP")  # as Pillow names them


@contextlib.contextmanager
def refusing(name: str) -> Iterator[None]:
  """Raises whatever a parser raises for a picture as a `DataError`.

  Args:
    name: of the picture, for messages.
  """
  try:
    yield
  except errors.UserError:
    raise
  except Exception as error:  # a damaged file may raise anything in a parser
    raise errors.DataError(
      f"The image {name} cannot be read ({reason(error)}). The file is "
      f"damaged, truncated, too large, or not one of {', '.join(FORMATS)} "
      "(images also: DICOM). Get it again from its owner."
    ) from error


def reason(error: Exception) -> str:
  """Returns one line about what a parser raised."""
  if isinstance(error, UnidentifiedImageError):
    return "unknown format"  # the message shows an address in memory
  text = " ".join(str(error).split())[:200]
  if isinstance(error, OSError | SyntaxError | ValueError) and text:
    return text
  return f"{type(error).__name__}: {text}" if text else type(error).__name__
