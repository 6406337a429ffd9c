"""Which masks of a user's folder belong to which image."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from apppau_jax.datasets import mask_sides
from apppau_jax.datasets.folder_names import Names, composed, without_affixes
from apppau_jax.datasets.raw_source import RawSource, summarise
from apppau_jax.errors import DataError
from apppau_jax.imaging import file_kinds


class File(NamedTuple):
  """A file in a folder for images or masks; `below` are its subfolders."""

  key: str
  name: str
  below: tuple[str, ...]

  @property
  def path(self) -> str:
    """The file below its folder, without the suffix."""
    return "/".join((*self.below, file_kinds.name_of(self.name)))


def matched(
  source: RawSource, files: Sequence[File], *, names: Names
) -> tuple[dict[str, tuple[str, ...]], dict[str, str]]:
  """Returns the keys of masks by the id of their image, and of the others.

  Masks of the left and of the right lung have a key each. The key of one that
  is absent is no file, so that it counts as missing: a mask of one lung alone
  would say that the other one is background.

  Raises:
    DataError: a mask fits several images, or several masks fit one.
  """
  found: dict[str, dict[str, list[File]]] = {}  # by id and side
  strays: dict[str, dict[str, list[File]]] = {}
  unclear = []
  for file in files:
    ids, side, name = _meant(file, names=names)
    if len(ids) > 1:
      unclear.append(f"{source.describe(file.key)} ({' or '.join(ids)})")
      continue
    own = found.setdefault(ids[0], {}) if ids else strays.setdefault(name, {})
    own.setdefault(side, []).append(file)
  if unclear:
    raise DataError(
      f"{len(unclear)} masks of {source.root} fit several images: "
      f"{summarise(unclear)} Call a mask exactly as its image."
    )
  for own in (*found.values(), *strays.values()):
    if "" in own and len(own) > 1:  # one lung, and a mask of both
      own[""] = [*itertools.chain(*own.values())]
  refuse_twice(
    source,
    itertools.chain(*(o.values() for o in (*found.values(), *strays.values()))),
  )
  return (
    {i: _keys(i, own) for i, own in found.items()},
    {name: next(iter(own.values()))[0].key for name, own in strays.items()},
  )


def _meant(file: File, *, names: Names) -> tuple[list[str], str, str]:
  """Returns the ids that a mask fits, the lung it shows, and its plain name.

  The lung is "" for a mask of both lungs.
  """
  path = composed(file.path)
  bare = path.rpartition("/")[2]
  if ids := names.of_mask(path):
    return ids, "", bare
  side = mask_sides.of_folders(file.below)
  if ids := names.of_mask(bare):
    return ids, side, bare
  named, rest = mask_sides.of_name(bare)
  return names.of_mask(rest), named or side, without_affixes(rest)


def _keys(
  example_id: str, own: Mapping[str, Sequence[File]]
) -> tuple[str, ...]:
  """Returns the key of a mask of both lungs, or those of left and right."""
  if "" in own:
    return (own[""][0].key,)
  return tuple(
    own[side][0].key if side in own else f"{example_id} (the {side} lung)"
    for side in (mask_sides.LEFT, mask_sides.RIGHT)
  )


def refuse_twice(source: RawSource, same: Iterable[Sequence[File]]) -> None:
  """Raises a DataError that lists the files of each name that is not alone."""
  twice = [
    ", ".join(
      sorted(source.describe(f.key) if f.below else f.name for f in files)
    )
    for files in same
    if len(files) > 1
  ]
  if twice:
    raise DataError(
      f"{source.root} must hold only images in images/ and masks/, one for "
      f"each id. These have the same name: {summarise(sorted(twice))} Move "
      "away or rename all but one."
    )
