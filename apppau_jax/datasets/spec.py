"""The facts about one data set: ids, classes, files, patients and splits."""

import dataclasses
import functools
import json
import re
from collections.abc import Callable, Collection, Mapping
from importlib import resources
from typing import NamedTuple

import numpy as np

from apppau_jax import reading
from apppau_jax.datasets.raw_source import SUFFIXES, RawSource
from apppau_jax.errors import DataError
from apppau_jax.imaging.film import DOCUMENTED, Spacing
from apppau_jax.imaging.masks import Frames
from apppau_jax.imaging.structure import LUNGS, Structure

# A (folder, name); the folder "" stands for any folder.
File = tuple[str, str]
# One mask may consist of several files, such as the left and the right lung.
MaskFiles = tuple[File, ...]
# A prepared picture holds the structures as the bits of a uint8 or uint16.
MAX_STRUCTURES = 16


class Drawn(NamedTuple):
  """Masks that were drawn from an annotation.

  Attributes:
    mask: bool [h, w].
    structures: bool [h, w] for each of `DatasetSpec.structures`.
  """

  mask: np.ndarray
  structures: tuple[np.ndarray, ...] = ()


class Annotation(NamedTuple):
  """The masks of an image that are stated in a table, not as pictures.

  Attributes:
    where: file and row, for messages.
    draw: returns the masks for an image of a (height, width). It raises
      ValueError if the annotation does not fit.
  """

  where: str
  draw: Callable[[tuple[int, int]], Drawn]


@dataclasses.dataclass(frozen=True)
class Reading:
  """A clinical reading; fields that it does not state are "".

  Attributes:
    sex: "F", "M" or "O".
    age: in whole years.
    finding: the diagnosis, in the words of the text.
    details: values for `DatasetSpec.details`.
    findings: of each of `DatasetSpec.finding_names` 1 if it is present, 0 if it
      is absent and -1 if that is not stated; () if none is stated.
    understood: False if the text could not be parsed; `finding` is then all
      of it.
  """

  sex: str = ""
  age: str = ""
  finding: str = ""
  details: Mapping[str, int | str] = dataclasses.field(default_factory=dict)
  findings: tuple[int, ...] = ()
  understood: bool = True


def read_metadata(text: str) -> dict[str, Reading]:
  """Parses metadata.csv (columns id, sex, age, finding) to readings by id.

  It replaces clinical readings that are missing.

  Raises:
    ValueError: it is no table, or has no column id.
  """
  lines = reading.read_rows(text)
  first = next((cells for _, cells in lines if cells), [])
  header = [name.strip() for name in first]
  if "id" not in header:
    raise ValueError("it has no column 'id'")
  rows = (dict(zip(header, cells)) for _, cells in lines)
  return {
    row["id"]: Reading(
      sex=row.get("sex", "").strip()[:1].upper(),
      age=row.get("age", "").strip(),
      finding=" ".join(row.get("finding", "").split()),
    )
    for row in rows
    if row.get("id")
  }


# Files that hold the readings of many images, each with its parser.
Tables = tuple[tuple[str, Callable[[str], dict[str, Reading]]], ...]
METADATA: Tables = (("metadata.csv", read_metadata),)


def last_token(example_id: str) -> int:
  """Returns the label that ends an id such as MCUCXR_0001_0."""
  return int(example_id.rsplit("_", 1)[1])


def cxr_png(example_id: str) -> tuple[File, ...]:
  """Returns the place of an image in the sets of the NLM."""
  return (("CXR_png", f"{example_id}.png"),)


def id_lists(name: str) -> dict[str, tuple[str, ...]]:
  """Reads split_lists/NAME.json: the ids of a public split by part."""
  path = resources.files("apppau_jax.datasets") / f"split_lists/{name}.json"
  parts = json.loads(path.read_text(encoding="utf-8"))
  return {part: tuple(ids) for part, ids in parts.items()}


def same_patient(*groups: tuple[str, ...]) -> dict[str, str]:
  """Maps the images of each group to one patient, named by the first."""
  return {image: group[0] for group in groups for image in group}


