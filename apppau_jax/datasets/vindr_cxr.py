"""VinDr-CXR: 18,000 films of two hospitals in Vietnam, findings in boxes.

Layout, as physionet.org/content/vindr-cxr/1.0.0 gives it out:

    train/ID.dicom, test/ID.dicom          15,000 and 3,000 DICOM files
    annotations/image_labels_train.csv     image_id, rad_id, 28 labels 0 or 1;
                                           a row for each of three readers
    annotations/image_labels_test.csv      image_id and the labels; one row, on
                                           which five readers agreed
    annotations/annotations_train.csv      image_id, rad_id, class_name, x_min,
    annotations/annotations_test.csv       y_min, x_max, y_max; no rad_id in the
                                           second; No finding has no box

The labels are 22 local findings, which have boxes, five diseases and No
finding. The last disease is `Other diseases` in one table and `Other disease`
in the other. An empty cell states nothing.

Readers who disagree: a finding is present if more than half of the readers of
the film marked it, and absent otherwise; a pixel belongs to it if more than
half of them have it in a box. A film may have a finding whose mask is empty,
where the boxes do not overlap. The mask is the union of all findings.

Structures: the 14 local findings of the Kaggle challenge on these films; a
picture has no room for 22. The other eight are in the mask alone. Labels of
their own (data.diagnosis=findings): all local findings and diseases. Class:
`finding` if any is present, `no_finding` if none is and No finding is, by the
same rule; else none, and a remark counts those films.

Split `given`: the published test part; validation is a tenth of the published
training part, chosen by digests (`tables.parts`).

Not established, and not assumed: which films show the same patient (each counts
as its own), and whether all boxes lie within their films, which is required.
Layout and columns are those of the page and of programs that read the set; no
original file was at hand. Terms: credentialed access of PhysioNet, with its
data use agreement. Overlap: the films of the Kaggle challenge
vinbigdata-chest-xray-abnormalities-detection are these.
"""

import collections
import dataclasses
import functools
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

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

IMAGES = 15_000 + 3_000
# With boxes: those of the Kaggle challenge, and others.
STRUCTURES = (
  *("Aortic enlargement", "Atelectasis", "Calcification", "Cardiomegaly"),
  *("Consolidation", "ILD", "Infiltration", "Lung Opacity", "Nodule/Mass"),
  *("Other lesion", "Pleural effusion", "Pleural thickening"),
  *("Pneumothorax", "Pulmonary fibrosis"),
)
LOCAL = (
  *STRUCTURES,
  *("Clavicle fracture", "Edema", "Emphysema", "Enlarged PA"),
  *("Lung cavity", "Lung cyst", "Mediastinal shift", "Rib fracture"),
)
_OTHER = ("Other diseases", "Other disease")
FINDINGS = (
  *LOCAL,
  "COPD",
  "Lung tumor",
  "Pneumonia",
  "Tuberculosis",
  _OTHER[0],
)
NONE = "No finding"
_LABELS = ("image_labels_train.csv", "image_labels_test.csv")
_BOXES = ("annotations_train.csv", "annotations_test.csv")
_CORNERS = ("x_min", "y_min", "x_max", "y_max")
_CELLS = {"0": 0, "0.0": 0, "1": 1, "1.0": 1, "": None}

# Boxes are larger than what they hold, and may reach the edges of the film.
_OUTLINED = structure.Structure(
  "boxes of findings", possible=(0.0, 1.0), usual=(0.0, 0.6), most_frame=1.0
)

# By reader; the readers of the test part are one.
Votes = dict[str, Mapping[str, int | None]]
Boxes = dict[str, dict[str, list[tuple[float, ...]]]]


def read_spec(source: RawSource) -> DatasetSpec:
  """Returns the spec with the films, labels and boxes of a source.

  Raises:
    DataError: a table is absent, or contradicts itself.
  """
  votes = [_votes(source, name) for name in _LABELS]
  if both := sorted(votes[0].keys() & votes[1].keys()):
    raise DataError(
      f"{both[0]} is a film of {_LABELS[0]} and of {_LABELS[1]}. Get the "
      "tables again from their owner."
    )
  readers = {**votes[0], **votes[1]}
  boxes = {**_boxes(source, _BOXES[0]), **_boxes(source, _BOXES[1])}
  where = {
    i: source.describe(tables.find(source, name))
    for part, name in zip(votes, _BOXES)
    for i in part
  }
  stated = {i: _majority(own) for i, own in readers.items()}
  labels = {i: _label(own) for i, own in stated.items()}
  parts = tables.parts([*votes[0]], [*votes[1]], patients={}, salt="vindr_cxr")
  found = {
    pathlib.PurePosixPath(key).stem: key
    for key in source.all_keys()
    if key.lower().endswith(".dicom")
  }

  def image_files(example_id: str) -> tuple[File, ...]:
    return (("", found.get(example_id, f"{example_id}.dicom")),)

  unclear = sum(label < 0 for label in labels.values())
  bare = found.keys() - readers.keys()
  remarks = [f"gives {unclear} films no class: their readers disagree"]
  remarks = remarks * bool(unclear)
  if bare:
    first = f"first {min(bare)}"
    remarks.append(f"has no row for {len(bare)} files, left out, {first}")
  return dataclasses.replace(
    VINDR_CXR,
    ids=tuple(sorted(readers)),
    label=labels.__getitem__,
    images=image_files,
    annotations={
      i: Annotation(
        where[i],
        functools.partial(_draw, boxes.get(i, {}), readers=len(own)),
      )
      for i, own in readers.items()
    },
    annotated_in=tuple(tables.find(source, n) for n in (*_LABELS, *_BOXES)),
    readings={
      i: Reading(
        finding="|".join(sorted(name for name in FINDINGS if own[name] == 1)),
        findings=tuple(own[name] for name in FINDINGS),
        details={"split": parts[i]},
      )
      for i, own in stated.items()
    },
    notes=tuple((_LABELS[0], remark) for remark in remarks),
  )


