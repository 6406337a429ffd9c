"""Named measurements of a film, as the Structured Report takes them."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from apppau_jax.inference import measurements


class Measurement(NamedTuple):
  """One number.

  Attributes:
    name: of what was measured, such as `area`.
    value: the number.
    unit: mm, mm2, cm2, ratio or pixels.
    structure: what it was measured of; "" for the chest as a whole.
  """

  name: str
  value: float
  unit: str
  structure: str = ""


def areas(
  mask: np.ndarray,
  *,
  structures: Sequence[str],
  spacing: tuple[float, float] | None,
) -> list[Measurement]:
  """Returns the area of each structure, in mm2 or, without spacing, in pixels.

  Args:
    mask: bool `[h, w, k]`.
    structures: their k names.
    spacing: distances of rows and of columns in mm.

  Example:
    >>> areas(np.ones((4, 5, 1), bool), structures=["heart"], spacing=(2, 0.5))
    [Measurement(name='area', value=20.0, unit='mm2', structure='heart')]
  """
  counts = mask.sum(axis=(0, 1))
  height, width = spacing or (1.0, 1.0)
  unit = "mm2" if spacing else "pixels"
  return [
    Measurement("area", float(count * height * width), unit, name)
    for name, count in zip(structures, counts, strict=True)
  ]


def of_chest(
  measured: Mapping[str, measurements.Measurement],
) -> list[Measurement]:
  """Returns lengths and ratios of the chest, lengths in mm where possible.

  Args:
    measured: by name, see `inference.measurements`; areas are left out.

  Example:
    >>> of_chest({"thorax_width_mm": measurements.Measurement(260.0)})
    [Measurement(name='thorax_width', value=260.0, unit='mm', structure='')]
  """
  found = []
  for name, one in measured.items():
    plain, _, unit = name.rpartition("_")
    if plain.endswith("_area") or (unit == "px" and f"{plain}_mm" in measured):
      continue
    if unit in ("px", "mm"):
      known = {"px": "pixels", "mm": "mm"}[unit]
      found.append(Measurement(plain, one.value, known))
    else:
      found.append(Measurement(name, one.value, "ratio"))
  return found
