"""Prepared datasets: what they hold, and the images of some ids."""

import dataclasses
import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from apppau_jax import errors
from apppau_jax.datasets import builder as builder_lib
from apppau_jax.datasets import manifest, names, raw_index
from apppau_jax.datasets import structures as structures_lib
from apppau_jax.datasets.examples import Examples, Stored
from apppau_jax.datasets.prepare import prepared_folder
from apppau_jax.datasets.records import Place, Record, Records


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
    structures: names of what is outlined besides the lungs.
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
  structures: tuple[str, ...] = ()
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
  bits: int = 8


def read_catalogue(
  data_dir: str | os.PathLike[str],
  *,
  dataset: str,
  resolution: int,
  bits: int = 8,
) -> Catalogue:
  """Reads what a prepared dataset holds; decodes no picture.

  Raises:
    DataError: not prepared or damaged, with the command that mends it.
  """
  records = Records(data_dir, dataset=dataset, resolution=resolution, bits=bits)
  entries = [_entry(r, source=place.member) for place, r in records.scan()]
  return Catalogue(
    dataset,
    resolution,
    records.class_names,
    tuple(sorted(entries, key=lambda entry: entry.id)),
    bits,
  )


def content_sha256(
  data_dir: str | os.PathLike[str],
  *,
  dataset: str,
  resolution: int,
  bits: int = 8,
) -> str:
  """Checksum of the prepared examples, equal wherever they were prepared.

  Returns:
    That of the manifest; for a combination, of its members' names and
    checksums. "unknown" if one is not prepared.
  """
  where = {"data_dir": data_dir, "resolution": resolution, "bits": bits}
  sums = {}
  for member in names.members(dataset):
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
  bits: int = 8,
  **known: Any,
) -> Examples:
  """`open_examples`, all of them decoded into memory."""
  return open_examples(
    data_dir,
    dataset=dataset,
    resolution=resolution,
    ids=ids,
    bits=bits,
    **known,
  ).load()


def open_examples(
  data_dir: str | os.PathLike[str],
  *,
  dataset: str,
  resolution: int,
  ids: Sequence[str],
  bits: int = 8,
  masks_of: Iterable[str] | None = None,
  labels_of: Iterable[str] | None = None,
  structures: Sequence[str] = (),
) -> Stored:
  """Finds images, with only those masks and labels that may be seen.

  Args:
    data_dir: where prepared datasets live.
    dataset: its name, or that of a combination.
    resolution: its side in pixels.
    ids: which images, in the order wanted.
    bits: of a grey level, as it was prepared.
    masks_of: the ids whose masks may be read (default: all of `ids`). No
      other mask is ever decoded: it is absent from memory, not merely unused.
    labels_of: the same for labels.
    structures: names of masks kept apart, in this order; () for the united
      lungs. An image that lacks one of them has no mask.

  Returns:
    The examples, in the order of `ids`.

  Raises:
    DataError: not prepared or damaged, or ids that it does not hold.
    ConfigError: structures that the set does not outline.
  """
  if structures:
    structures_lib.check(structures, dataset=dataset)
  records = Records(data_dir, dataset=dataset, resolution=resolution, bits=bits)
  row_of = {name: row for row, name in enumerate(ids)}
  places: list[Place | None] = [None] * len(ids)
  label = np.full(len(ids), -1, np.int32)
  has_mask = np.zeros(len(ids), bool)
  may_see = frozenset(ids if masks_of is None else masks_of)
  may_name = frozenset(ids if labels_of is None else labels_of)
  for place, record in records.scan():
    name = record["id"]
    row = row_of.get(name)
    if row is None:
      continue
    places[row] = place
    outlined = structures_lib.outlined(record, member=place.member)
    there = set(structures) <= {*outlined} and bool(record["has_mask"])
    has_mask[row] = there and name in may_see
    if name in may_name:
      label[row] = record["label"]
  _check_found(ids, places, what=f"{dataset} in {data_dir}")
  return Stored(
    ids=tuple(ids),
    label=label,
    has_mask=has_mask,
    has_label=label >= 0,
    records=records,
    places=tuple(place for place in places if place),
    side=resolution,
    bits=bits,
    structures=tuple(structures),
  )


def _check_found(
  ids: Sequence[str], places: Sequence[Place | None], *, what: str
) -> None:
  unknown = sorted(name for name, place in zip(ids, places) if place is None)
  if unknown:
    raise errors.DataError(
      f"{len(unknown)} ids are not in the prepared dataset {what}: "
      f"{raw_index.summarise(unknown)} Either the split belongs to another "
      "dataset, or these files were missing when it was prepared."
    )


def _entry(record: Record, *, source: str) -> Entry:
  told: dict[str, Any] = {
    name: value if isinstance(value, str) else int(value)
    for name, value in record.items()
    if name not in (*builder_lib.PICTURES, "has_mask", "has_structures")
  }
  own = {field.name for field in dataclasses.fields(Entry)}
  details = {name: told.pop(name) for name in told.keys() - own}
  return Entry(
    has_mask=bool(record["has_mask"]),
    source=source,
    details=details,
    structures=structures_lib.outlined(record, member=source),
    **told,
  )
