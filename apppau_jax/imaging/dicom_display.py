"""Stored values of a DICOM image to grey levels, as a viewer displays them.

The order is that of DICOM PS3.3: modality look-up table or rescaling (C.11.1),
then the values of interest by look-up table or window (C.11.2), then the shape
of the presentation look-up table, or else MONOCHROME1, inverts (C.11.6).
pydicom computes each of them. What it would compute wrongly from a header that
contradicts itself is refused with the element named.
"""

from typing import Any

import numpy as np

from apppau_jax.imaging import dicom_tables, grey_levels
from apppau_jax.imaging.dicom_header import (
  ElementError,
  element,
  is_signed,
  number,
  stored_range,
)

_FUNCTIONS = {"LINEAR": 1.0, "LINEAR_EXACT": 0.0, "SIGMOID": 0.0}
_ROWS = 64  # of a film that are mapped at a time


def grey(header: Any, values: np.ndarray, *, bits: int) -> np.ndarray:
  """Maps stored values to displayed levels.

  The mapping is evaluated once for each value between lowest and highest, of
  which there are at most 65,536.

  Args:
    header: the data set.
    values: integers of at most 16 bits, [h, w]; levels of 16 bits take their
      place, since films are large.
    bits: of the result, 8 or 16; white is 255 or 65535.

  Returns:
    uint8 or uint16 [h, w].

  Raises:
    ElementError: an element from which no level follows.
  """
  low, high = int(values.min()), int(values.max())
  stored = np.arange(low, high + 1, dtype=np.int32)
  occurs = np.zeros(len(stored), bool)
  for top in range(0, len(values), _ROWS):
    occurs[values[top : top + _ROWS].astype(np.int32) - low] = True
  levels = _levels(header, stored, occurs=occurs, bits=bits)
  in_place = values.itemsize == levels.itemsize > 1
  shown = (
    values.view(levels.dtype)
    if in_place
    else np.empty(values.shape, levels.dtype)
  )
  for top in range(0, len(values), _ROWS):
    place = values[top : top + _ROWS].astype(np.int32) - low
    shown[top : top + _ROWS] = levels[place]
  return shown


def _levels(
  header: Any, stored: np.ndarray, *, occurs: np.ndarray, bits: int
) -> np.ndarray:
  """Maps stored values [n] to levels [n]; `occurs` marks those in the film."""
  padding = _padding(header, stored)
  values = _modality(header, stored)
  fraction = _of_interest(header, values)
  if fraction is None:
    levels = grey_levels.stretch(values, where=occurs & ~padding, bits=bits)
  else:
    levels = grey_levels.quantize(fraction, bits=bits)
  if is_inverse(header):
    levels = ~levels
  levels[padding] = 0
  return levels


def is_inverse(header: Any) -> bool:
  """Returns whether the lowest value is white.

  A shape that is stated decides. It and the photometric interpretation may
  contradict each other, see `dicom_header.remarks`.
  """
  if header.get("PresentationLUTSequence"):
    raise ElementError(f"{element('PresentationLUTSequence')} is not supported")
  shape = str(header.get("PresentationLUTShape") or "").strip().upper()
  if shape not in ("", "IDENTITY", "INVERSE"):
    raise ElementError(
      f"{element('PresentationLUTShape')} is neither IDENTITY nor INVERSE"
    )
  if shape:
    return shape == "INVERSE"
  return header.PhotometricInterpretation == "MONOCHROME1"


def _padding(header: Any, stored: np.ndarray) -> np.ndarray:
  """Marks values that stand for no image, as outside a collimator; bool [n]."""
  ends = [
    _as_stored(header, value)
    for keyword in ("PixelPaddingValue", "PixelPaddingRangeLimit")
    if (value := number(header, keyword)) is not None
  ]
  if not ends or header.get("PixelPaddingValue") is None:
    return np.zeros(stored.shape, bool)
  return (stored >= min(ends)) & (stored <= max(ends))


