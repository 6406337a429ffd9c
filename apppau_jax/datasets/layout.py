"""How one owner lays out images, masks and readings."""

import csv
import dataclasses
import io
import re
from collections.abc import Callable, Mapping

import numpy as np

from apppau_jax.datasets import raw_source as source_lib

# A (folder, name); the folder "" is any folder.
File = tuple[str, str]
# One mask may be several files (left and right lung).
MaskFiles = tuple[File, ...]


@dataclasses.dataclass(frozen=True)
class Reading:
  """What a clinical reading says; "" where it says nothing.

  Attributes:
    sex: "F", "M" or "O".
    age: whole years.
    finding: the diagnosis, in the words of the text.
    details: what only this owner tells (see `Layout.details`).
    understood: False: `finding` is the whole text, as it stands.
  """

  sex: str = ""
  age: str = ""
  finding: str = ""
  details: Mapping[str, int | str] = dataclasses.field(default_factory=dict)
  understood: bool = True


def read_metadata(text: str) -> dict[str, Reading]:
  """Readings by id from a metadata.csv (columns id, sex, age, finding).

  They stand in for clinical readings that are missing.
  """
  return {
    row["id"]: Reading(
      sex=(row.get("sex") or "").strip()[:1].upper(),
      age=(row.get("age") or "").strip(),
      finding=" ".join((row.get("finding") or "").split()),
    )
    for row in csv.DictReader(io.StringIO(text))
    if row.get("id")
  }


# Files that hold the readings of many images, and what reads each.
Tables = tuple[tuple[str, Callable[[str], dict[str, Reading]]], ...]
# Decodes a headerless image: (content, its name, bits=) to levels [h, w].
ReadRaw = Callable[..., np.ndarray]
MAX_STRUCTURES = 8  # a prepared picture holds one bit for each
METADATA: Tables = (("metadata.csv", read_metadata),)


def last_token(example_id: str) -> int:
  """The label that an id such as MCUCXR_0001_0 ends in."""
  return int(example_id.rsplit("_", 1)[1])


def nlm_image(example_id: str) -> tuple[File, ...]:
  """Where NLM's sets have an image."""
  return (("CXR_png", f"{example_id}.png"),)


def gif_in_folder(structure: str, example_id: str) -> File:
  """Where SCR has the outline of a structure."""
  return structure, f"{example_id}.gif"


@dataclasses.dataclass(frozen=True)
class Layout:
  """One dataset as its owner publishes it.

  Attributes:
    stem: what the stems of its images look like; None: only `expected` tells.
    expected: the ids of the complete set; None: whatever is there.
    masks: the alternatives for an id's mask, each a tuple of files.
    class_names: what its labels mean.
    parse: the reading from a clinical text; None: it has no text an image.
    images: the alternatives for an id's image.
    label: the label that an id tells; -1 where the class is unknown.
    tables: files with readings of many images, a later one overruling.
    details: features that only this set has, and what stands for unknown.
    read_raw: decodes a headerless image file, (content, its name, bits=) to
      uint8 or uint16 [h, w]; None: images are pictures.
    structures: names of what the set outlines besides, kept apart (see
      `structures`); optional in any image, all or none.
    structure_file: the file of (a structure, an id).
    scaled: masks show the frame of their image, maybe coarser or finer.
    negatives: copies with bright lungs go round (see `contrast`).
    edited: it is a user's own: bright lungs are told of.
    without_mask: ids that are published without a mask.
    groups: ids of one patient, where there are several.
    patients: the patient of an id, where a name is known.
    notes: (file, remark) on files that are not as expected.
    where: a sentence for messages: where the images lie.
  """

  stem: re.Pattern[str] | None
  expected: tuple[str, ...] | None
  masks: Callable[[str], tuple[MaskFiles, ...]]
  class_names: tuple[str, ...]
  parse: Callable[[str], Reading] | None = None
  images: Callable[[str], tuple[File, ...]] = nlm_image
  label: Callable[[str], int] = last_token
  tables: Tables = METADATA
  details: Mapping[str, int | str] = dataclasses.field(default_factory=dict)
  read_raw: ReadRaw | None = None
  structures: tuple[str, ...] = ()
  structure_file: Callable[[str, str], File] = gif_in_folder
  scaled: bool = False
  negatives: bool = False
  edited: bool = False
  without_mask: frozenset[str] = frozenset()
  groups: tuple[tuple[str, ...], ...] = ()
  patients: Mapping[str, str] = dataclasses.field(default_factory=dict)
  notes: tuple[tuple[str, str], ...] = ()
  where: str = "CXR_png/*.png"

  def __post_init__(self) -> None:
    """Checks that the structures fit into the bits of a picture.

    Raises:
      ValueError: there are more than eight.
    """
    if len(self.structures) > MAX_STRUCTURES:
      raise ValueError(
        f"A set has at most {MAX_STRUCTURES} structures, one bit of a uint8 "
        f"picture for each; {len(self.structures)} were given."
      )


def read_tables(
  source: source_lib.RawSource, layout: Layout
) -> dict[str, Reading]:
  """All readings that lie in tables, by id."""
  readings = {}
  for name, parse in layout.tables:
    if key := source.find(name):
      text = source.read(key).decode("utf-8-sig", errors="replace")
      readings |= parse(text)
  return readings
