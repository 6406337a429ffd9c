"""Masks as a DICOM Segmentation, pixel for pixel those of the source image."""

from collections.abc import Sequence

import highdicom as hd
import numpy as np
import pydicom
from highdicom.seg import SegmentAlgorithmTypeValues, SegmentationTypeValues
from pydicom.sr.codedict import codes as dictionary

from apppau_jax.deploy import codes, equipment, source
from apppau_jax.deploy.identity import Maker
from apppau_jax.inference import overlay


def build(
  header: pydicom.Dataset,
  mask: np.ndarray,
  *,
  structures: Sequence[str],
  maker: Maker,
) -> pydicom.Dataset:
  """Builds the Segmentation of one film.

  Segment and frame k + 1 are structure k, also where its mask is empty.

  Args:
    header: of the film, see `source.read`.
    mask: bool `[h, w, k]`, as the film is stored.
    structures: their k names.
    maker: the model.

  Raises:
    ValueError: mask and film disagree in size.
  """
  if mask.shape != (header.Rows, header.Columns, len(structures)):
    raise ValueError(
      f"the mask is {mask.shape}, the film {header.Rows} x {header.Columns} "
      f"with {len(structures)} structures"
    )
  result = hd.seg.Segmentation(
    source_images=[source.reference(header)],
    pixel_array=mask[None].astype(np.uint8),
    segmentation_type=SegmentationTypeValues.BINARY,
    segment_descriptions=[
      _description(header, name, number=k, maker=maker)
      for k, name in enumerate(structures)
    ],
    omit_empty_frames=False,
    content_label="APPAU_NET",
    content_description="Chest structures; for research only",
    **equipment.of_series(header, kind="seg", maker=maker),
  )
  source.describe_image(result, header)
  source.identify(result, header)
  return result


def tracking_uid(header: pydicom.Dataset, name: str, *, maker: Maker) -> str:
  """Returns the UID by which results of one film name the same structure."""
  return maker.uid("tracking", str(header.SOPInstanceUID), name)


def _description(
  header: pydicom.Dataset, name: str, *, number: int, maker: Maker
) -> hd.seg.SegmentDescription:
  what, side = codes.structure(name)
  described = hd.seg.SegmentDescription(
    segment_number=number + 1,
    segment_label=codes.words(name)[:64],
    segmented_property_category=codes.CATEGORY,
    segmented_property_type=what,
    algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
    algorithm_identification=hd.AlgorithmIdentificationSequence(
      name=equipment.MODEL_NAME,
      family=dictionary.cid7162.ArtificialIntelligence,
      version=maker.version,
    ),
    tracking_uid=tracking_uid(header, name, maker=maker),
    tracking_id=codes.words(name),
    display_color=hd.color.CIELabColor.from_rgb(*overlay.colour(number)),
  )
  if side is not None:
    kind = described.SegmentedPropertyTypeCodeSequence[0]
    kind.SegmentedPropertyTypeModifierCodeSequence = [side]
  return described
