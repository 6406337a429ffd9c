"""A set of the user: a folder with images, some masks and a table.

    images/NAME.png    PNG, JPEG, TIFF, BMP, GIF or DICOM of any size
    masks/NAME.png     or NAME_mask.png: 0 and 1, or 0 and 255; optional
    labels.csv         columns id, label and optionally patient, split; optional

The id of an image is its name without the suffix.
"""

import collections
import dataclasses
import re
from collections.abc import Mapping
from pathlib import PurePosixPath

from apppau_jax.datasets import folder_labels as labels_lib
from apppau_jax.datasets.raw_source import RawSource, summarise
from apppau_jax.datasets.spec import DatasetSpec, File, MaskFiles, Reading
from apppau_jax.errors import DataError
from apppau_jax.imaging import decode

IMAGES, MASKS = "images", "masks"
_MASK = "_mask"
# DICOM files are often named by a number with dots.
_NUMBER = re.compile(r"[0-9.]+")


def read_spec(source: RawSource) -> DatasetSpec:
  """Returns the spec with the ids, classes and patients of these files.

  Raises:
    DataError: two folders of one name, two files for one id, files that are
      not images, folders below images/ or masks/, or an unusable table.
  """
  images = _by_id(source, IMAGES)
  masks = _by_id(source, MASKS, images=images)
  labels = labels_lib.Labels()
  if key := source.find(labels_lib.NAME):
    content, where = source.read(key), source.describe(key)
    labels = labels_lib.read_labels(content, where=where)
  rows = labels.rows
  _check_parts(rows, [i for i in masks if i in images])

  def image_files(example_id: str) -> tuple[File, ...]:
    named_in = masks.get(example_id) or labels_lib.NAME
    absent = f"{example_id}.* (named in {named_in})"
    return ((IMAGES, images.get(example_id, absent)),)

  def mask_files(example_id: str) -> tuple[MaskFiles, ...]:
    return (((MASKS, masks.get(example_id, f"{example_id}.png")),),)

  def label(example_id: str) -> int:
    name = rows[example_id].label if example_id in rows else ""
    return labels.class_names.index(name) if name else -1

  def read_parts(text: str) -> dict[str, Reading]:
    del text  # already parsed
    return {i: Reading(details={"split": row.split}) for i, row in rows.items()}

  unread = ", ".join(labels.unread)
  notes = ((labels_lib.NAME, f"columns that are not used: {unread}"),)
  return dataclasses.replace(
    FOLDER,
    ids=tuple(sorted({*images, *masks, *rows})),
    without_mask=frozenset(images.keys() - masks.keys()),
    class_names=labels.class_names,
    patients={i: row.patient for i, row in rows.items() if row.patient},
    label=label,
    images=image_files,
    masks=mask_files,
    tables=((labels_lib.NAME, read_parts),),
    notes=notes if unread else (),
  )


FOLDER = DatasetSpec(
  name="folder",
  title="A user's own radiographs with lung masks, classes and patients.",
  masks=lambda example_id: (),
  where="images/NAME.png (jpg, tif, bmp, gif or dcm)",
  suffixes=None,  # DICOM files may have any
  edited=True,
  details={"split": ""},  # train, validation or test, from labels.csv
  complete=read_spec,
)


def _check_parts(rows: Mapping[str, labels_lib.Row], masked: list[str]) -> None:
  """Checks that labels.csv has a split for all images with masks, or none."""
  absent = [i for i in masked if not (i in rows and rows[i].split)]
  if absent and any(row.split for row in rows.values()):
    raise DataError(
      f"labels.csv has a split for some images but not for {len(absent)} "
      f"others that have masks: {summarise(absent)} Give all of them a split, "
      "or none."
    )


def _by_id(
  source: RawSource,
  folder: str,
  *,
  images: Mapping[str, str] | None = None,
) -> dict[str, str]:
  """Returns the names of a folder's files by id; of masks given `images`."""
  found: dict[str, list[str]] = collections.defaultdict(list)
  others, places = [], set()
  for key in source.keys_below(folder):
    path = PurePosixPath(key.split("::", 1)[1])
    if path.name.lower() == labels_lib.NAME:
      continue
    name = _stem(path.name)
    deep = path.parent.name and path.parent.name.lower() != folder
    if name is None or deep:
      others.append(source.describe(key))
      continue
    places.add(str(PurePosixPath(source.describe(key)).parent))
    if images is not None and name not in images:
      name = name.removesuffix(_MASK)
    found[name].append(path.name)
  if len(places) > 1:
    raise DataError(
      f"{source.root} has {len(places)} folders called {folder}/: "
      f"{summarise(sorted(places))} Which of them belongs to the set is "
      "ambiguous. Move the others away, or give --raw_dir the one folder that "
      "holds it."
    )
  twice = [f"{', '.join(names)}" for names in found.values() if len(names) > 1]
  if others or twice:
    raise DataError(
      f"{folder}/ of {source.root} must hold only images, directly, one for "
      f"each id ({', '.join(decode.SUFFIXES)}). Move away or rename: "
      f"{summarise([*others, *twice])}"
    )
  return {name: names[0] for name, names in found.items()}


def _stem(name: str) -> str | None:
  """Returns the id that a file's name states; None if it is not an image's."""
  # On Linux a name may hold bytes that are not Unicode.
  if any("\ud800" <= letter <= "\udfff" for letter in name):
    return None
  path = PurePosixPath(name)
  if path.suffix.lower() in decode.SUFFIXES:
    return labels_lib.composed(path.stem)
  is_number = _NUMBER.fullmatch(name) or not path.suffix
  return labels_lib.composed(name) if is_number else None
