"""The owner's files, from a folder, a zip, or a folder that holds zips.

Nothing is ever extracted to disk. Files are found by their name and the
folder they lie in (`CXR_png/MCUCXR_0001_0.png`), wherever that folder sits and
whether letters are small or capital.
"""

import collections
import contextlib
import dataclasses
import os
import stat
import types
import zipfile
import zlib
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path, PurePath, PurePosixPath

from apppau_jax import errors

SUFFIXES = (".png", ".gif", ".img", ".txt", ".csv")
MAX_BYTES = 128 * 1024 * 1024  # of one file
MAX_RATIO = 200  # of one zip member, as a guard against zip bombs
MAX_FILES = 1_000_000
_BLOCK = 1024 * 1024  # bytes read at a time for a checksum
_MAX_DEPTH = 6
_ZIP_DEPTH = 2
_JUNK = ("__macosx", "thumbs.db", "desktop.ini")


@dataclasses.dataclass(frozen=True)
class _File:
  path: str  # posix, relative to the folder or inside the zip
  size: int
  archive: str = ""  # the zip that holds it; "" for a plain file


def summarise(lines: Iterable[str], *, limit: int = 20) -> str:
  """Joins the first `limit` lines and says how many more there are."""
  lines = list(lines)
  more = f"; and {len(lines) - limit} more." if len(lines) > limit else ""
  return "; ".join(line.rstrip(".") for line in lines[:limit]) + (more or ".")


