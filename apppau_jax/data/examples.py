"""Prepared datasets to arrays in memory: the only reader of the shards.

A combination (`data.sets`) is read from its members: labels become positions
in the union of their classes, ids and pixels stay as they are.
"""

import dataclasses
import hashlib
import io
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent import futures
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from apppau_jax import errors
from apppau_jax.data import builder as builder_lib
from apppau_jax.data import manifest, raw_index, sets
from apppau_jax.data.prepare import prepared_folder


@dataclasses.dataclass(frozen=True)
class Examples:
  """n images in memory, in the order of `ids`.

  Attributes:
    ids: n names.
    image: uint8 [n, h, w, 1], grey.
    mask: uint8 [n, h, w, 1] in {0, 1}; zeros where `has_mask` is False.
    label: int32 [n]; -1 where `has_label` is False.
    has_mask: bool [n].
    has_label: bool [n].
  """

  ids: tuple[str, ...]
  image: np.ndarray
  mask: np.ndarray
  label: np.ndarray
  has_mask: np.ndarray
  has_label: np.ndarray


@dataclasses.dataclass(frozen=True)
class Entry:
  """One image without its pixels.

  Attributes:
    id: its name, unique in the catalogue.
    label: position in the catalogue's `class_names`; -1 where unknown.
    has_mask: whether there is a lung mask.
    patient: its name; the id where nothing is known.
    height: of the raw file, in pixels.
    width: likewise.
    sex: "F", "M", "O" or "".
    age: whole years, or "".
    finding: the reading's words, or "".
    source: the prepared set it lies in.
    details: what only that set tells, as JSRT of its nodules.
  """

  id: str
  label: int
  has_mask: bool
  patient: str
  height: int
  width: int
  sex: str
  age: str
  finding: str
  source: str = ""
  details: Mapping[str, int | str] = dataclasses.field(
    default_factory=dict, hash=False
  )


@dataclasses.dataclass(frozen=True)
class Catalogue:
  """A dataset or combination without its pixels; entries sorted by id.

  `class_names` are those it was prepared with; a set without classes has none.
  """

  dataset: str
  resolution: int
  class_names: tuple[str, ...]
  entries: tuple[Entry, ...]


def read_catalogue(
  data_dir: str | os.PathLike[str], *, dataset: str, resolution: int
) -> Catalogue:
  """Reads what a prepared dataset holds; decodes no picture.

  Raises:
    DataError: not prepared or damaged, with the command that mends it.
  """
  names, read = _records(data_dir, dataset=dataset, resolution=resolution)
  entries = [_entry(record, source=member) for member, record in read]
  return Catalogue(
    dataset,
    resolution,
    names,
    tuple(sorted(entries, key=lambda entry: entry.id)),
  )


def content_sha256(
  data_dir: str | os.PathLike[str], *, dataset: str, resolution: int
) -> str:
  """Checksum of the prepared examples, equal wherever they were prepared.

  Returns:
    That of the manifest; for a combination, of its members' names and
    checksums. "unknown" if one is not prepared.
  """
  where = {"data_dir": data_dir, "resolution": resolution}
  sums = {}
  for member in sets.members(dataset):
    folder = prepared_folder(dataset=member, **where)
    sums[member] = (manifest.read(folder) or {}).get("content_sha256")
  if None in sums.values():
    return "unknown"
  if len(sums) == 1:
    return str(*sums.values())
  lines = "".join(f"{member} {value}\n" for member, value in sums.items())
  return hashlib.sha256(lines.encode()).hexdigest()


def load_examples(
  data_dir: str | os.PathLike[str],
  *,
  dataset: str,
  resolution: int,
  ids: Sequence[str],
  masks_of: Iterable[str] | None = None,
  labels_of: Iterable[str] | None = None,
) -> Examples:
  """Loads images, with only those masks and labels that may be seen.

  Args:
    data_dir: where prepared datasets live.
    dataset: its name, or that of a combination.
    resolution: its side in pixels.
    ids: which images, in the order wanted.
    masks_of: the ids whose masks may be read (default: all of `ids`). No
      other mask is decoded: it is absent from memory, not merely unused.
    labels_of: the same for labels.

  Returns:
    The examples, in the order of `ids`.

  Raises:
    DataError: not prepared or damaged, or ids that it does not hold.
  """
  chosen = chosen_records(
    data_dir, dataset=dataset, resolution=resolution, ids=ids
  )
  mask_ids = frozenset(ids if masks_of is None else masks_of)
  label_ids = frozenset(ids if labels_of is None else labels_of)
  return _decode(
    chosen,
    side=resolution,
    masks_of=mask_ids,
    labels_of=label_ids,
  )


