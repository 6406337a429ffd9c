"""Named measurements of a film, as the Structured Report takes them."""

from collections.abc import Mapping
from typing import NamedTuple

from apppau_jax.inference import measurements

_UNITS = {"px": "pixels", "mm": "mm", "cm2": "cm2"}
_AREA = "_area"  # after the name of a structure


class Measurement(NamedTuple):
  """One number.

  Attributes:
    name: of what was measured, such as `area`.
    value: the number.
    unit: mm, cm2, ratio or pixels.
    structure: what it was measured of; "" for the chest as a whole.
  """

  name: str
  value: float
  unit: str
  structure: str = ""


def reported(
  measured: Mapping[str, measurements.Measurement],
) -> list[Measurement]:
  """Returns measurements for a report, in pixels only without a spacing.

  Args:
    measured: by name, see `inference.measurements`.

  Example:
    >>> one = measurements.Measurement(260.0)
    >>> reported({"heart_area_px": one, "thorax_width_mm": one})[0]
    Measurement(name='area', value=260.0, unit='pixels', structure='heart')
  """
  found = []
  for name, one in measured.items():
    plain, _, unit = name.rpartition("_")
    if unit not in _UNITS:
      found.append(Measurement(name, one.value, "ratio"))
    elif unit == "px" and {f"{plain}_mm", f"{plain}_cm2"} & measured.keys():
      continue
    elif plain.endswith(_AREA):
      structure = plain.removesuffix(_AREA)
      found.append(Measurement("area", one.value, _UNITS[unit], structure))
    else:
      found.append(Measurement(plain, one.value, _UNITS[unit]))
  return found
