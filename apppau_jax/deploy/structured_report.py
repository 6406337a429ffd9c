"""Measurements as a DICOM Structured Report of template TID 1500."""

from collections.abc import Sequence

import pydicom
from highdicom import sr
from pydicom.sr.codedict import codes as dictionary

from apppau_jax.deploy import codes, equipment, segmentation, source
from apppau_jax.deploy.identity import Maker
from apppau_jax.deploy.measurements import Measurement


def build(
  header: pydicom.Dataset,
  measured: Sequence[Measurement],
  *,
  maker: Maker,
  remarks: Sequence[str] = (),
  masks: pydicom.Dataset | None = None,
) -> pydicom.Dataset:
  """Builds the report of one film.

  Args:
    header: of the film, see `source.read`.
    measured: one or more measurements.
    maker: the model.
    remarks: what is unusual about the film or its masks, one sentence each.
    masks: the Segmentation of the film, to which areas then refer.

  Raises:
    ValueError: there is no measurement, or a unit without a code.
  """
  names = [*dict.fromkeys(one.structure for one in measured)]
  groups = [
    _group(
      header,
      name,
      [_number(one) for one in measured if one.structure == name],
      maker=maker,
      masks=masks,
    )
    for name in names
  ]
  report = sr.MeasurementReport(
    observation_context=_observer(maker),
    procedure_reported=dictionary.SCT.PlainRadiography,
    imaging_measurements=groups,
    title=dictionary.cid7021.ImagingMeasurementReport,
  )
  comment = sr.TextContentItem(
    name=dictionary.DCM.Comment,
    value=_ascii(" ".join([equipment.RESEARCH, *remarks])),
    relationship_type=sr.RelationshipTypeValues.CONTAINS,
  )
  report[0].ContentSequence.append(comment)
  evidence = [source.reference(header), *([] if masks is None else [masks])]
  result = sr.ComprehensiveSR(
    evidence=evidence,
    content=report[0],
    is_complete=True,
    **equipment.of_series(header, kind="sr", maker=maker),
  )
  source.identify(result, header)
  return result


def _number(one: Measurement) -> sr.Measurement:
  return sr.Measurement(
    name=codes.measurement(one.name),
    value=float(f"{one.value:.6g}"),  # a number has 16 letters at most
    unit=codes.unit(one.unit),
  )


def _ascii(text: str) -> str:
  """Returns text that every character set of DICOM has."""
  return text.encode("ascii", "backslashreplace").decode()


def _observer(maker: Maker) -> sr.ObservationContext:
  device = sr.DeviceObserverIdentifyingAttributes(
    uid=maker.uid("device"),
    name=equipment.MODEL_NAME,
    manufacturer_name=equipment.NAME,
    model_name=equipment.MODEL_NAME,
    serial_number=maker.serial_number,
  )
  return sr.ObservationContext(
    observer_device_context=sr.ObserverContext(
      observer_type=dictionary.DCM.Device,
      observer_identifying_attributes=device,
    )
  )


def _group(
  header: pydicom.Dataset,
  name: str,
  numbers: Sequence[sr.Measurement],
  *,
  maker: Maker,
  masks: pydicom.Dataset | None,
) -> (
  sr.MeasurementsAndQualitativeEvaluations
  | sr.PlanarROIMeasurementsAndQualitativeEvaluations
):
  """Returns the measurements of one structure, or of the chest."""
  what, side = codes.structure(name) if name else (codes.CHEST, None)
  label = codes.words(name or "chest")
  arguments = {
    "tracking_identifier": sr.TrackingIdentifier(
      uid=segmentation.tracking_uid(header, name, maker=maker), identifier=label
    ),
    "finding_category": codes.CATEGORY,
    "finding_type": what,
    "finding_sites": [sr.FindingSite(what, laterality=side)],
    "algorithm_id": sr.AlgorithmIdentification(
      name=equipment.MODEL_NAME, version=maker.version
    ),
    "measurements": numbers,
  }
  film = (str(header.SOPClassUID), str(header.SOPInstanceUID))
  number = None if masks is None else _segment_number(masks, label)
  if masks is None or number is None:
    image = sr.SourceImageForMeasurementGroup(*film)
    return sr.MeasurementsAndQualitativeEvaluations(
      source_images=[image], **arguments
    )
  frame = sr.ReferencedSegmentationFrame(
    sop_class_uid=masks.SOPClassUID,
    sop_instance_uid=masks.SOPInstanceUID,
    frame_number=number,
    segment_number=number,
    source_image=sr.SourceImageForSegmentation(*film),
  )
  # Not beside the number of a frame (PS3.3 C.18.4).
  del frame[0].ReferencedSOPSequence[0].ReferencedSegmentNumber
  return sr.PlanarROIMeasurementsAndQualitativeEvaluations(
    referenced_segment=frame, **arguments
  )


def _segment_number(masks: pydicom.Dataset, label: str) -> int | None:
  """Returns the number of a structure's segment, which is that of its frame."""
  numbers = {s.TrackingID: int(s.SegmentNumber) for s in masks.SegmentSequence}
  return numbers.get(label)
