"""Elements of a DICOM header: their values, and what contradicts itself."""

import math
import re
from typing import Any

from apppau_jax.imaging.film import Spacing

FRONTAL = ("AP", "PA")
_UPRIGHT = ("L", "F")  # directions of rows and columns: left, foot
_SHOWN = 16  # letters of a value that a message quotes
# The first one that is usable counts. The second one holds at the detector.
SPACINGS = ("PixelSpacing", "ImagerPixelSpacing")
SIDES = (50.0, 1000.0)  # millimetres that a side of a chest film can have


class ElementError(ValueError):
  """An element of the header makes the pixels ambiguous."""


def element(keyword: str) -> str:
  """Returns keyword and tag of an element, as in `Rows (0028,0010)`."""
  from pydicom.datadict import tag_for_keyword

  tag = tag_for_keyword(keyword) or 0
  return f"{keyword} ({tag >> 16:04X},{tag & 0xFFFF:04X})"


def number(header: Any, keyword: str) -> float | None:
  """Returns the first value of an element; None if it has no value.

  Raises:
    ElementError: it is not a finite number.
  """
  try:
    value = header.get(keyword)
    if isinstance(value, str) or not hasattr(value, "__iter__"):
      value = [value]
    first = next(iter(value), None)
    if first is None or first == "":
      return None
    found = float(first)
  except (ValueError, TypeError, OverflowError):
    found = math.nan
  if not math.isfinite(found):
    raise ElementError(f"{element(keyword)} is not a finite number")
  return found


def stored_range(header: Any) -> tuple[int, int]:
  """Returns the lowest and the highest value that a pixel can have."""
  count = 1 << int(header.BitsStored)
  return (-count // 2, count // 2 - 1) if is_signed(header) else (0, count - 1)


def is_signed(header: Any) -> bool:
  """Returns whether pixels are numbers with a sign."""
  return header.get("PixelRepresentation") == 1


def spacing(header: Any) -> Spacing | None:
  """Returns the spacing that the header states, see `SPACINGS`.

  One that no chest film has, such as 1 mm for a screenshot, is not used.
  """
  stated = ((keyword, _pair(header, keyword)) for keyword in SPACINGS)
  for keyword, pair in stated:
    if pair and not _unusable(header, pair):
      return Spacing(*pair, keyword)
  return None


def _pair(header: Any, keyword: str) -> tuple[float, float] | None:
  """Returns two numbers, which may be NaN; None if the element is empty."""
  try:
    value = header.get(keyword)
    if value is None or value == "":
      return None
    rows, columns = map(float, value)
  except (ValueError, TypeError, OverflowError):
    return math.nan, math.nan
  return rows, columns


def _unusable(header: Any, pair: tuple[float, float]) -> str:
  """Returns why a spacing is not used, or ""."""
  if not all(math.isfinite(value) and value > 0 for value in pair):
    return "is not two positive numbers"
  height, width = header.Rows * pair[0], header.Columns * pair[1]
  if SIDES[0] <= min(height, width) and max(height, width) <= SIDES[1]:
    return ""
  return f"states an image of {width:.4g} x {height:.4g} mm"


def remarks(header: Any) -> tuple[str, ...]:
  """Returns what the header says against a frontal upright film.

  Also a spacing that is not used. One sentence each.
  """
  found = (
    *poses(header),
    _polarity(header),
    *(_spacing(header, keyword) for keyword in SPACINGS),
  )
  return tuple(filter(None, found))


def poses(header: Any) -> tuple[str, ...]:
  """Returns what a header says against a frontal, upright, unmirrored film."""
  return tuple(filter(None, (_view(header), _orientation(header))))


def _spacing(header: Any, keyword: str) -> str:
  pair = _pair(header, keyword)
  reason = _unusable(header, pair) if pair else ""
  return f"{element(keyword)} {reason} and was not used." if reason else ""


def _view(header: Any) -> str:
  view = str(header.get("ViewPosition") or "").upper()
  words = re.findall(r"[A-Z]+", view)
  if not words or set(FRONTAL).intersection(words):
    return ""
  return (
    f"{element('ViewPosition')} is {view[:_SHOWN]!r}, neither AP nor PA: no "
    "frontal film."
  )


def _orientation(header: Any) -> str:
  directions = header.get("PatientOrientation")
  if not directions or isinstance(directions, str) or len(directions) != 2:
    return ""
  first = tuple(str(direction)[:1].upper() for direction in directions)
  if first == _UPRIGHT or "" in first:
    return ""
  shown = "/".join(str(direction)[:_SHOWN] for direction in directions)
  return (
    f"{element('PatientOrientation')} is {shown!r}; an upright frontal film "
    "that is not mirrored has L/F."
  )


def _polarity(header: Any) -> str:
  shape = str(header.get("PresentationLUTShape") or "").strip().upper()
  kind = header.get("PhotometricInterpretation")
  if (kind, shape) not in (
    ("MONOCHROME1", "IDENTITY"),
    ("MONOCHROME2", "INVERSE"),
  ):
    return ""
  return (
    f"{element('PresentationLUTShape')} {shape} contradicts "
    f"{element('PhotometricInterpretation')} {kind} and was followed: it may "
    "be a negative."
  )
