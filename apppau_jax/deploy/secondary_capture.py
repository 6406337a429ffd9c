"""The overlay as a DICOM Secondary Capture image."""

import highdicom as hd
import numpy as np
import pydicom
from highdicom.sr import CodedConcept
from pydicom.sr.codedict import codes

from apppau_jax.deploy import equipment, source
from apppau_jax.deploy.identity import Maker

DESCRIPTION = (
  "Outlines of structures drawn over the source image, which was reduced to 8 "
  "bits and resampled. Text that is burned into the source image was not "
  f"removed. {equipment.RESEARCH}"
)


def build(
  header: pydicom.Dataset, drawn: np.ndarray, *, maker: Maker
) -> pydicom.Dataset:
  """Builds the overlay of one film.

  It states no pixel spacing: measure in the source image.

  Args:
    header: of the film, see `source.read`.
    drawn: uint8 `[h, w, 3]`, as the film is stored, dense parts bright.
    maker: the model.
  """
  result = hd.sc.SCImage(
    pixel_array=np.ascontiguousarray(drawn),
    photometric_interpretation="RGB",
    bits_allocated=8,
    coordinate_system="PATIENT",
    patient_orientation=("L", "F"),  # replaced below
    study_instance_uid=str(header.StudyInstanceUID),
    **equipment.of_series(header, kind="sc", maker=maker),
  )
  if "BurnedInAnnotation" in header:
    result["BurnedInAnnotation"] = header["BurnedInAnnotation"]
  # Empty: the chest is no paired structure.
  result["Laterality"] = pydicom.DataElement("Laterality", "CS", None)
  result.DerivationDescription = DESCRIPTION
  result.SourceImageSequence = [_reference(header)]
  source.describe_image(result, header)
  source.identify(result, header)
  return result


def _reference(header: pydicom.Dataset) -> pydicom.Dataset:
  purpose = CodedConcept(*codes.DCM.SourceImageForImageProcessingOperation)
  item = pydicom.Dataset()
  item.ReferencedSOPClassUID = header.SOPClassUID
  item.ReferencedSOPInstanceUID = header.SOPInstanceUID
  item.PurposeOfReferenceCodeSequence = [purpose]
  return item