def chosen_records(
  data_dir: str | os.PathLike[str],
  *,
  dataset: str,
  resolution: int,
  ids: Sequence[str],
) -> list[dict[str, Any]]:
  """The records of some images, pictures as PNG bytes, in the order of `ids`.

  Raises:
    DataError: see `load_examples`.
  """
  _, read = _records(data_dir, dataset=dataset, resolution=resolution)
  by_id = {record["id"].decode(): record for _, record in read}
  unknown = sorted(set(ids) - by_id.keys())
  if unknown:
    raise errors.DataError(
      f"{len(unknown)} ids are not in the prepared dataset {dataset} in "
      f"{data_dir}: {raw_index.summarise(unknown)} Either the split belongs "
      "to another dataset, or these files were missing when it was prepared."
    )
  return [by_id[i] for i in ids]


def _records(
  data_dir: str | os.PathLike[str], *, dataset: str, resolution: int
) -> tuple[tuple[str, ...], list[tuple[str, dict[str, Any]]]]:
  """The classes, and all records, each with its set, labels made common."""
  opened = {}
  for member in sets.members(dataset):
    folder = prepared_folder(data_dir, dataset=member, resolution=resolution)
    opened[member] = _open(folder, dataset=member, resolution=resolution)
  names = sets.union(own for own, _ in opened.values())
  read: list[tuple[str, dict[str, Any]]] = []
  for member, (own, records) in opened.items():
    common = {i: names.index(name) for i, name in enumerate(own)}
    for record in records:
      label = common.get(int(record["label"]), -1)
      read.append((member, {**record, "label": label}))
  seen: dict[bytes, str] = {}
  for member, record in read:
    other = seen.setdefault(record["id"], member)
    if other != member:
      raise errors.DataError(
        f"The sets {other} and {member} both have an image "
        f"{record['id'].decode()!r}; ids must be unique, so these sets cannot "
        "be combined."
      )
  return names, read


def _open(
  folder: Path, *, dataset: str, resolution: int
) -> tuple[tuple[str, ...], list[dict[str, Any]]]:
  """A set's classes and all its records, pictures undecoded, once verified."""
  manifest.verified(folder, dataset=dataset, resolution=resolution)
  prepared = tfds.builder_from_directory(folder)
  source: Any = builder_lib.encoded(prepared)
  names = tuple(prepared.info.features["label"].names)
  return names, source.__getitems__(range(len(source)))


def _entry(record: Mapping[str, Any], *, source: str) -> Entry:
  told: dict[str, Any] = {
    name: value.decode() if isinstance(value, bytes) else int(value)
    for name, value in record.items()
    if name not in (*builder_lib.PICTURES, "has_mask", "has_structures")
  }
  own = {field.name for field in dataclasses.fields(Entry)}
  details = {name: told.pop(name) for name in told.keys() - own}
  has_mask = bool(record["has_mask"])
  return Entry(has_mask=has_mask, source=source, details=details, **told)


def _decode(
  records: Sequence[dict[str, Any]],
  *,
  side: int,
  masks_of: Collection[str],
  labels_of: Collection[str],
) -> Examples:
  count, shape = len(records), (len(records), side, side, 1)
  ids = tuple(record["id"].decode() for record in records)
  image, mask = np.empty(shape, np.uint8), np.zeros(shape, np.uint8)
  has_mask = np.array(
    [bool(r["has_mask"]) and i in masks_of for i, r in zip(ids, records)], bool
  )
  has_label = np.array(
    [r["label"] >= 0 and i in labels_of for i, r in zip(ids, records)], bool
  )
  label = np.full(count, -1, np.int32)

  def fill(i: int) -> None:
    image[i, ..., 0] = pixels(records[i]["image"])
    if has_mask[i]:
      mask[i, ..., 0] = pixels(records[i]["mask"])
    if has_label[i]:
      label[i] = records[i]["label"]

  with futures.ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
    list(pool.map(fill, range(count)))
  return Examples(ids, image, mask, label, has_mask, has_label)


def pixels(png: bytes) -> np.ndarray:
  """Decodes a picture of a record."""
  return np.asarray(Image.open(io.BytesIO(png), formats=("PNG",)))