def _votes(source: RawSource, name: str) -> dict[str, Votes]:
  """Returns what each reader of each film stated, by label."""
  key = tables.find(source, name)
  header = tables.text(source, key).partition("\n")[0]
  other = _OTHER[0] if _OTHER[0] in header else _OTHER[1]
  names = {label: label for label in (*FINDINGS, NONE)} | {_OTHER[0]: other}
  by = ("rad_id",) if "rad_id" in header else ()
  found: dict[str, Votes] = collections.defaultdict(dict)
  for row in tables.read(source, key, ("image_id", *by, *names.values())):
    cells = {label: row.cells[column] for label, column in names.items()}
    if odd := [label for label, text in cells.items() if text not in _CELLS]:
      raise DataError(
        f"{row.where}: {odd[0]} is {cells[odd[0]][:40]!r}, neither 0 nor 1. "
        "Get the table again from its owner."
      )
    reader = row.cells["rad_id"] if by else ""
    votes = found[row.cells["image_id"]]
    if reader in votes:
      raise DataError(
        f"{row.where} is about {row.cells['image_id']}, of which {name} has "
        "what this reader stated already. Get the table again from its owner."
      )
    votes[reader] = {label: _CELLS[text] for label, text in cells.items()}
  return dict(found)


def _majority(votes: Votes) -> dict[str, int]:
  """Returns 1, 0 or, of what no reader stated, -1 by label."""
  found = {}
  for label in (*FINDINGS, NONE):
    stated = [own[label] for own in votes.values() if own[label] is not None]
    found[label] = int(2 * stated.count(1) > len(votes)) if stated else -1
  return found


def _label(stated: Mapping[str, int]) -> int:
  if any(stated[name] == 1 for name in FINDINGS):
    return 1
  return 0 if stated[NONE] == 1 else -1


def _boxes(source: RawSource, name: str) -> dict[str, Boxes]:
  """Returns the boxes of each film, by finding and reader."""
  key = tables.find(source, name)
  header = tables.text(source, key).partition("\n")[0]
  by = ("rad_id",) if "rad_id" in header else ()
  found: dict[str, Boxes] = collections.defaultdict(dict)
  columns = ("image_id", *by, "class_name", *_CORNERS)
  for row in tables.read(source, key, columns):
    kind = row.cells["class_name"]
    if kind == NONE:
      continue
    if kind not in LOCAL:
      raise DataError(
        f"{row.where}: {kind[:40]!r} is none of {', '.join(LOCAL)}. Get the "
        "table again from its owner."
      )
    try:
      box = tuple(float(row.cells[corner]) for corner in _CORNERS)
    except ValueError as error:
      raise DataError(
        f"{row.where}: the box of {kind} is not four numbers ({error}). Get "
        "the table again from its owner."
      ) from error
    readers = found[row.cells["image_id"]].setdefault(kind, {})
    readers.setdefault(row.cells["rad_id"] if by else "", []).append(box)
  return dict(found)


def _draw(boxes: Boxes, size: tuple[int, int], *, readers: int) -> Drawn:
  """Returns where more than half of the readers have a box of a finding."""
  masks = {kind: np.zeros(size, bool) for kind in LOCAL}
  for kind, by_reader in boxes.items():
    each = [outlines.fill_boxes(own, size) for own in by_reader.values()]
    masks[kind] = 2 * np.sum(each, axis=0) > readers
  return Drawn(
    np.logical_or.reduce([*masks.values()]),
    tuple(masks[kind] for kind in STRUCTURES),
  )


def _plain(names: Sequence[str]) -> tuple[str, ...]:
  return tuple(name.replace(" ", "_").replace("/", "_") for name in names)


VINDR_CXR = DatasetSpec(
  name="vindr_cxr",
  title="VinDr-CXR: 22 findings in boxes and five diseases, by three readers.",
  citation="Nguyen et al. 2022 (Sci Data 9:429); doi.org/10.13026/3akn-b287",
  terms="PhysioNet: credentialed access and its data use agreement.",
  class_names=("no_finding", "finding"),
  where="train/ID.dicom and test/ID.dicom",
  suffixes=(".dicom", ".csv"),
  outlined=_OUTLINED,
  structures=_plain(STRUCTURES),
  details={"split": ""},
  finding_names=_plain(FINDINGS),
  counts={"": IMAGES},
  complete=read_spec,
)
