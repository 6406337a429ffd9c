"""Find the raw files of a data set, and list those that are missing."""

import collections
import dataclasses
import hashlib
import itertools
import os
from collections.abc import Sequence
from concurrent import futures
from pathlib import PurePosixPath

from apppau_jax import errors
from apppau_jax.datasets.raw_source import RawSource, summarise
from apppau_jax.datasets.spec import Annotation, DatasetSpec, File, MaskFiles
from apppau_jax.imaging import decode, file_kinds

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
  annotation: Annotation | None = None

  @property
  def has_mask(self) -> bool:
    """Whether it has a mask, as pictures or as an annotation."""
    return bool(self.masks or self.annotation)

  @property
  def files(self) -> tuple[str, ...]:
    """The keys of all its files."""
    reading = (self.reading,) if self.reading else ()
    return (self.image, *self.masks, *reading, *self.structures)


@dataclasses.dataclass(frozen=True)
class RawIndex:
  """The files of a data set in a source.

  Attributes:
    examples: the images, sorted by id.
    missing: files that belong to the complete set, as `folder/name`.
    unlabelled: ids that are published without a mask.
    notes: (id, remark) on files that are not as published.
    tables: the keys of tables, and of files that hold annotations.
  """

  examples: tuple[RawExample, ...] = ()
  missing: tuple[str, ...] = ()
  unlabelled: tuple[str, ...] = ()
  notes: tuple[tuple[str, str], ...] = ()
  tables: tuple[str, ...] = ()


def index(source: RawSource, spec: DatasetSpec) -> RawIndex:
  """Looks up every file of the set without reading it."""
  images = _find_images(source, spec)
  expected = sorted(images if spec.ids is None else spec.ids)
  missing = [_path(*spec.images(i)[0]) for i in expected if i not in images]
  notes = [*spec.notes]
  notes += [
    (i, "not one of the published ids: left out")
    for i in sorted(images.keys() - set(expected))
  ]
  examples = []
  for example_id in expected:
    if example_id not in images:
      continue
    masks, absent = _find_masks(source, spec.masks(example_id))
    if example_id not in spec.without_mask:
      missing += absent
    elif masks:
      masks = ()
      notes.append((example_id, _UNEXPECTED))
    outlines = tuple(
      spec.structure_file(s, example_id) for s in spec.structures
    )
    examples.append(
      RawExample(
        id=example_id,
        label=spec.label(example_id),
        image=images[example_id],
        masks=masks,
        reading=source.find(f"{example_id}.txt", "ClinicalReadings")
        if spec.parse
        else None,
        patient=spec.patients.get(example_id, example_id),
        structures=_find_masks(source, (outlines,))[0],
        annotation=spec.annotations.get(example_id),
      )
    )
  missing += _shortfall(examples, spec)
  names = (*(name for name, _ in spec.tables), *spec.annotated_in)
  tables = [source.find(name) for name in names]
  return RawIndex(
    examples=tuple(examples),
    missing=tuple(missing),
    unlabelled=tuple(e.id for e in examples if e.id in spec.without_mask),
    notes=tuple(notes),
    tables=tuple(key for key in tables if key is not None),
  )


def _shortfall(examples: Sequence[RawExample], spec: DatasetSpec) -> list[str]:
  """Returns what is missing of a set whose ids are not published."""
  found = collections.Counter(
    spec.class_names[e.label] for e in examples if e.label >= 0
  )
  found[""] = len(examples)
  return [
    f"images {f'of {name} ' * bool(name)}({found[name]:,} of {count:,} found)"
    for name, count in spec.counts.items()
    if found[name] < count
  ]


def joined(*found: RawIndex) -> RawIndex:
  """Concatenates the indexes of several sets."""
  fields = [field.name for field in dataclasses.fields(RawIndex)]
  return RawIndex(
    **{
      name: tuple(itertools.chain(*(getattr(one, name) for one in found)))
      for name in fields
    }
  )


