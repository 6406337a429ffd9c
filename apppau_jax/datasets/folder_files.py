"""Which files of a user's folder are images, and which are masks."""

import collections
import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath

from apppau_jax.datasets import folder_masks, mask_sides
from apppau_jax.datasets.folder_masks import File
from apppau_jax.datasets.folder_names import Names, composed
from apppau_jax.datasets.raw_source import RawSource, summarise
from apppau_jax.errors import DataError
from apppau_jax.imaging import decode, file_kinds

IMAGES, MASKS = "images", "masks"
_SIDES = "left and right"  # stands for the folders left/ and right/
# Names of folders; of several, the first one is read.
FOLDERS = {
  IMAGES: (IMAGES, "image", "imgs", "img"),
  MASKS: (
    *(MASKS, "mask", "lung_masks", "lung_mask", "lungmasks", "lungmask"),
    *("segmentations", "segmentation", "seg", "labels", "label"),
    *("annotations", "gt", "ground_truth", _SIDES),
  ),
}
_ROLES = {name: role for role, names in FOLDERS.items() for name in names}
_TABLES = (".csv", ".tsv", ".xlsx", ".xls", ".ods")


@dataclasses.dataclass(frozen=True)
class Files:
  """What a folder holds.

  Attributes:
    images: keys by id.
    masks: keys by the id of their image; of a mask that is absent, its name.
    strays: keys of masks that fit no image, by name.
    names: finds ids by other names.
    notes: (file or folder, remark) on what is not read.
  """

  images: Mapping[str, str]
  masks: Mapping[str, tuple[str, ...]]
  strays: Mapping[str, str]
  names: Names
  notes: tuple[tuple[str, str], ...]


def find_files(source: RawSource, *, table: str) -> Files:
  """Finds the images and masks of a source, and what is neither.

  Args:
    source: all files.
    table: the name of the table, which is none of them.

  Raises:
    DataError: several folders for images or for masks, names that are not
      Unicode, two files for one image, or masks of which none fits an image.
  """
  folders, loose = _folders(source, table=table)
  notes: list[tuple[str, str]] = []
  files = {}
  for role in (IMAGES, MASKS):
    found = {
      base: [file for file in some if _is_image(source, file)]
      for base, some in folders[role].items()
    }
    base = _chosen(source, role, [b for b, some in found.items() if some])
    files[role] = found.get(base, [])
    notes += _notes_on(source, base, files=files[role], folders=folders[role])
  _refuse_odd_names(source, [*files[IMAGES], *files[MASKS]])
  images, names = _identified(source, files[IMAGES])
  masks, strays = folder_masks.matched(source, files[MASKS], names=names)
  if strays and not masks and images:
    raise DataError(
      f"None of the {len(strays)} masks of {source.root} fits an image: the "
      f"masks are called {_some(strays)} and the images {_some(images)}. Call "
      "a mask as its image, such as NAME.png or NAME_mask.png."
    )
  if joined := sum(len(keys) > 1 for keys in masks.values()):
    what = f"those of the left and of the right lung are joined, of {joined}"
    notes.append((MASKS, f"{what} images"))
  return Files(images, masks, strays, names, (*notes, *_notes_on_loose(loose)))


def _folders(
  source: RawSource, *, table: str
) -> tuple[dict[str, dict[str, list[File]]], list[str]]:
  """Returns the files of each role by their folder, and paths of the others."""
  folders: dict[str, dict[str, list[File]]] = {IMAGES: {}, MASKS: {}}
  loose = []
  for key in source.all_keys():
    *parts, name = _parts(key)
    if name.lower() == table:
      continue
    lower = [part.lower() for part in parts]
    places = [i for i, part in enumerate(lower) if part in _ROLES]
    sides = [i for i, part in enumerate(lower) if mask_sides.of_folder(part)]
    if sides and not places:
      file = File(key, name, tuple(parts[sides[0] :]))
      base = "/".join((*parts[: sides[0]], _SIDES))
      folders[MASKS].setdefault(base, []).append(file)
      continue
    if not places:
      loose.append("/".join((*parts, name)))
      continue
    last = first = places[-1]
    while first and lower[first - 1] == lower[last]:  # such as mask/mask/
      first -= 1
    file = File(key, name, tuple(parts[last + 1 :]))
    base = "/".join(parts[: first + 1])
    folders[_ROLES[lower[last]]].setdefault(base, []).append(file)
  return folders, loose


