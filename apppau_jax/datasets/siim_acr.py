"""SIIM-ACR pneumothorax segmentation: DICOM files, masks as run lengths.

Layout, as the Kaggle challenge of 2019 gave it out:

    dicom-images-train/STUDY/SERIES/ID.dcm       1024 x 1024; 10,712 files
    dicom-images-test/STUDY/SERIES/ID.dcm        1,377 files, without masks
    train-rle.csv                                ImageId, EncodedPixels

Stage 2 of the challenge has stage_2_images/ and stage_2_train.csv of the same
columns; its numbers are not established. An image has one row for each region.
Runs are counted down the columns, relative to the end of the run before; `-1`
says that there is no pneumothorax. 10,675 images have rows; the other files of
the training part, and those of the test part, are prepared without a mask and
without a class.

Class: `pneumothorax` if a row outlines one, else `no_pneumothorax`, which does
not mean healthy. Patients: those of Patient ID in the headers, of which only a
digest is kept. Which images of NIH ChestX-ray14 they are is not published.

Terms: those of the challenge (kaggle.com/c/siim-acr-pneumothorax-segmentation).
Overlap: the annotations are of films of NIH ChestX-ray14 (Filice et al. 2020),
as are those of `chestx_det` and `chestx_ray14`.
"""

import collections
import dataclasses
import functools
import pathlib
from collections.abc import Sequence
from concurrent import futures

import numpy as np

from apppau_jax.datasets import tables
from apppau_jax.datasets.raw_source import RawSource
from apppau_jax.datasets.spec import Annotation, DatasetSpec, Drawn, File
from apppau_jax.errors import DataError
from apppau_jax.imaging import dicom_patient, run_lengths, structure

SIDE = 1024  # pixels of an image, to which the runs refer
FILES = 10_712 + 1_377  # of stage 1
_TABLES = ("train-rle.csv", "stage_2_train.csv")
_COLUMNS = ("ImageId", "EncodedPixels")
_FORM = {"columns": True, "first": 0, "relative": True}
_THREADS = 8


def read_spec(source: RawSource) -> DatasetSpec:
  """Returns the spec with the files, rows and patients of a source.

  Raises:
    DataError: there is no table, or it contradicts itself.
  """
  table = tables.find(source, *_TABLES)
  rows = collections.defaultdict(list)
  for row in tables.read(source, table, _COLUMNS):
    rows[row.cells["ImageId"]].append(row)
  found = {
    pathlib.PurePosixPath(key).stem: key
    for key in source.all_keys()
    if key.lower().endswith(".dcm")
  }
  affected = {i: _has_pneumothorax(own) for i, own in rows.items()}
  bare = sorted(found.keys() - rows.keys())

  def image_files(example_id: str) -> tuple[File, ...]:
    return (("", found.get(example_id, f"{example_id}.dcm")),)

  def label(example_id: str) -> int:
    return int(affected.get(example_id, -1))

  note = f"has no row for {len(bare)} images, which get no mask and no class"
  return dataclasses.replace(
    SIIM_ACR,
    ids=tuple(sorted({*found, *rows})),
    without_mask=frozenset(bare),
    label=label,
    images=image_files,
    patients=_patients(source, found),
    annotations={
      i: Annotation(own[0].where, functools.partial(_draw, own))
      for i, own in rows.items()
    },
    annotated_in=(table,),
    counts=SIIM_ACR.counts if source.find(_TABLES[0]) else {},
    notes=((source.describe(table), note),) if bare else (),
  )


def _has_pneumothorax(rows: Sequence[tables.Row]) -> bool:
  texts = [row.cells["EncodedPixels"] for row in rows]
  outlined = [text != run_lengths.NONE for text in texts]
  if any(outlined) and not all(outlined):
    raise DataError(
      f"{rows[0].where} and {rows[-1].where} contradict each other: one "
      f"outlines a pneumothorax in {rows[0].cells['ImageId']} and another says "
      "that there is none. Get the table again from its owner."
    )
  return any(outlined)


def _draw(rows: Sequence[tables.Row], size: tuple[int, int]) -> Drawn:
  """Returns the union of the regions of an image."""
  if size != (SIDE, SIDE):
    raise ValueError(
      f"the image is {size[1]}x{size[0]} pixels, and the runs are of images of "
      f"{SIDE}x{SIDE}"
    )
  mask = np.zeros(size, bool)
  for row in rows:
    try:
      mask |= run_lengths.decode_pairs(
        row.cells["EncodedPixels"], size, **_FORM
      )
    except ValueError as error:
      raise ValueError(f"{row.where}: {error}") from error
  return Drawn(mask)


def _patients(source: RawSource, found: dict[str, str]) -> dict[str, str]:
  """Returns a digest of the patient of each image that states one."""

  def digest(key: str) -> str:
    head = source.head(key, size=dicom_patient.HEAD)
    return dicom_patient.digest(head, name=source.describe(key))

  with futures.ThreadPoolExecutor(_THREADS) as pool:
    digests = pool.map(digest, found.values())
    return {i: stated for i, stated in zip(found, digests) if stated}


SIIM_ACR = DatasetSpec(
  name="siim_acr",
  title="SIIM-ACR pneumothorax segmentation: films of NIH, outlined regions.",
  citation="Filice et al. 2020 (J Digit Imaging 33:490-496)",
  terms="Those of the Kaggle challenge, which must be accepted there.",
  class_names=("no_pneumothorax", "pneumothorax"),
  where="dicom-images-train/STUDY/SERIES/ID.dcm",
  suffixes=(".dcm", ".csv"),
  outlined=structure.finding("pneumothorax"),
  counts={"": FILES},
  complete=read_spec,
)
