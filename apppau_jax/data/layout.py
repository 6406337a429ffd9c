"""How one owner lays out images, masks and readings, and what must be there."""

import csv
import dataclasses
import hashlib
import io
import re
from collections.abc import Callable, Iterable

from apppau_jax import errors
from apppau_jax.data import source as source_lib

CLASS_NAMES = ("normal", "tb")
METADATA = "metadata.csv"

# One mask may be several files (left and right lung), each a (folder, name);
# the folder "" is any folder.
MaskFiles = tuple[tuple[str, str], ...]


@dataclasses.dataclass(frozen=True)
class Reading:
  """What a clinical reading says; "" where it says nothing."""

  sex: str = ""
  age: str = ""
  finding: str = ""


@dataclasses.dataclass(frozen=True)
class Layout:
  """One dataset as its owner publishes it.

  Attributes:
    stem: what the stems of its images look like.
    expected: the ids of the complete set; None: whatever is there.
    masks: the alternatives for an id's mask, each a tuple of files.
    parse: the reading from a clinical text.
    without_mask: ids that are published without a mask.
    groups: ids of one patient, where there are several.
    where: a sentence for messages: where the images lie.
  """

  stem: re.Pattern[str]
  expected: tuple[str, ...] | None
  masks: Callable[[str], tuple[MaskFiles, ...]]
  parse: Callable[[str], Reading]
  without_mask: frozenset[str] = frozenset()
  groups: tuple[tuple[str, ...], ...] = ()
  where: str = "CXR_png/*.png"


@dataclasses.dataclass(frozen=True)
class RawExample:
  """The files of one image, as keys of a `RawSource`."""

  id: str
  label: int
  image: str
  masks: tuple[str, ...]
  reading: str | None
  patient: str


@dataclasses.dataclass(frozen=True)
class RawIndex:
  """What a source holds of a layout, and what it lacks.

  Attributes:
    examples: sorted by id.
    missing: the files that the complete set has, as `folder/name`.
    unlabelled: ids that are published without a mask.
    notes: (id, remark) on files that are not as published.
  """

  examples: tuple[RawExample, ...]
  missing: tuple[str, ...]
  unlabelled: tuple[str, ...]
  notes: tuple[tuple[str, str], ...]


def index(source: source_lib.RawSource, layout: Layout) -> RawIndex:
  """Looks up every file of the set; reads none."""
  present = {
    name[: -len(".png")]
    for name in source.names()
    if layout.stem.fullmatch(name[: -len(".png")])
    and name.endswith(".png")
    and source.find(name, "CXR_png")
  }
  expected = sorted(present if layout.expected is None else layout.expected)
  missing = [f"CXR_png/{i}.png" for i in expected if i not in present]
  notes = [
    (i, "not one of the published ids: left out")
    for i in sorted(present - set(expected))
  ]
  examples = []
  for example_id in expected:
    if example_id not in present:
      continue
    masks, absent = _find_masks(source, layout.masks(example_id))
    if example_id not in layout.without_mask:
      missing += absent
    elif masks:
      notes.append((example_id, "has a mask, though published without one"))
    examples.append(_example(source, example_id, masks=masks, layout=layout))
  unlabelled = [
    e.id for e in examples if e.id in layout.without_mask and not e.masks
  ]
  return RawIndex(
    tuple(examples), tuple(missing), tuple(unlabelled), tuple(notes)
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
    f"{len(found.missing)} files of the published set are missing in "
    f"{where}{complete}: {summarise(found.missing)} Complete the folder, or "
    "pass --allow_missing to go on with what is there (an image without its "
    "whole mask then counts as unlabelled)."
  )


def _example(
  source: source_lib.RawSource,
  example_id: str,
  *,
  masks: tuple[str, ...],
  layout: Layout,
) -> RawExample:
  image = source.find(f"{example_id}.png", "CXR_png")
  assert image is not None  # the caller has looked
  patient = next((g[0] for g in layout.groups if example_id in g), example_id)
  return RawExample(
    id=example_id,
    label=int(example_id.rsplit("_", 1)[1]),
    image=image,
    masks=masks,
    reading=source.find(f"{example_id}.txt", "ClinicalReadings"),
    patient=patient,
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
    keys = [source.find(n, *([d] if d else [])) for d, n in files]
    found = tuple(key for key in keys if key is not None)
    if len(found) == len(files):
      return found, []
    absent = [f for f, key in zip(files, keys) if key is None]
    lacks.append([f"{d}/{n}" if d else n for d, n in absent])
  return (), lacks[0]


def fingerprint(source: source_lib.RawSource, found: RawIndex) -> str:
  """SHA-256 of the ids, file names and sizes that an index refers to.

  A folder and its zip have the same fingerprint.
  """
  digest = hashlib.sha256()
  if metadata := source.find(METADATA):
    digest.update(f"{METADATA} {source.size(metadata)}\n".encode())
  for e in found.examples:
    keys = (e.image, *e.masks, *([e.reading] if e.reading else []))
    line = [e.id, *(f"{_name(key)} {source.size(key)}" for key in keys)]
    digest.update("\t".join(line).encode() + b"\n")
  return digest.hexdigest()


def read_metadata(source: source_lib.RawSource) -> dict[str, Reading]:
  """Readings from a metadata.csv (columns id, sex, age, finding), if any.

  They stand in for clinical readings that are missing.
  """
  key = source.find(METADATA)
  if key is None:
    return {}
  text = source.read(key).decode("utf-8-sig", errors="replace")
  return {
    row["id"]: Reading(
      sex=(row.get("sex") or "").strip()[:1].upper(),
      age=(row.get("age") or "").strip(),
      finding=" ".join((row.get("finding") or "").split()),
    )
    for row in csv.DictReader(io.StringIO(text))
    if row.get("id")
  }


def _name(key: str) -> str:
  return "/".join(key.split("::", 1)[1].split("/")[-2:])


def summarise(lines: Iterable[str], *, limit: int = 20) -> str:
  """The first `limit` lines and how many more there are."""
  lines = list(lines)
  more = f"; and {len(lines) - limit} more." if len(lines) > limit else ""
  return "; ".join(line.rstrip(".") for line in lines[:limit]) + (more or ".")
