"""Prepared datasets to arrays in memory: the only reader of the shards."""

import dataclasses
import io
import os
from collections.abc import Collection, Iterable, Sequence
from concurrent import futures
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from apppau_jax import errors
from apppau_jax.data import builder as builder_lib
from apppau_jax.data import layout, manifest
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
  """One image without its pixels; height and width are the raw file's."""

  id: str
  label: int
  has_mask: bool
  patient: str
  height: int
  width: int
  sex: str
  age: str
  finding: str


@dataclasses.dataclass(frozen=True)
class Catalogue:
  """A prepared dataset without its pixels; entries sorted by id."""

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
  folder = prepared_folder(data_dir, dataset=dataset, resolution=resolution)
  records = _open(folder, dataset=dataset, resolution=resolution)
  entries = sorted(map(_entry, records), key=lambda entry: entry.id)
  return Catalogue(dataset, resolution, layout.CLASS_NAMES, tuple(entries))


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
    dataset: its name.
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
  folder = prepared_folder(data_dir, dataset=dataset, resolution=resolution)
  by_id = {
    record["id"].decode(): record
    for record in _open(folder, dataset=dataset, resolution=resolution)
  }
  unknown = sorted(set(ids) - by_id.keys())
  if unknown:
    raise errors.DataError(
      f"{len(unknown)} ids are not in the prepared dataset {dataset} in "
      f"{folder}: {layout.summarise(unknown)} Either the split belongs "
      "to another dataset, or these files were missing when it was prepared."
    )
  mask_ids = frozenset(ids if masks_of is None else masks_of)
  label_ids = frozenset(ids if labels_of is None else labels_of)
  return _decode(
    [by_id[i] for i in ids],
    side=resolution,
    masks_of=mask_ids,
    labels_of=label_ids,
  )


def _open(
  folder: Path, *, dataset: str, resolution: int
) -> list[dict[str, Any]]:
  """All records with undecoded pictures, after verifying the checksums."""
  manifest.verified(folder, dataset=dataset, resolution=resolution)
  skip = tfds.decode.SkipDecoding()
  source: Any = tfds.builder_from_directory(folder).as_data_source(
    split=builder_lib.SPLIT, decoders={"image": skip, "mask": skip}
  )
  return list(source.__getitems__(range(len(source))))


def _entry(record: dict[str, Any]) -> Entry:
  return Entry(
    label=int(record["label"]),
    has_mask=bool(record["has_mask"]),
    height=int(record["height"]),
    width=int(record["width"]),
    **{
      name: record[name].decode()
      for name in ("id", "patient", "sex", "age", "finding")
    },
  )


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
  has_label = np.array([i in labels_of for i in ids], bool)
  label = np.full(count, -1, np.int32)

  def fill(i: int) -> None:
    image[i, ..., 0] = _pixels(records[i]["image"])
    if has_mask[i]:
      mask[i, ..., 0] = _pixels(records[i]["mask"])
    if has_label[i]:
      label[i] = records[i]["label"]

  with futures.ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
    list(pool.map(fill, range(count)))
  return Examples(ids, image, mask, label, has_mask, has_label)


def _pixels(png: bytes) -> np.ndarray:
  return np.asarray(Image.open(io.BytesIO(png), formats=("PNG",)))
