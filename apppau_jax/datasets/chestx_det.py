"""ChestX-Det: 3,578 films of NIH ChestX-ray14 with outlined findings.

Layout, as github.com/Deepwise-AILab/ChestX-Det-Dataset gives it out:

    train_data.zip, test_data.zip      NAME.png, 1024 x 1024, in any folder
    ChestX_Det_train.json              a list of {file_name, syms, boxes,
    ChestX_Det_test.json               polygons}; one of each for a finding

Points of a polygon are pixels, and its outline belongs to it: the published
boxes are the extreme points. Three radiologists outlined 13 kinds of findings
in 3,578 films. The mask is the union of all findings, and each kind is a
structure; a kind that a film does not have is empty there.

Class: `finding` if anything is outlined, else `no_finding`. The kinds of a film
are its `finding`, separated by `|`, and labels of their own
(data.diagnosis=findings).

Split `given`: the published test part; validation is a tenth of the published
training part, chosen by digests (`tables.parts`).

Not established, and not assumed: the number of films in each part, and which
films show the same patient: they were renamed, so that each counts as its own
patient although NIH has several of some. Terms: the page states none; those of
NIH ChestX-ray14 apply to the films. Overlap: every film is one of
`chestx_ray14`, and may be one of `siim_acr`.
"""

import dataclasses
import functools
import pathlib
from typing import Any

import numpy as np

from apppau_jax import reading
from apppau_jax.datasets import tables
from apppau_jax.datasets.raw_source import RawSource
from apppau_jax.datasets.spec import (
  Annotation,
  DatasetSpec,
  Drawn,
  File,
  Reading,
)
from apppau_jax.errors import DataError
from apppau_jax.imaging import outlines, structure

SIDE = 1024  # pixels of an image, to which the points refer
IMAGES = 3_578
FINDINGS = (
  *("Atelectasis", "Calcification", "Cardiomegaly", "Consolidation"),
  *("Diffuse Nodule", "Effusion", "Emphysema", "Fibrosis", "Fracture", "Mass"),
  *("Nodule", "Pleural Thickening", "Pneumothorax"),
)
_LISTS = ("ChestX_Det_train.json", "ChestX_Det_test.json")
_FORM = [{"file_name": str, "syms": [str], "polygons": [[[float]]]}]


def read_spec(source: RawSource) -> DatasetSpec:
  """Returns the spec with the films and findings of the two lists.

  Raises:
    DataError: a list is absent or damaged, or names a film twice.
  """
  keys = [tables.find(source, name) for name in _LISTS]
  entries: dict[str, dict[str, Any]] = {}
  where: dict[str, str] = {}
  ids: list[list[str]] = []
  for key in keys:
    ids.append([])
    for number, entry in enumerate(_read(source, key)):
      example_id = pathlib.PurePosixPath(entry["file_name"]).stem
      stated = f"{source.describe(key)}, entry {number}"
      if example_id in entries:
        raise DataError(
          f"{stated} is about {entry['file_name']}, and so is "
          f"{where[example_id]}. Get the lists again from their owner."
        )
      _check(entry, where=stated)
      entries[example_id], where[example_id] = entry, stated
      ids[-1].append(example_id)
  parts = tables.parts(ids[0], ids[1], patients={}, salt=CHESTX_DET.name)

  def image_files(example_id: str) -> tuple[File, ...]:
    return (("", entries[example_id]["file_name"]),)

  return dataclasses.replace(
    CHESTX_DET,
    ids=tuple(sorted(entries)),
    label=lambda example_id: int(bool(entries[example_id]["syms"])),
    images=image_files,
    annotations={
      i: Annotation(where[i], functools.partial(_draw, entry))
      for i, entry in entries.items()
    },
    annotated_in=tuple(keys),
    readings={
      i: Reading(
        finding="|".join(sorted(set(entry["syms"]))),
        findings=tuple(int(name in entry["syms"]) for name in FINDINGS),
        details={"split": parts[i]},
      )
      for i, entry in entries.items()
    },
  )


def _read(source: RawSource, key: str) -> list[dict[str, Any]]:
  try:
    value = reading.parse_json(source.read(key))
    if fault := reading.misfit(value, _FORM):
      raise ValueError(fault)
  except ValueError as error:
    raise DataError(
      f"{source.describe(key)} cannot be read: {error}. Get it again from its "
      "owner."
    ) from error
  return value


def _check(entry: dict[str, Any], *, where: str) -> None:
  other = sorted(set(entry["syms"]).difference(FINDINGS))
  if other:
    raise DataError(
      f"{where} has the finding {other[0]!r}, which is none of "
      f"{', '.join(FINDINGS)}. Get the list again from its owner."
    )
  if len(entry["syms"]) != len(entry["polygons"]):
    raise DataError(
      f"{where} has {len(entry['syms'])} findings and "
      f"{len(entry['polygons'])} polygons; each finding has one. Get the list "
      "again from its owner."
    )


def _draw(entry: dict[str, Any], size: tuple[int, int]) -> Drawn:
  """Returns the findings of a film, and their union."""
  if size != (SIDE, SIDE):
    raise ValueError(
      f"the image is {size[1]}x{size[0]} pixels, and the points are of images "
      f"of {SIDE}x{SIDE}"
    )
  masks = {name: np.zeros(size, bool) for name in FINDINGS}
  for name, points in zip(entry["syms"], entry["polygons"]):
    masks[name] |= outlines.fill_contour(points, size)
  each = tuple(masks.values())
  return Drawn(np.logical_or.reduce(each), each)


CHESTX_DET = DatasetSpec(
  name="chestx_det",
  title="ChestX-Det: films of NIH ChestX-ray14, 13 kinds of findings outlined.",
  citation="Lian et al. 2021 (SAR-Net); Liu et al. 2020 (arXiv 2006.10550)",
  terms="None stated on its page; films: those of NIH ChestX-ray14.",
  class_names=("no_finding", "finding"),
  where="NAME.png of ChestX_Det_train.json and ChestX_Det_test.json",
  suffixes=(".png", ".json"),
  outlined=structure.finding("findings"),
  structures=FINDINGS,
  details={"split": ""},
  finding_names=tuple(name.replace(" ", "_") for name in FINDINGS),
  counts={"": IMAGES},
  complete=read_spec,
)