def _as_stored(header: Any, value: float) -> float:
  """Returns a value of signed pixels that was written as unsigned."""
  low, high = stored_range(header)
  if not is_signed(header) or value <= high:
    return value
  count = high - low + 1
  return (value - low) % count + low


def _modality(header: Any, stored: np.ndarray) -> np.ndarray:
  """Maps stored values [n] to those of the modality, float64 [n]."""
  from pydicom import Dataset
  from pydicom.pixels import apply_modality_lut

  rules = Dataset()
  if item := dicom_tables.first_item(header, "ModalityLUTSequence"):
    rules.ModalityLUTSequence = [
      dicom_tables.table(header, item, signed=is_signed(header))
    ]
  elif (rescaling := _rescaling(header)) is not None:
    rules.RescaleSlope, rules.RescaleIntercept = rescaling
  with np.errstate(over="ignore", invalid="ignore"):
    values = apply_modality_lut(stored, rules).astype(np.float64)
  if not np.isfinite(values).all():
    raise ElementError(f"{element('RescaleSlope')} leads to infinite values")
  return values


def _rescaling(header: Any) -> tuple[float, float] | None:
  """Returns slope and intercept; None unless both are stated, as pydicom."""
  slope = number(header, "RescaleSlope")
  intercept = number(header, "RescaleIntercept")
  if slope is None or intercept is None:
    return None
  if slope == 0:
    raise ElementError(f"{element('RescaleSlope')} is 0")
  return slope, intercept


def _of_interest(header: Any, values: np.ndarray) -> np.ndarray | None:
  """Maps values [n] to fractions of white; None without table and window."""
  if item := dicom_tables.first_item(header, "VOILUTSequence"):
    return _looked_up(header, item, values)
  center, width = number(header, "WindowCenter"), number(header, "WindowWidth")
  if center is None or width is None:
    return None
  return _windowed(header, values, center=center, width=width)


def _looked_up(header: Any, item: Any, values: np.ndarray) -> np.ndarray:
  from pydicom import Dataset
  from pydicom.pixels import apply_voi

  signed = bool(_modality_range(header)[0] < 0)
  table = dicom_tables.table(header, item, signed=signed)
  count, first = table.LUTDescriptor[0] or 2**16, table.LUTDescriptor[1]
  rules = Dataset()
  rules.VOILUTSequence = [table]
  # pydicom wraps round where a value lies 65,536 or more above the first.
  place = np.clip(np.floor(values), first, first + count - 1)
  levels = apply_voi(place.astype(np.int64), rules)
  return levels / (2.0 ** item.LUTDescriptor[2] - 1)


def _modality_range(header: Any) -> np.ndarray:
  if dicom_tables.first_item(header, "ModalityLUTSequence"):
    return np.zeros(1)
  slope, intercept = _rescaling(header) or (1.0, 0.0)
  return np.sort(np.array(stored_range(header)) * slope + intercept)


def _windowed(
  header: Any, values: np.ndarray, *, center: float, width: float
) -> np.ndarray:
  """Maps values [n] to fractions of the window (PS3.3 C.11.2.1.2-3)."""
  from pydicom import Dataset
  from pydicom.pixels import apply_windowing

  function = str(header.get("VOILUTFunction") or "LINEAR").strip().upper()
  if function not in _FUNCTIONS:
    raise ElementError(
      f"{element('VOILUTFunction')} is none of {', '.join(_FUNCTIONS)}"
    )
  if width <= 0 or width < _FUNCTIONS[function]:
    raise ElementError(f"{element('WindowWidth')} is {width:g}")
  # Unsigned values of one bit: pydicom then returns fractions.
  rules = Dataset()
  rules.PhotometricInterpretation = header.PhotometricInterpretation
  rules.BitsStored, rules.PixelRepresentation = 1, 0
  rules.VOILUTFunction = function
  rules.WindowCenter, rules.WindowWidth = center, width
  with np.errstate(over="ignore"):  # far below a sigmoid's centre: exp(inf)
    return apply_windowing(values, rules)
