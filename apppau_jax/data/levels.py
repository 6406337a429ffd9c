"""Grey levels of more than 8 bits to 8, by rules that are stated."""

import numpy as np


def stretch(
  values: np.ndarray, *, where: np.ndarray | None = None
) -> np.ndarray:
  """Linear from the lowest value (0) to the highest (255), rounded half up.

  Args:
    values: integers or finite floats, of any shape.
    where: bool, of that shape: the values that say what is lowest and highest;
      the others are cut off at these. All by default.

  Returns:
    uint8; zeros where all values are equal.
  """
  chosen = values if where is None else values[where]
  if not chosen.size:
    return np.zeros(values.shape, np.uint8)
  low, high = float(chosen.min()), float(chosen.max())
  return to_bytes((values.astype(np.float64) - low) / max(high - low, 1e-9))


def to_bytes(fraction: np.ndarray) -> np.ndarray:
  """uint8 of fractions of the full range, cut off below 0 and above 1."""
  return np.floor(np.clip(fraction, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)
