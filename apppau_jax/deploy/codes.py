"""Codes of structures, measurements and units, from DICOM's dictionaries.

Structures are of SNOMED CT, and units of UCUM. What has no code there gets one
of this package's scheme, `99APPPAU`.
"""

from highdicom.sr import CodedConcept
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

SCHEME = "99APPPAU"
LUNGS = "lungs"  # a mask of both
_SCT = codes.SCT
# By structure: what it is, and on which side.
_STRUCTURES: dict[str, tuple[Code, Code | None]] = {
  LUNGS: (_SCT.Lung, _SCT.RightAndLeft),
  "left_lung": (_SCT.Lung, _SCT.Left),
  "right_lung": (_SCT.Lung, _SCT.Right),
  "heart": (_SCT.Heart, None),
  "left_clavicle": (_SCT.Clavicle, _SCT.Left),
  "right_clavicle": (_SCT.Clavicle, _SCT.Right),
}
_MEASUREMENTS = {"area": _SCT.Area}
_UNITS = {
  "mm": codes.UCUM.Millimeter,
  "cm2": codes.UCUM.SquareCentimeter,
  "ratio": codes.UCUM.Ratio,
  "pixels": Code("{pixels}", "UCUM", "pixels"),
}
CATEGORY = _SCT.AnatomicalStructure
CHEST = _SCT.Chest


def words(name: str) -> str:
  """Returns the name of a structure or measurement for readers."""
  return name.replace("_", " ")


def structure(name: str) -> tuple[CodedConcept, CodedConcept | None]:
  """Returns the codes of a structure, and of its side if it has one."""
  what, side = _STRUCTURES.get(name, (_own(name), None))
  return _concept(what), None if side is None else _concept(side)


def measurement(name: str) -> CodedConcept:
  """Returns the code of a measurement."""
  return _concept(_MEASUREMENTS.get(name, _own(name)))


def unit(name: str) -> CodedConcept:
  """Returns the code of a unit.

  Raises:
    ValueError: it is none of mm, cm2, ratio and pixels.
  """
  if name not in _UNITS:
    raise ValueError(f"the unit {name!r} is none of {', '.join(_UNITS)}")
  return _concept(_UNITS[name])


def _concept(code: Code) -> CodedConcept:
  return CodedConcept(code.value, code.scheme_designator, code.meaning)


def _own(name: str) -> Code:
  return Code(name, SCHEME, words(name)[:64])
