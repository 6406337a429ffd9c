"""What a raw source holds of a layout, and what it lacks."""

import dataclasses
import hashlib
import itertools
import os
from collections.abc import Iterable
from concurrent import futures
from pathlib import PurePosixPath

from apppau_jax import errors
from apppau_jax.datasets import raw_source as source_lib
from apppau_jax.datasets.layout import Layout, MaskFiles

_UNEXPECTED = (
  "its mask is left out: the set is published without one, and no public "
  "split has a place for it"
)


@dataclasses.dataclass(frozen=True)
class RawExample:
  """The files of one image, as keys of a `RawSource`."""

  id: str
  label: int
  image: str
  masks: tuple[str, ...]
  reading: str | None
  patient: str
  structures: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class RawIndex:
  """What a source holds of a layout, and what it lacks.

  Attributes:
    examples: sorted by id.
    missing: the files that the complete set has, as `folder/name`.
    unlabelled: ids that are published without a mask.
    notes: (id, remark) on files that are not as published.
    tables: the keys of those of `Layout.tables` that are there.
  """

  examples: tuple[RawExample, ...]
  missing: tuple[str, ...]
  unlabelled: tuple[str, ...]
  notes: tuple[tuple[str, str], ...]
  tables: tuple[str, ...] = ()


def index(source: source_lib.RawSource, layout: Layout) -> RawIndex:
  """Looks up every file of the set; reads none."""
  images = _find_images(source, layout)
  expected = sorted(images if layout.expected is None else layout.expected)
  missing = [_path(*layout.images(i)[0]) for i in expected if i not in images]
  notes = [*layout.notes]
  notes += [
    (i, "not one of the published ids: left out")
    for i in sorted(images.keys() - set(expected))
  ]
  examples = []
  for example_id in expected:
    if example_id not in images:
      continue
    masks, absent = _find_masks(source, layout.masks(example_id))
    if example_id not in layout.without_mask:
      missing += absent
    elif masks:
      masks = ()
      notes.append((example_id, _UNEXPECTED))
    raw = _example(source, example_id, layout=layout)
    examples.append(
      dataclasses.replace(raw, image=images[example_id], masks=masks)
    )
  unlabelled = [e.id for e in examples if e.id in layout.without_mask]
  tables = [source.find(name) for name, _ in layout.tables]
  return RawIndex(
    examples=tuple(examples),
    missing=tuple(missing),
    unlabelled=tuple(unlabelled),
    notes=tuple(notes),
    tables=tuple(key for key in tables if key is not None),
  )


def find_all(
  source: source_lib.RawSource, layout: Layout, *, allow_missing: bool
) -> RawIndex:
  """Indexes a source and refuses an empty or (unless allowed) partial one.

  Raises:
    DataError: no image at all, or missing files (see `refuse_missing`).
  """
  found = index(source, layout)
  if not found.examples:
    raise errors.DataError(
      f"No image of this dataset was found in {source.root}: expected "
      f"{layout.where}, in a folder or a zip. Check --raw_dir."
    )
  if not allow_missing:
    refuse_missing(found, where=str(source.root))
  return found


def refuse_missing(found: RawIndex, *, where: str, listing: str = "") -> None:
  """Raises a DataError with the first twenty missing files, if there are any.

  Args:
    found: the index of a source.
    where: the source, for the message.
    listing: the file that holds the complete list, if one was written.
  """
  if not found.missing:
    return
  complete = f" (complete list: {listing})" if listing else ""
  raise errors.DataError(
    f"{len(found.missing)} files that belong to the set are missing in "
    f"{where}{complete}: {summarise(found.missing)} Complete the folder, or "
    "pass --allow_missing to go on with what is there (an image without its "
    "whole mask then counts as unlabelled)."
  )


def _find_images(
  source: source_lib.RawSource, layout: Layout
) -> dict[str, str]:
  """The keys of all images whose names the layout knows, by id."""
  stems = set(layout.expected or ())
  if layout.stem:
    names = {PurePosixPath(name).stem for name in source.names()}
    stems |= set(filter(layout.stem.fullmatch, names))
  found = {}
  for stem in stems:
    keys = (_find(source, *file) for file in layout.images(stem))
    key = next((key for key in keys if key is not None), None)
    if key is not None:
      found[stem] = key
  return found


def _find(source: source_lib.RawSource, folder: str, name: str) -> str | None:
  return source.find(name, *([folder] if folder else []))


def _path(folder: str, name: str) -> str:
  return f"{folder}/{name}" if folder else name


def _example(
  source: source_lib.RawSource, example_id: str, *, layout: Layout
) -> RawExample:
  """All about an image but its pictures."""
  reading = None
  if layout.parse:
    reading = source.find(f"{example_id}.txt", "ClinicalReadings")
  group = next((g[0] for g in layout.groups if example_id in g), example_id)
  outlines = tuple(
    layout.structure_file(s, example_id) for s in layout.structures
  )
  return RawExample(
    id=example_id,
    label=layout.label(example_id),
    image="",
    masks=(),
    reading=reading,
    patient=layout.patients.get(example_id) or group,
    structures=_find_masks(source, (outlines,))[0],
  )


def _find_masks(
  source: source_lib.RawSource, alternatives: tuple[MaskFiles, ...]
) -> tuple[tuple[str, ...], list[str]]:
  """The first complete alternative; else none and what the first one lacks.

  Half a mask (one lung of two) is no mask: it would teach the network that
  the other lung is background.
  """
  lacks: list[list[str]] = []
  for files in alternatives:
    keys = [_find(source, *file) for file in files]
    found = tuple(key for key in keys if key is not None)
    if len(found) == len(files):
      return found, []
    lacks.append([_path(*f) for f, key in zip(files, keys) if key is None])
  return (), lacks[0]


def fingerprint(source: source_lib.RawSource, found: RawIndex) -> str:
  """SHA-256 of the ids, and of names and checksums of all their files.

  A folder and its zip have the same fingerprint. Sizes would not do: raw
  images without a header all have the same. Reads every file, in threads.
  """
  files = {e.id: _files(e) for e in found.examples}
  keys = [*found.tables, *itertools.chain(*files.values())]
  with futures.ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
    state = dict(zip(keys, pool.map(source.crc32, keys)))
  digest = hashlib.sha256()
  for key in found.tables:
    name = key.rpartition("::")[2].rpartition("/")[2]
    digest.update(f"{name} {state[key]:08x}\n".encode())
  for example_id, own in files.items():
    line = [example_id, *(f"{_name(key)} {state[key]:08x}" for key in own)]
    digest.update("\t".join(line).encode() + b"\n")
  return digest.hexdigest()


def _files(e: RawExample) -> tuple[str, ...]:
  reading = (e.reading,) if e.reading else ()
  return (e.image, *e.masks, *reading, *e.structures)


def _name(key: str) -> str:
  return "/".join(key.split("::", 1)[1].split("/")[-2:])


def summarise(lines: Iterable[str], *, limit: int = 20) -> str:
  """The first `limit` lines and how many more there are."""
  lines = list(lines)
  more = f"; and {len(lines) - limit} more." if len(lines) > limit else ""
  return "; ".join(line.rstrip(".") for line in lines[:limit]) + (more or ".")