@dataclasses.dataclass(frozen=True, kw_only=True)
class DatasetSpec:
  """One data set as its owner publishes it; a new set is one value of this.

  Attributes:
    name: the name in `datasets.DATASETS` and in a configuration.
    title: one line of description.
    version: of the prepared form; a change makes users prepare it again.
    citation: what its owner asks users to cite.
    terms: on what conditions its owner gives it out.
    class_names: the classes; labels are positions in it.
    ids: the ids of the complete set, sorted; None if any file belongs to it.
    without_mask: ids that are published without a mask.
    patients: the patient of each id that is not its own patient.
    lists: the ids of a public train, validation and test split, by part.
    paper_counts: training, validation and test images of the paper's Table 3.
    paper_subset: (label, count, salt) if the paper used only `count` images
      of a class, chosen here by their digests under `salt`.
    stem: the pattern of image file stems; None: only `ids` are searched.
    label: maps an id to its label, -1 where unknown.
    images: maps an id to the alternative places of its image.
    masks: maps an id to the alternative sets of files of its mask.
    where: where images lie, for messages.
    suffixes: suffixes of its raw files in lower case; None: any.
    left_folders: by mask folder, whether its lung lies in the left half of
      the picture.
    outlined: what the masks outline.
    scaled: masks may be coarser or finer than their image, by an integer.
    frames: sizes of an image and of its mask that show the same frame.
    millimetres: between pixels, by the (height, width) of images for which
      the owner states it.
    annotations: masks of ids that are no pictures.
    annotated_in: the files of the annotations.
    counts: images of the complete set by class, where ids are not published;
      the key "" is for all of them.
    readings: readings by id that `complete` has parsed; tables precede.
    negatives: copies as PNG may show bright lungs and are then inverted.
    edited: warn about bright lungs, which are not inverted.
    structures: names of further outlined structures, at most 16. An image
      has all of them or none.
    structure_file: maps (structure, id) to its file.
    read_raw: decodes a headerless image, (content, its name, bits=) to uint8
      or uint16 [h, w]; None: images are pictures.
    parse: parses the clinical text of one image; None: there are no texts.
    tables: files with the readings of many images; later ones take precedence.
    details: names of features that only this set has, with the values that
      stand for unknown.
    finding_names: findings of which an image may have any number, and of which
      `readings` state which ones it has.
    notes: (file, remark) on files that are not as expected.
    complete: returns the spec with what only the raw files state, such as the
      ids and classes of a user's folder.
  """

  name: str
  title: str
  version: str = "1.0.0"
  citation: str = ""
  terms: str = ""
  class_names: tuple[str, ...] = ()
  ids: tuple[str, ...] | None = None
  without_mask: frozenset[str] = frozenset()
  patients: Mapping[str, str] = dataclasses.field(default_factory=dict)
  lists: Mapping[str, tuple[str, ...]] | None = None
  paper_counts: tuple[int, int, int] | None = None
  paper_subset: tuple[int, int, str] | None = None
  stem: re.Pattern[str] | None = None
  label: Callable[[str], int] = last_token
  images: Callable[[str], tuple[File, ...]] = cxr_png
  masks: Callable[[str], tuple[MaskFiles, ...]] = lambda example_id: ((),)
  where: str = "CXR_png/*.png"
  suffixes: Collection[str] | None = SUFFIXES
  left_folders: Mapping[str, bool] = dataclasses.field(default_factory=dict)
  outlined: Structure = LUNGS
  scaled: bool = False
  frames: Frames | None = None
  millimetres: Mapping[tuple[int, ...], float] = dataclasses.field(
    default_factory=dict
  )
  annotations: Mapping[str, Annotation] = dataclasses.field(
    default_factory=dict
  )
  annotated_in: tuple[str, ...] = ()
  counts: Mapping[str, int] = dataclasses.field(default_factory=dict)
  readings: Mapping[str, Reading] = dataclasses.field(default_factory=dict)
  negatives: bool = False
  edited: bool = False
  structures: tuple[str, ...] = ()
  structure_file: Callable[[str, str], File] = lambda s, i: (s, f"{i}.gif")
  read_raw: Callable[..., np.ndarray] | None = None
  parse: Callable[[str], Reading] | None = None
  tables: Tables = METADATA
  details: Mapping[str, int | str] = dataclasses.field(default_factory=dict)
  finding_names: tuple[str, ...] = ()
  notes: tuple[tuple[str, str], ...] = ()
  complete: Callable[[RawSource], "DatasetSpec"] | None = None

  def __post_init__(self) -> None:
    """Checks that the structures fit into the bits of a picture.

    Raises:
      ValueError: there are more than 16.
    """
    if len(self.structures) > MAX_STRUCTURES:
      raise ValueError(
        f"{self.name} has {len(self.structures)} structures; at most "
        f"{MAX_STRUCTURES} fit into a picture, one bit for each."
      )

  @functools.cached_property
  def masked_ids(self) -> tuple[str, ...] | None:
    """The published ids with a mask, sorted; None without a list of ids."""
    if self.ids is None:
      return None
    return tuple(i for i in self.ids if i not in self.without_mask)

  @property
  def structure_dtype(self) -> type[np.unsignedinteger]:
    """The type whose bits are the structures."""
    return np.uint8 if len(self.structures) <= 8 else np.uint16

  @property
  def structure_names(self) -> tuple[str, ...]:
    """The structures as a configuration names them, such as left_lung."""
    return tuple(name.replace(" ", "_") for name in self.structures)

  def documented_spacing(self, size: tuple[int, ...]) -> Spacing | None:
    """Returns the spacing of images of a (height, width) by the owner's words.

    It is None for other sizes, such as that of resampled copies.
    """
    side = self.millimetres.get(size)
    return Spacing(side, side, DOCUMENTED) if side else None

  def of(self, source: RawSource) -> "DatasetSpec":
    """Returns the spec for these raw files (see `complete`)."""
    return self if self.complete is None else self.complete(source)

  def open(
    self,
    raw_dir,
    *,
    faults: list | None = None,
    columns: Mapping[str, str] | None = None,
  ) -> RawSource:
    """Lists the raw files of a folder or zip (see `RawSource`)."""
    return RawSource(
      raw_dir, suffixes=self.suffixes, faults=faults, columns=columns
    )

  def read_tables(self, source: RawSource) -> dict[str, Reading]:
    """Returns all readings that lie in tables, by id.

    Raises:
      DataError: a table cannot be read.
    """
    readings = dict(self.readings)
    for name, parse in self.tables:
      if key := source.find(name):
        try:
          readings |= parse(reading.decode_text(source.read(key)))
        except ValueError as error:
          raise DataError(
            f"{source.describe(key)} cannot be read as a table: {error}. "
            "Correct it, or move it away."
          ) from error
    return readings