class RawSource:
  """Finds and reads the raw files below one folder or in one zip.

  Reading is safe from several threads. Use it as a context manager, or call
  `close`.
  """

  def __init__(
    self,
    raw_dir: str | os.PathLike[str],
    *,
    suffixes: Collection[str] | None = SUFFIXES,
    faults: list[errors.DataError] | None = None,
  ):
    """Lists the files.

    Args:
      raw_dir: a folder or a zip.
      suffixes: ends of the names that matter, in small letters; None for all.
      faults: takes what is wrong with a zip, which is then left out.

    Raises:
      DataError: the folder or zip is missing, damaged, unsafe or much too
        large to be a dataset's.
    """
    self.root = Path(raw_dir).expanduser()
    self._suffixes = suffixes
    self._faults = faults
    self._archives: dict[str, zipfile.ZipFile] = {}
    self._by_name: dict[str, list[_File]] = collections.defaultdict(list)
    try:
      for found in self._list():
        self._by_name[PurePosixPath(found.path).name.lower()].append(found)
    except BaseException:
      self.close()
      raise
    for same in self._by_name.values():
      same.sort(key=lambda f: (bool(f.archive), f.path.count("/"), f.path))

  def find(self, name: str, *folders: str) -> str | None:
    """The key of a file by its name and its folder, or None.

    Args:
      name: the file's name without folders.
      *folders: names its folder may have; any if none is given. A zip counts
        as the folder of what lies at its top.

    Returns:
      A key for `read` and `size`. The name as it stands goes before one in
      other letters (small, capital); of equal copies a plain file before one
      in a zip, a shorter path before a longer one.

    Raises:
      DataError: several such files, and they differ: which is meant nobody can
        know.
    """
    wanted = {folder.lower() for folder in folders}
    same = self._by_name.get(name.lower(), ())
    found = [f for f in same if not folders or self._folder(f) in wanted]
    exact = [f for f in found if PurePosixPath(f.path).name == name]
    keys = [f"{file.archive}::{file.path}" for file in exact or found]
    for other in keys[1:]:
      self._check_equal(keys[0], other)
    return keys[0] if keys else None

  def _check_equal(self, key: str, other: str) -> None:
    if self.size(key) == self.size(other) and (
      self.crc32(key) == self.crc32(other)
    ):
      return
    raise errors.DataError(
      f"{self.describe(key)} and {self.describe(other)} in {self.root} have "
      "one name and different contents; which of them belongs to the set is "
      "not guessed. Move the other away, or give --raw_dir the set's own "
      "folder."
    )

  def keys_below(self, folder: str) -> list[str]:
    """The keys of all files below folders of this name; sorted.

    What lies at the top of a zip of this name counts too.
    """
    every = (file for same in self._by_name.values() for file in same)
    return sorted(
      f"{file.archive}::{file.path}"
      for file in every
      if folder in PurePosixPath(file.path.lower()).parent.parts
      or (file.archive and self._folder(file) == folder)
    )

  def names(self) -> list[str]:
    """The names, without folders, of all files; sorted."""
    every = (file.path for same in self._by_name.values() for file in same)
    return sorted({PurePosixPath(path).name for path in every})

  def size(self, key: str) -> int:
    """Bytes of a file that `find` has found."""
    return self._file(key).size

  def crc32(self, key: str) -> int:
    """Checksum of a file; that of a zip's member stands in the zip.

    Raises:
      DataError: it cannot be read.
    """
    file = self._file(key)
    if file.archive:
      return self._archives[file.archive].getinfo(file.path).CRC
    checksum = 0
    try:
      with self._stream(file) as stream:
        while block := stream.read(_BLOCK):
          checksum = zlib.crc32(block, checksum)
    except OSError as e:
      raise self._unreadable(key, e) from e
    return checksum

  def read(self, key: str) -> bytes:
    """The content of a file that `find` has found.

    Raises:
      DataError: it cannot be read, is damaged or is larger than 128 MiB.
    """
    file = self._file(key)
    try:
      with self._stream(file) as stream:
        content = stream.read(MAX_BYTES + 1)
    except (
      OSError,
      RuntimeError,
      EOFError,
      zipfile.BadZipFile,
      zlib.error,
    ) as e:
      raise self._unreadable(key, e) from e
    if len(content) > MAX_BYTES:
      raise errors.DataError(
        f"{self.describe(key)} is larger than {MAX_BYTES:,} bytes: not one "
        "of this dataset's files."
      )
    return content

  def describe(self, key: str) -> str:
    """A key as a person would write it: `folder/file` or `zip: member`."""
    archive, path = key.split("::", 1)
    return f"{Path(archive).name}: {path}" if archive else path

  def close(self) -> None:
    """Closes the zips."""
    for archive in self._archives.values():
      archive.close()

  def __enter__(self) -> "RawSource":
    return self

  def __exit__(
    self,
    kind: type[BaseException] | None,
    error: BaseException | None,
    traceback: types.TracebackType | None,
  ) -> None:
    self.close()

  def _folder(self, file: _File) -> str:
    """The name of the folder or zip that a file lies in, in small letters."""
    parent = PurePosixPath(file.path).parent.name
    return (parent or Path(file.archive or self.root).stem).lower()

  def _unreadable(self, key: str, error: Exception) -> errors.DataError:
    return errors.DataError(
      f"{self.describe(key)} cannot be read: {error}. Copy or download it "
      "again."
    )

  def _file(self, key: str) -> _File:
    archive, path = key.split("::", 1)
    name = PurePosixPath(path).name.lower()
    for file in self._by_name.get(name, ()):
      if (file.archive, file.path) == (archive, path):
        return file
    raise KeyError(key)

  def _stream(self, file: _File):
    if file.archive:
      return self._archives[file.archive].open(file.path)
    return (self.root / file.path).open("rb")

  def _list(self) -> Iterator[_File]:
    if self.root.is_dir():
      yield from self._list_folder()
    elif self.root.is_file():
      yield from self._archive(self.root)
    else:
      raise errors.DataError(
        f"The raw data {self.root} does not exist. Give --raw_dir the folder "
        "that holds the dataset as its owner publishes it (MontgomerySet/, "
        "ChinaSet_AllFiles/ or All247images/), or its zip."
      )

  def _list_folder(self) -> Iterator[_File]:
    count = 0
    for folder, folders, files in os.walk(self.root, followlinks=True):
      relative = PurePosixPath(Path(folder).relative_to(self.root).as_posix())
      depth = len(relative.parts)
      folders[:] = sorted(f for f in folders if not _is_junk(f))
      if depth >= _MAX_DEPTH:  # also ends a loop of links
        folders.clear()
      for name in sorted(files):
        count += 1
        if count > MAX_FILES:
          raise errors.DataError(
            f"{self.root} holds more than {MAX_FILES:,} files. Give --raw_dir "
            "the dataset's own folder, not one far above it."
          )
        path = Path(folder) / name
        with contextlib.suppress(OSError):  # a dangling link is no file
          status = path.stat()
          if _is_junk(name) or not stat.S_ISREG(status.st_mode):
            continue
          if path.suffix.lower() == ".zip" and depth < _ZIP_DEPTH:
            yield from self._archive(path)
          elif self._matters(path):
            yield _File((relative / name).as_posix(), status.st_size)

  def _archive(self, path: Path) -> list[_File]:
    """All files of a zip; none of it where something is wrong with it."""
    try:
      return list(self._list_archive(path))
    except errors.DataError as e:
      if self._faults is None:
        raise
      self._faults.append(e)
      return []

  def _list_archive(self, path: Path) -> Iterator[_File]:
    try:
      archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError) as e:
      raise errors.DataError(
        f"{path} ({path.stat().st_size:,} bytes) is not a complete zip: {e}. "
        "The download was probably cut short: fetch it again, or move it "
        "away if it is not needed. The file is left as it is."
      ) from e
    self._archives[str(path)] = archive
    members = archive.infolist()
    if len(members) > MAX_FILES:
      raise errors.DataError(f"{path} has {len(members):,} members: too many.")
    for member in members:
      pure = PurePosixPath(member.filename)
      junk = any(_is_junk(part) for part in pure.parts if part != "..")
      if member.is_dir() or junk or not self._matters(pure):
        continue
      _check_member(member, archive=path)
      yield _File(member.filename, member.file_size, str(path))

  def _matters(self, path: PurePath) -> bool:
    return self._suffixes is None or path.suffix.lower() in self._suffixes


def _is_junk(name: str) -> bool:
  """What file managers leave behind."""
  return name.startswith(".") or name.lower() in _JUNK


def _check_member(member: zipfile.ZipInfo, *, archive: Path) -> None:
  pure = PurePosixPath(member.filename)
  reason = ""
  if pure.is_absolute() or ".." in pure.parts:
    reason = "its path leads out of the archive"
  elif "\\" in member.filename:
    reason = (
      "its folders are divided by backslashes, which a zip does not know "
      "(unpack it where it was made, and zip it again)"
    )
  elif stat.S_ISLNK(member.external_attr >> 16):
    reason = "it is a link"
  elif member.flag_bits & 0x1:
    reason = "it is encrypted"
  elif member.file_size > MAX_BYTES:
    reason = f"it unpacks to {member.file_size:,} bytes"
  elif member.file_size > MAX_RATIO * max(member.compress_size, 1024):
    reason = "it unpacks to far more than it holds"
  if reason:
    raise errors.DataError(
      f"{archive} holds the member {member.filename!r}, which is refused: "
      f"{reason}. Nothing was written. Get the archive from its owner."
    )
