"""Which DICOM files belong to one patient, without keeping who it is."""

import hashlib
import io

from apppau_jax.imaging import dicom

HEAD = 2**16  # bytes of a file in which the patient is found
_PATIENT_ID = 0x00100020
_DIGITS = 16  # of a digest


def digest(head: bytes, *, name: str) -> str:
  """Returns a digest of the Patient ID of a file; "" if it states none.

  Args:
    head: the first bytes of the file.
    name: of the file, for messages.

  Raises:
    ConfigError: pydicom is not installed.
  """
  pydicom = dicom.library(name)
  try:
    header = pydicom.filereader.read_partial(
      io.BytesIO(head),
      stop_when=lambda tag, vr, length: tag > _PATIENT_ID,
      specific_tags=[pydicom.tag.Tag(_PATIENT_ID)],
    )
    stated = str(header.get("PatientID") or "").strip()
  except Exception:  # a damaged file may raise anything; decoding reports it
    return ""
  if not stated:
    return ""
  return hashlib.sha256(stated.encode()).hexdigest()[:_DIGITS]
