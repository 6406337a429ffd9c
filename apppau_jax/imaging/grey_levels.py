"""Grey levels of 8 or 16 bits, from other depths by rules that are stated."""

import numpy as np

BITS = (8, 16)  # what a prepared image has
_DTYPES = {8: np.uint8, 16: np.uint16}


def dtype_of(bits: int) -> type[np.unsignedinteger]:
  """The type of grey levels of so many bits."""
  return _DTYPES[bits]


def stretch(
  values: np.ndarray, *, where: np.ndarray | None = None, bits: int = 8
) -> np.ndarray:
  """Linear from the lowest value (0) to the highest (white), rounded half up.

  Args:
    values: integers or finite floats, of any shape.
    where: bool, of that shape: the values that say what is lowest and highest;
      the others are cut off at these. All by default.
    bits: of the result; white is 255 or 65535.

  Returns:
    uint8 or uint16; zeros where all values are equal.
  """
  chosen = values if where is None else values[where]
  if not chosen.size:
    return np.zeros(values.shape, dtype_of(bits))
  low, high = float(chosen.min()), float(chosen.max())
  fraction = (values.astype(np.float64) - low) / max(high - low, 1e-9)
  return quantize(fraction, bits=bits)


def quantize(fraction: np.ndarray, *, bits: int = 8) -> np.ndarray:
  """Levels of fractions of the full range, cut off below 0 and above 1."""
  white = 2**bits - 1
  levels = np.floor(np.clip(fraction, 0.0, 1.0) * white + 0.5)
  return levels.astype(dtype_of(bits))


def deepen(grey: np.ndarray, *, bits: int) -> np.ndarray:
  """uint8 levels as levels of `bits`: black stays black, white white."""
  return grey if bits == 8 else grey.astype(np.uint16) * 257


def shallow(grey: np.ndarray) -> np.ndarray:
  """The upper eight bits of uint8 or uint16 levels."""
  return grey if grey.dtype == np.uint8 else (grey >> 8).astype(np.uint8)


def unit(grey: np.ndarray) -> np.ndarray:
  """uint8 or uint16 levels as float64 in [0, 1]."""
  return grey / np.iinfo(grey.dtype).max