def _parts(key: str) -> tuple[str, ...]:
  """Returns the folders and the name of a file; a zip counts as a folder."""
  archive, path = key.split("::", 1)
  zipped = [PurePosixPath(archive).stem] if archive else []
  return (*zipped, *path.split("/"))


def _is_image(source: RawSource, file: File) -> bool:
  """Whether a file is an image by its suffix, else by its content."""
  if file.name.lower().endswith(decode.SUFFIXES):
    return True  # a damaged one is refused where it is read
  return file_kinds.is_image(
    file.name, source.head(file.key, size=file_kinds.HEAD)
  )


def _chosen(source: RawSource, role: str, bases: Sequence[str]) -> str:
  """Returns the one folder to read for a role; "" if there is none."""
  by_name = collections.defaultdict(list)
  for base in sorted(bases):
    by_name[PurePosixPath(base).name.lower()].append(base)
  for name in FOLDERS[role]:
    if len(same := by_name[name]) > 1:
      raise DataError(
        f"{source.root} has {len(same)} folders called {name}/: "
        f"{summarise(same)} Which of them belongs to the set is ambiguous. "
        "Move the others away, give --raw_dir the one folder that holds it, or "
        "put the files of all of them into one."
      )
    if same:
      return same[0]
  return ""


def _notes_on(
  source: RawSource,
  base: str,
  *,
  files: Sequence[File],
  folders: Mapping[str, Sequence[File]],
) -> list[tuple[str, str]]:
  """Remarks on subfolders, on files that are no images, on other folders."""
  notes = [
    (f"{other}/", f"is not read ({len(some)} files), since {base}/ is")
    if base
    else (f"{other}/", f"holds no image ({len(some)} files)")
    for other, some in sorted(folders.items())
    if other != base
  ]
  below = {file.below for file in files} - {()}
  if below and PurePosixPath(base).name != _SIDES:
    paths = summarise(("/".join(b) for b in sorted(below)), limit=3)
    notes.append((f"{base}/", f"subfolders are read too: {paths}"))
  kept = {file.key for file in files}
  passed = [f for f in folders.get(base, ()) if f.key not in kept]
  if passed:
    names = summarise(sorted(source.describe(f.key) for f in passed))
    what = f"{len(passed)} files are passed over, which are no images"
    notes.append((f"{base}/", f"{what}: {names}"))
  return notes


def _notes_on_loose(paths: Sequence[str]) -> list[tuple[str, str]]:
  """Remarks on files outside the folders, and on tables of other names."""
  notes = []
  counts = collections.Counter(
    path.split("/")[0] + "/" * ("/" in path) for path in paths
  )
  for name, count in sorted(counts.items()):
    if name.lower().endswith(_TABLES):
      notes.append((name, "is not read, since the table must be labels.csv: "
        "its classes, patients and split are not used, and images of one "
        "patient may come into training and test"))  # fmt: skip
    elif name.endswith("/"):
      notes.append((name, f"is not read ({count} files)"))
    else:
      notes.append((name, "is not read"))
  return notes


def _refuse_odd_names(source: RawSource, files: Iterable[File]) -> None:
  """Refuses names of bytes that are not Unicode, as Linux allows them."""
  odd = [
    source.describe(file.key)
    for file in files
    if any("\ud800" <= letter <= "\udfff" for letter in file.path)
  ]
  if odd:
    raise DataError(
      f"{source.root} must hold only images whose names are Unicode, since "
      f"they are ids. Rename: {summarise(odd)}"
    )


def _identified(
  source: RawSource, files: Sequence[File]
) -> tuple[dict[str, str], Names]:
  """Returns keys by id, and the names by which each may be meant.

  The id is the name without suffix. Where files of several subfolders have the
  same name, the names of the subfolders precede it.
  """
  same = collections.defaultdict(list)
  for file in files:
    same[composed(file_kinds.name_of(file.name))].append(file)
  found = collections.defaultdict(list)
  for name, some in same.items():
    nested = len(some) > 1 and all(file.below for file in some)
    for file in some:
      example_id = "_".join((*file.below, name)) if nested else name
      found[composed(example_id)].append(file)
  folder_masks.refuse_twice(source, found.values())
  also = {composed(some[0].path): i for i, some in found.items()}
  return {i: some[0].key for i, some in found.items()}, Names(found, also=also)


def _some(names: Iterable[str]) -> str:
  return summarise(sorted(names), limit=3).rstrip(".")
