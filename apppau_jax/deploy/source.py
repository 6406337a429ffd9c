"""What results take over from the header of their source image.

Only the elements named here are read. `PATIENT_AND_STUDY` are those of the
modules Patient and General Study that the standard requires (types 1 and 2),
so that a result belongs to the same patient and study. docs/dicom.md lists
them.
"""

from pathlib import Path

import pydicom

from apppau_jax.errors import DataError
from apppau_jax.imaging import dicom, dicom_header, file_kinds
from apppau_jax.imaging.dicom_header import element

PATIENT_AND_STUDY = (
  *("PatientName", "PatientID", "PatientBirthDate", "PatientSex"),
  *("StudyInstanceUID", "StudyDate", "StudyTime", "StudyID"),
  *("AccessionNumber", "ReferringPhysicianName"),
)
# How the letters of these are encoded.
CHARACTER_SET = "SpecificCharacterSet"
_REFERENCED = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID")
# Of the image, taken over or checked.
_LOSSY = (
  *("LossyImageCompression", "LossyImageCompressionRatio"),
  "LossyImageCompressionMethod",
)
_IMAGE = (
  *("Modality", "Rows", "Columns", "InstanceNumber", "BurnedInAnnotation"),
  *("ViewPosition", "PatientOrientation", *_LOSSY),
)
_NEEDED = ("StudyInstanceUID", *_REFERENCED, "Rows", "Columns")


def read(path: Path) -> pydicom.Dataset:
  """Reads the elements of a header that results need.

  Raises:
    DataError: results cannot be written for this file; says why.
  """
  try:
    with path.open("rb") as file:
      head = file.read(file_kinds.HEAD)
    if not file_kinds.is_dicom(head):
      raise DataError("it is not a DICOM file")
    if dicom.is_deflated(head):
      raise DataError("it is deflated as a whole")
    header = pydicom.dcmread(
      path,
      stop_before_pixels=True,
      force=True,
      specific_tags=[CHARACTER_SET, *PATIENT_AND_STUDY, *_REFERENCED, *_IMAGE],
    )
    missing = [name for name in _NEEDED if not header.get(name)]
    poses = dicom_header.poses(header)
  except DataError:
    raise
  except Exception as error:  # a damaged file may raise anything in a parser
    raise DataError(
      f"its header is damaged ({type(error).__name__})"
    ) from error
  if missing:
    have = "has" if len(missing) == 1 else "have"
    raise DataError(f"{', '.join(map(element, missing))} {have} no value")
  if poses:  # left and right would be coded wrongly
    raise DataError(" ".join(poses))
  return header


def reference(header: pydicom.Dataset) -> pydicom.Dataset:
  """Returns what highdicom is given as the source: it names no patient.

  The elements of patient and study are added by `identify`, since highdicom
  copies more of them, and refuses values that are not as the standard has
  them, such as a PatientSex `U`.
  """
  names = ("StudyInstanceUID", *_REFERENCED, "Modality", "Rows", "Columns")
  found = pydicom.Dataset()
  for name in (*names, *_LOSSY):
    if name in header:
      found[name] = header[name]
  for name in PATIENT_AND_STUDY:
    if name not in found:
      setattr(found, name, None)
  return found


def describe_image(result: pydicom.Dataset, header: pydicom.Dataset) -> None:
  """Gives a result that has pixels what holds of its source's too."""
  result["PatientOrientation"] = pydicom.DataElement(
    "PatientOrientation", "CS", None
  )
  for name in ("PatientOrientation", *_LOSSY):
    if name in header:
      result[name] = header[name]


def identify(result: pydicom.Dataset, header: pydicom.Dataset) -> None:
  """Gives a result the patient and the study of its source."""
  for name in PATIENT_AND_STUDY:
    if name in header:
      result[name] = header[name]
    else:
      setattr(result, name, None)
  if CHARACTER_SET in header:
    result[CHARACTER_SET] = header[CHARACTER_SET]


def instance_number(header: pydicom.Dataset) -> int:
  """Returns the number of the source in its series, or 1."""
  try:
    return max(1, int(header.get("InstanceNumber") or 1))
  except (TypeError, ValueError):
    return 1
