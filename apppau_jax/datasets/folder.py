"""A set of the user: a folder with images, some masks and a table.

    images/NAME.png    PNG, JPEG, TIFF, BMP, GIF or DICOM of any size and name
    masks/NAME.png     or NAME_mask.png: 0 and 1, or 0 and 255; optional
    labels.csv         columns id, label and optionally patient, split; optional

The id of an image is its name without the suffix.
"""

import dataclasses
from collections.abc import Mapping, Sequence

from apppau_jax.datasets import folder_files
from apppau_jax.datasets import folder_labels as labels_lib
from apppau_jax.datasets.folder_files import IMAGES, MASKS, Files
from apppau_jax.datasets.folder_labels import Row
from apppau_jax.datasets.raw_source import RawSource, summarise
from apppau_jax.datasets.spec import DatasetSpec, File, MaskFiles, Reading
from apppau_jax.errors import DataError


def read_spec(source: RawSource) -> DatasetSpec:
  """Returns the spec with the ids, classes and patients of these files.

  Raises:
    DataError: see `folder_files.find_files`; or an unusable table, or one that
      fits no image.
  """
  files = folder_files.find_files(source, table=labels_lib.NAME)
  labels = labels_lib.Labels()
  if key := source.find(labels_lib.NAME):
    content, where = source.read(key), source.describe(key)
    labels = labels_lib.read_labels(
      content, where=where, columns=source.columns
    )
  rows, renamed = _rows_by_id(labels.rows, files)
  _check_parts(rows, [*files.masks])

  def image_files(example_id: str) -> tuple[File, ...]:
    stray = files.strays.get(example_id)
    named_in = stray.rpartition("/")[2] if stray else labels_lib.NAME
    absent = f"{example_id}.* (named in {named_in})"
    return ((IMAGES, files.images.get(example_id, absent)),)

  def mask_files(example_id: str) -> tuple[MaskFiles, ...]:
    keys = files.masks.get(example_id, (f"{example_id}.png",))
    return (tuple((MASKS, key) for key in keys),)

  def label(example_id: str) -> int:
    name = rows[example_id].label if example_id in rows else ""
    return labels.class_names.index(name) if name else -1

  def read_parts(text: str) -> dict[str, Reading]:
    del text  # already parsed
    return {i: Reading(details={"split": row.split}) for i, row in rows.items()}

  notes = [*files.notes, *((labels_lib.NAME, r) for r in labels.remarks)]
  if labels.unread:
    unread = ", ".join(labels.unread)
    notes.append((labels_lib.NAME, f"columns that are not used: {unread}"))
  if renamed:
    notes.append((labels_lib.NAME, renamed))
  return dataclasses.replace(
    FOLDER,
    ids=tuple(sorted({*files.images, *files.strays, *rows})),
    without_mask=frozenset(files.images.keys() - files.masks.keys()),
    class_names=labels.class_names,
    patients={i: row.patient for i, row in rows.items() if row.patient},
    label=label,
    images=image_files,
    masks=mask_files,
    tables=((labels_lib.NAME, read_parts),),
    notes=tuple(notes),
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


def _rows_by_id(
  rows: Mapping[str, Row], files: Files
) -> tuple[dict[str, Row], str]:
  """Returns the rows by the id of their image, and a remark on other names.

  Raises:
    DataError: an id of the table fits several images, or several fit one; or
      none of them fits any.
  """
  found: dict[str, str] = {}  # what the table calls an id
  faults = []
  for name in rows:
    ids = files.names.of_cell(name) or [name]
    if len(ids) > 1:
      faults.append(f"{name} fits {' and '.join(ids)}")
    elif ids[0] in found:
      faults.append(f"{found[ids[0]]} and {name} both fit {ids[0]}")
    else:
      found[ids[0]] = name
  if faults:
    raise DataError(
      f"{labels_lib.NAME} has {len(faults)} ids that are ambiguous: "
      f"{summarise(faults)} Write each exactly as its image is called, without "
      "the suffix."
    )
  if rows and files.images and not found.keys() & files.images.keys():
    raise DataError(
      f"None of the {len(rows)} ids in {labels_lib.NAME} fits an image: they "
      f"are {_some(found)} there, and {_some(files.images)} in {IMAGES}/. "
      "Write in the column id what the image is called, without the suffix."
    )
  other = [f"{name!r} is {i!r}" for i, name in found.items() if name != i]
  remark = f"{len(other)} ids are written differently: "
  remark += summarise(other, limit=3) if other else ""
  return {i: rows[n] for i, n in found.items()}, remark if other else ""


def _some(names: Sequence[str] | Mapping[str, str]) -> str:
  return summarise(map(repr, sorted(names)), limit=3).rstrip(".")


def _check_parts(rows: Mapping[str, Row], masked: list[str]) -> None:
  """Checks that labels.csv has a split for all images with masks, or none."""
  absent = [i for i in masked if not (i in rows and rows[i].split)]
  if absent and any(row.split for row in rows.values()):
    raise DataError(
      f"labels.csv has a split for some images but not for {len(absent)} "
      f"others that have masks: {summarise(sorted(absent))} Give all of them a "
      "split, or none."
    )
