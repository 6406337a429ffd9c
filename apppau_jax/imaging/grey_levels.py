"""Conversions between grey levels of 8 bits, of 16 bits and of other scales."""

import numpy as np

from apppau_jax.errors import DataError

BITS = (8, 16)  # what a prepared image has
_DTYPES = {8: np.uint8, 16: np.uint16}


def dtype_of(bits: int) -> type[np.unsignedinteger]:
  """Returns the NumPy type of grey levels of 8 or 16 bits."""
  return _DTYPES[bits]


def stretch(
  values: np.ndarray, *, where: np.ndarray | None = None, bits: int = 8
) -> np.ndarray:
  """Scales linearly from the lowest value (0) to the highest (white).

  Args:
    values: integers or finite floats, of any shape.
    where: bool of that shape: the values that determine lowest and highest;
      the others are clipped. All by default.
    bits: of the result, 8 or 16; white is 255 or 65535.

  Returns:
    uint8 or uint16, rounded half up; zeros if all values are equal.
  """
  chosen = values if where is None else values[where]
  if not chosen.size:
    return np.zeros(values.shape, dtype_of(bits))
  low, high = float(chosen.min()), float(chosen.max())
  fraction = (values.astype(np.float64) - low) / max(high - low, 1e-9)
  return quantize(fraction, bits=bits)


def quantize(fraction: np.ndarray, *, bits: int = 8) -> np.ndarray:
  """Converts fractions of the full range to levels, clipped to [0, 1]."""
  white = 2**bits - 1
  levels = np.floor(np.clip(fraction, 0.0, 1.0) * white + 0.5)
  return levels.astype(dtype_of(bits))


def deepen(grey: np.ndarray, *, bits: int) -> np.ndarray:
  """Converts uint8 levels to levels of `bits`; white remains white."""
  return grey if bits == 8 else grey.astype(np.uint16) * 257


def shallow(grey: np.ndarray) -> np.ndarray:
  """Returns the upper eight bits of uint8 or uint16 levels."""
  return grey if grey.dtype == np.uint8 else (grey >> 8).astype(np.uint8)


def unit(grey: np.ndarray) -> np.ndarray:
  """Converts uint8 or uint16 levels to float64 in [0, 1]."""
  return grey / np.iinfo(grey.dtype).max


def equal_channels(
  pixels: np.ndarray, *, tolerance: int, name: str
) -> np.ndarray:
  """Returns the grey level of pixels whose red, green and blue are equal.

  Args:
    pixels: uint8 [h, w, channels]; two are grey and alpha, four have alpha.
    tolerance: how far the channels of a pixel may differ.
    name: of the image, for messages.

  Returns:
    uint8 [h, w].

  Raises:
    DataError: the image is in colour.
  """
  colours = pixels[..., : 3 if pixels.shape[2] >= 3 else 1]
  if colours.shape[2] == 1:
    return colours[..., 0]
  spread = np.ptp(colours, axis=2).max()
  if spread > tolerance:
    raise DataError(
      f"The image {name} is in colour: its red, green and blue values "
      f"differ by up to {spread}. A radiograph is grey. Check that this is not "
      "an overlay, a photograph or the wrong file."
    )
  return colours[..., 1].copy()
