"""DICOM objects beside the masks of `launch.predict`."""

import dataclasses
import io
from collections.abc import Collection
from pathlib import Path

import numpy as np
import pydicom
from PIL import Image

from apppau_jax import files
from apppau_jax.deploy import (
  codes,
  measurements,
  request,
  secondary_capture,
  segmentation,
  source,
  structured_report,
)
from apppau_jax.deploy.identity import KINDS, Maker
from apppau_jax.errors import DataError
from apppau_jax.inference import output_names
from apppau_jax.inference.outputs import Prediction


@dataclasses.dataclass(frozen=True)
class DicomWriter:
  """Writes `NAME_seg.dcm`, `NAME_sc.dcm` and `NAME_sr.dcm` for DICOM films.

  Attributes:
    kinds: which of `identity.KINDS`.
    maker: the model.
  """

  kinds: Collection[str]
  maker: Maker

  def remark(self, path: Path) -> str:
    """Returns why nothing can be written for an image; "" if it can."""
    try:
      source.read(path)
    except DataError as error:
      return _remark(error)
    return ""

  def is_written(self, stem: Path) -> bool:
    """Returns whether all objects of an image are there."""
    return all(_target(stem, kind).exists() for kind in self.kinds)

  def write(self, path: Path, found: Prediction, *, stem: Path) -> str:
    """Writes the objects of an image.

    Args:
      path: of the image.
      found: its prediction.
      stem: path of its outputs without `_KIND.png`; the overlay is there.

    Returns:
      Why they cannot be written; "" if they were.
    """
    try:
      header = source.read(path)
      results = self._build(header, found, stem=stem)
      contents = {kind: _encoded(one) for kind, one in results.items()}
    except MemoryError:
      raise
    except Exception as error:  # highdicom may raise anything on a header
      return _remark(error)
    for kind, content in contents.items():
      files.write_bytes(_target(stem, kind), content)
    return ""

  def _build(
    self, header: pydicom.Dataset, found: Prediction, *, stem: Path
  ) -> dict[str, pydicom.Dataset]:
    mask = np.atleast_3d(found.mask)
    names = found.structures or (codes.LUNGS,)
    maker = self.maker
    results: dict[str, pydicom.Dataset] = {}
    if "seg" in self.kinds:
      results["seg"] = segmentation.build(
        header, mask, structures=names, maker=maker
      )
    if "sc" in self.kinds:
      with Image.open(output_names.target(stem, kind="overlay")) as drawn:
        overlay = np.asarray(drawn.convert("RGB"))
      results["sc"] = secondary_capture.build(header, overlay, maker=maker)
    if "sr" in self.kinds:
      results["sr"] = structured_report.build(
        header,
        measurements.reported(found.measurements),
        maker=maker,
        remarks=found.remarks,
        masks=results.get("seg"),
      )
    return results


def paths(stem: Path) -> list[Path]:
  """Returns the objects that were written for an image."""
  return [p for p in (_target(stem, kind) for kind in KINDS) if p.exists()]


def _target(stem: Path, kind: str) -> Path:
  return stem.with_name(f"{stem.name}_{kind}.dcm")


def _encoded(result: pydicom.Dataset) -> bytes:
  file = io.BytesIO()
  pydicom.dcmwrite(file, result, enforce_file_format=True)
  return file.getvalue()


def _remark(error: Exception) -> str:
  """Returns a remark that quotes no value of a header."""
  why = str(error) if isinstance(error, DataError) else type(error).__name__
  return f"{request.NOT_WRITTEN}: {why.rstrip('.')}."