def index_complete(
  source: RawSource, spec: DatasetSpec, *, allow_missing: bool
) -> RawIndex:
  """Indexes a source and refuses an empty or (unless allowed) partial one.

  Raises:
    DataError: no image at all, or missing files (see `refuse_missing`).
  """
  found = index(source, spec)
  if not found.examples:
    raise errors.DataError(
      f"No image of this dataset was found in {source.root}: expected "
      f"{spec.where}, in a folder or a zip. {_elsewhere(source, spec)}"
    )
  if not allow_missing:
    refuse_missing(found, where=str(source.root))
  return found


def _elsewhere(source: RawSource, spec: DatasetSpec) -> str:
  """Says where images of such names lie, and what their folder must be called.

  Where names say nothing, as in a user's folder, any image counts.
  """
  found = collections.Counter()
  wanted: dict[str, None] = {}
  for key in source.all_keys():
    path = PurePosixPath(source.describe(key))
    stem = file_kinds.name_of(path.name)
    known = path.name.lower().endswith(decode.SUFFIXES)
    if spec.stem is None and not known:
      known = file_kinds.is_image(
        path.name, source.head(key, size=file_kinds.HEAD)
      )
    if known and (spec.stem is None or spec.stem.fullmatch(stem)):
      found[str(path.parent)] += 1
      wanted |= {folder: None for folder, _ in spec.images(stem) if folder}
  if not found:
    return "Check --raw_dir."
  places = summarise(
    (f"{place}/ ({count})" for place, count in found.most_common()), limit=3
  )
  return (
    f"Images of the set were found in {places} Their folder must be called "
    f"{' or '.join(wanted)}: rename it, or move them into one of that name."
  )


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
  notes = [f"{where} {note}" for where, note in found.notes]
  remarks = f" Remarks: {summarise(notes, limit=3)}" if notes else ""
  raise errors.DataError(
    f"{len(found.missing)} files that belong to the set are missing in "
    f"{where}{complete}: {summarise(found.missing)} Complete the folder, or "
    "pass --allow_missing to continue without them (an image without its "
    f"whole mask then counts as unlabelled).{remarks}"
  )


def fingerprint(source: RawSource, found: RawIndex) -> str:
  """Returns a SHA-256 of ids, file names and checksums of the contents.

  A folder and its zip have the same fingerprint. Sizes would not suffice:
  headerless images all have the same size.
  """
  keys = [*found.tables, *itertools.chain(*(e.files for e in found.examples))]
  with futures.ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
    checksum = dict(zip(keys, pool.map(source.crc32, keys)))
  digest = hashlib.sha256()
  for key in found.tables:
    name = key.rpartition("::")[2].rpartition("/")[2]
    digest.update(f"{name} {checksum[key]:08x}\n".encode())
  for example in found.examples:
    files = (f"{_name(key)} {checksum[key]:08x}" for key in example.files)
    digest.update("\t".join([example.id, *files]).encode() + b"\n")
  return digest.hexdigest()


def _find_images(source: RawSource, spec: DatasetSpec) -> dict[str, str]:
  """Returns the keys of all images whose names the spec matches, by id."""
  stems = set(spec.ids or ())
  if spec.stem:
    names = {PurePosixPath(name).stem for name in source.names()}
    stems |= set(filter(spec.stem.fullmatch, names))
  found = {}
  for stem in stems:
    keys = (_find(source, file) for file in spec.images(stem))
    if key := next((key for key in keys if key is not None), None):
      found[stem] = key
  return found


def _find_masks(
  source: RawSource, alternatives: Sequence[MaskFiles]
) -> tuple[tuple[str, ...], list[str]]:
  """Returns the first complete alternative, else what the first one lacks.

  A mask of one lung alone does not count: it would teach the network that the
  other lung is background.
  """
  lacks: list[list[str]] = []
  for files in alternatives:
    keys = [_find(source, file) for file in files]
    found = tuple(key for key in keys if key is not None)
    if len(found) == len(files):
      return found, []
    lacks.append([_path(*f) for f, key in zip(files, keys) if key is None])
  return (), lacks[0]


def _find(source: RawSource, file: File) -> str | None:
  folder, name = file
  return source.find(name, *([folder] if folder else []))


def _path(folder: str, name: str) -> str:
  return f"{folder}/{name}" if folder else name


def _name(key: str) -> str:
  return "/".join(key.split("::", 1)[1].split("/")[-2:])
