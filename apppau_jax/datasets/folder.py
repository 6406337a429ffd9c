"""A set of the user's own: a folder with images, some masks, a table.

    images/NAME.png    PNG, JPEG, TIFF, BMP, GIF or DICOM, whatever the size
    masks/NAME.png     or NAME_mask.png: 0 and 1, or 0 and 255; may be missing
    labels.csv         columns id, label, maybe patient, split; may be missing

The id of an image is its name without the suffix.
"""

import collections
import dataclasses
import re
from collections.abc import Mapping
from pathlib import PurePosixPath

from apppau_jax.datasets import builder, raw_index
from apppau_jax.datasets import folder_labels as labels_lib
from apppau_jax.datasets import layout as layout_lib
from apppau_jax.datasets import raw_source as source_lib
from apppau_jax.errors import DataError
from apppau_jax.imaging import reading

IMAGES, MASKS = "images", "masks"
DETAILS = {"split": ""}  # train, validation or test, as labels.csv has it
_MASK = "_mask"
# DICOM files are often called by their number, which has dots.
_NUMBER = re.compile(r"[0-9.]+")


class Folder(builder.LungBuilder):
  """A user's own radiographs with lung masks, classes and patients."""

  SUFFIXES = None  # of DICOM files anything may be the suffix

  @classmethod
  def layout(cls) -> layout_lib.Layout:
    """What all such sets share; `layout_in` tells the rest."""
    return _Contents().layout()

  @classmethod
  def layout_in(cls, source: source_lib.RawSource) -> layout_lib.Layout:
    """The layout, with the ids, classes and patients of these files."""
    return _contents(source).layout()

  def own_layout(self) -> layout_lib.Layout:
    """The layout of `raw_dir`, which must be given: it tells the classes."""
    if self.raw_dir is None:
      raise ValueError("Folder needs raw_dir: its classes are known from there")
    with self.open(self.raw_dir) as source:
      return self.layout_in(source)


@dataclasses.dataclass(frozen=True)
class _Contents:
  """The names of the files by id, and the table."""

  images: Mapping[str, str] = dataclasses.field(default_factory=dict)
  masks: Mapping[str, str] = dataclasses.field(default_factory=dict)
  labels: labels_lib.Labels = dataclasses.field(
    default_factory=labels_lib.Labels
  )

  def layout(self) -> layout_lib.Layout:
    """The layout; complete if each mask and each row has an image."""
    rows, unread = self.labels.rows, ", ".join(self.labels.unread)
    notes = ((labels_lib.NAME, f"columns that are not read: {unread}"),)
    return layout_lib.Layout(
      stem=None,
      expected=tuple(sorted({*self.images, *self.masks, *rows})),
      masks=self._mask_files,
      class_names=self.labels.class_names,
      images=self._image_files,
      label=self._label,
      tables=((labels_lib.NAME, lambda _: self._readings()),),
      details=DETAILS,
      edited=True,
      without_mask=frozenset(self.images.keys() - self.masks.keys()),
      patients={i: row.patient for i, row in rows.items() if row.patient},
      notes=notes if unread else (),
      where="images/NAME.png (jpg, tif, bmp, gif or dcm)",
    )

  def _image_files(self, example_id: str) -> tuple[layout_lib.File, ...]:
    known_from = self.masks.get(example_id) or labels_lib.NAME
    absent = f"{example_id}.* (known from {known_from})"
    return ((IMAGES, self.images.get(example_id, absent)),)

  def _mask_files(self, example_id: str) -> tuple[layout_lib.MaskFiles, ...]:
    return (((MASKS, self.masks.get(example_id, f"{example_id}.png")),),)

  def _label(self, example_id: str) -> int:
    name = self.labels.rows.get(example_id, labels_lib.Row()).label
    return self.labels.class_names.index(name) if name else -1

  def _readings(self) -> dict[str, layout_lib.Reading]:
    return {
      i: layout_lib.Reading(details={"split": row.split})
      for i, row in self.labels.rows.items()
    }


def _contents(source: source_lib.RawSource) -> _Contents:
  """Lists the files and reads the table.

  Raises:
    DataError: two folders of one name, two files for one id, files that are no
      pictures, folders below images/ or masks/, or a table that cannot be used.
  """
  images = _by_id(source, IMAGES)
  masks = _by_id(source, MASKS, images=images)
  labels = labels_lib.Labels()
  if key := source.find(labels_lib.NAME):
    content, where = source.read(key), source.describe(key)
    labels = labels_lib.read_labels(content, where=where)
  rows = labels.rows
  if any(row.split for row in rows.values()):
    absent = [
      i for i in masks if i in images and not (i in rows and rows[i].split)
    ]
    if absent:
      raise DataError(
        f"labels.csv has a split for some images, and none for {len(absent)} "
        f"others that have masks: {raw_index.summarise(absent)} Give each a "
        "split, or none."
      )
  return _Contents(images=images, masks=masks, labels=labels)


def _by_id(
  source: source_lib.RawSource,
  folder: str,
  *,
  images: Mapping[str, str] | None = None,
) -> dict[str, str]:
  """The names of the files of a folder by id; of masks with `images`."""
  found: dict[str, list[str]] = collections.defaultdict(list)
  strangers, places = [], set()
  for key in source.keys_below(folder):
    path = PurePosixPath(key.split("::", 1)[1])
    if path.name.lower() == labels_lib.NAME:
      continue
    name = _stem(path.name)
    deep = path.parent.name and path.parent.name.lower() != folder
    if name is None or deep or not _is_text(path.name):
      strangers.append(source.describe(key))
      continue
    places.add(str(PurePosixPath(source.describe(key)).parent))
    if images is not None and name not in images:
      name = name.removesuffix(_MASK)
    found[name].append(path.name)
  if len(places) > 1:
    raise DataError(
      f"{source.root} has {len(places)} folders called {folder}/: "
      f"{raw_index.summarise(sorted(places))} Which of them make the set is "
      "not guessed: move the others away, or give --raw_dir the one folder "
      "that holds it."
    )
  twice = [f"{', '.join(names)}" for names in found.values() if len(names) > 1]
  if strangers or twice:
    raise DataError(
      f"{folder}/ of {source.root} must hold pictures and nothing else, "
      f"directly, one for an id ({', '.join(reading.SUFFIXES)}). Move away or "
      f"rename: {raw_index.summarise([*strangers, *twice])}"
    )
  return {name: names[0] for name, names in found.items()}


def _stem(name: str) -> str | None:
  """The id that a file's name tells; None: it is none of a picture."""
  path = PurePosixPath(name)
  if path.suffix.lower() in reading.SUFFIXES:
    return labels_lib.composed(path.stem)
  is_number = _NUMBER.fullmatch(name) or not path.suffix
  return labels_lib.composed(name) if is_number else None


def _is_text(name: str) -> bool:
  """Whether a name is Unicode: on Linux it may be any bytes."""
  return not any("\ud800" <= letter <= "\udfff" for letter in name)
