"""List the files below a folder, through links, without running in circles."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple, NoReturn

from apppau_jax import errors
from apppau_jax.imaging import file_kinds

MAX_FILES = 1_000_000  # and folders
MAX_DEPTH = 32  # folders within each other


class Found(NamedTuple):
  """A file: its path below the folder, its depth and its size in bytes."""

  path: PurePosixPath
  depth: int
  size: int


def walk(root: Path) -> Iterator[Found]:
  """Yields the regular files below a folder, those of systems excepted.

  A link to a folder that holds the link is not followed, and dangling links
  are no files.

  Raises:
    DataError: a folder cannot be listed, lies more than 32 folders deep, or
      there are more than a million files and folders.
  """
  # A folder, and what identifies it and those above it.
  holding: dict[str, tuple[tuple[int, int], ...]] = {
    str(root): (_identity(root),)
  }
  count = 0
  for folder, folders, files in os.walk(
    root, followlinks=True, onerror=_refuse
  ):
    above = holding.pop(folder)
    relative = PurePosixPath(Path(folder).relative_to(root).as_posix())
    depth = len(relative.parts)
    if depth > MAX_DEPTH:
      raise errors.DataError(
        f"{folder} lies more than {MAX_DEPTH} folders below {root}. Give "
        "--raw_dir a folder that is nearer to the images."
      )
    below = []
    for name in sorted(f for f in folders if not file_kinds.is_junk(f)):
      path = os.path.join(folder, name)
      if (identity := _identity(path)) not in above:
        below.append(name)
        holding[path] = (*above, identity)
    folders[:] = below
    count += 1 + len(files)
    if count > MAX_FILES:
      raise errors.DataError(
        f"{root} holds more than {MAX_FILES:,} files. Give --raw_dir "
        "the dataset's own folder, not one far above it."
      )
    for name in sorted(files):
      if file_kinds.is_junk(name):
        continue
      try:
        status = os.stat(os.path.join(folder, name))
      except OSError:  # a dangling link
        continue
      if stat.S_ISREG(status.st_mode):
        yield Found(relative / name, depth, status.st_size)


def _identity(path: str | os.PathLike[str]) -> tuple[int, int]:
  try:
    status = os.stat(path)
  except OSError as error:
    _refuse(error)
  return status.st_dev, status.st_ino


def _refuse(error: OSError) -> NoReturn:
  raise errors.DataError(
    f"The folder {error.filename} cannot be listed: {error.strerror}. Check "
    "that you may read it, or move it away."
  ) from error
