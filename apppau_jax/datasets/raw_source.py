"""Find and read raw files in a folder, a zip, or a folder that holds zips.

Nothing is extracted to disk. Files are found by their name and the folder they
lie in (`CXR_png/MCUCXR_0001_0.png`), wherever that folder lies, without regard
to upper and lower case.
"""

import collections
import contextlib
import dataclasses
import os
import zipfile
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path, PurePath, PurePosixPath
from typing import IO

from apppau_jax import errors
from apppau_jax.datasets import folder_walk, zip_members
from apppau_jax.datasets.folder_walk import MAX_FILES
from apppau_jax.datasets.zip_members import MAX_BYTES
from apppau_jax.imaging import file_kinds

SUFFIXES = (".png", ".gif", ".img", ".txt", ".csv")
_BLOCK = 1024 * 1024  # bytes read at a time for a checksum
_LINE = 400  # characters of a fault in a message
_ZIP_DEPTH = 2


def summarise(lines: Iterable[str], *, limit: int = 20) -> str:
  """Joins the beginnings of `limit` lines and says how many more there are."""
  lines = list(lines)
  more = f"; and {len(lines) - limit} more." if len(lines) > limit else ""
  shown = (line.rstrip(".")[:_LINE] for line in lines[:limit])
  return "; ".join(shown) + (more or ".")


@dataclasses.dataclass(frozen=True)
class _File:
  path: str  # posix, relative to the folder or inside the zip
  size: int
  archive: str = ""  # the zip that holds it; "" for a plain file

  @property
  def key(self) -> str:
    return f"{self.archive}::{self.path}"

  @property
  def name(self) -> str:
    return PurePosixPath(self.path).name


class RawSource(contextlib.AbstractContextManager):
  """The raw files below one folder or in one zip, as keys.

  Reading is safe from several threads.

  Args:
    raw_dir: a folder or a zip.
    suffixes: suffixes of the files, in lower case; None for all.
    faults: collects what is wrong with a zip, which is then left out.
    columns: what the table of a user's set calls id, label and patient.

  Raises:
    DataError: the folder or zip is missing, damaged, unsafe or much too large
      for a data set.
  """

  def __init__(
    self,
    raw_dir: str | os.PathLike[str],
    *,
    suffixes: Collection[str] | None = SUFFIXES,
    faults: list[errors.DataError] | None = None,
    columns: Mapping[str, str] | None = None,
  ):
    self.columns = columns or {}
    self.root = Path(raw_dir).expanduser()
    self._suffixes = suffixes
    self._faults = faults
    self._archives: dict[str, zipfile.ZipFile] = {}
    self._files: dict[str, _File] = {}
    self._by_name: dict[str, list[_File]] = collections.defaultdict(list)
    try:
      for found in self._list():
        self._files[found.key] = found
        self._by_name[found.name.lower()].append(found)
    except BaseException:
      self.close()
      raise
    for same in self._by_name.values():
      same.sort(key=lambda f: (bool(f.archive), f.path.count("/"), f.path))

  def find(self, name: str, *folders: str) -> str | None:
    """Returns the key of a file by its name and its folder, or None.

    A name in the same case is preferred to others; of equal copies a plain
    file to one in a zip, and a shorter path to a longer one.

    Args:
      name: the file's name without folders, or its key.
      *folders: names that its folder may have; any if none is given. A zip
        counts as the folder of what lies at its top.

    Raises:
      DataError: several such files exist, and they differ.
    """
    if name in self._files:
      return name
    wanted = {folder.lower() for folder in folders}
    same = self._by_name.get(name.lower(), ())
    found = [f for f in same if not folders or self._folder(f) in wanted]
    found = [f for f in found if f.name == name] or found
    for other in found[1:]:
      if found[0].size != other.size or (
        self.crc32(found[0].key) != self.crc32(other.key)
      ):
        raise errors.DataError(
          f"{self.describe(found[0].key)} and {self.describe(other.key)} in "
          f"{self.root} have the same name and different contents, so it is "
          "ambiguous which belongs to the set. Move the other away, or give "
          "--raw_dir the set's own folder."
        )
    return found[0].key if found else None

  def all_keys(self) -> list[str]:
    """Returns the keys of all files, sorted."""
    return sorted(self._files)

  def names(self) -> list[str]:
    """Returns the names, without folders, of all files; sorted."""
    return sorted({file.name for file in self._files.values()})

  def crc32(self, key: str) -> int:
    """Returns the checksum of a file; a zip states those of its members."""
    file, checksum = self._files[key], 0
    if file.archive:
      return self._archives[file.archive].getinfo(file.path).CRC
    try:
      with self._stream(file) as stream:
        while block := stream.read(_BLOCK):
          checksum = zlib.crc32(block, checksum)
    except OSError as e:
      raise self._unreadable(key, e) from e
    return checksum

  def size(self, key: str) -> int:
    """Returns the number of bytes of a file."""
    return self._files[key].size

  def stream(self, key: str) -> IO[bytes]:
    """Opens a file for reading; a member of a zip is slow to seek in."""
    return self._stream(self._files[key])

  def head(self, key: str, *, size: int) -> bytes:
    """Returns the first bytes of a file.

    Raises:
      DataError: it cannot be read or is damaged.
    """
    try:
      with self._stream(self._files[key]) as stream:
        return stream.read(size)
    except Exception as e:  # zipfile and its decoders raise many types
      raise self._unreadable(key, e) from e

  def read(self, key: str) -> bytes:
    """Returns the content of a file.

    Raises:
      DataError: it cannot be read, is damaged or is larger than 128 MiB.
    """
    content = self.head(key, size=MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
      raise errors.DataError(
        f"{self.describe(key)} is larger than {MAX_BYTES:,} bytes, more than "
        "any file of a data set."
      )
    return content

  def describe(self, key: str) -> str:
    """Returns a key in readable form: `folder/file` or `zip: member`."""
    archive, path = key.split("::", 1)
    return f"{Path(archive).name}: {path}" if archive else path

  def close(self) -> None:
    """Closes the zips."""
    for archive in self._archives.values():
      archive.close()

  def __exit__(self, *error: object) -> None:
    self.close()

  def _folder(self, file: _File) -> str:
    """Returns the folder or zip of a file, in lower case."""
    parent = PurePosixPath(file.path).parent.name
    return (parent or Path(file.archive or self.root).stem).lower()

  def _unreadable(self, key: str, error: Exception) -> errors.DataError:
    return errors.DataError(
      f"{self.describe(key)} cannot be read: {str(error)[:_LINE]}. Copy or "
      "download it again."
    )

  def _stream(self, file: _File):
    if file.archive:
      return self._archives[file.archive].open(file.path)
    return (self.root / file.path).open("rb")

  def _list(self) -> Iterator[_File]:
    if self.root.is_dir():
      yield from self._list_folder()
    elif self.root.is_file():
      yield from self._list_archive(self.root)
    else:
      raise errors.DataError(
        f"The raw data {self.root} does not exist. Give --raw_dir the folder "
        "that holds the dataset as its owner publishes it (MontgomerySet/, "
        "ChinaSet_AllFiles/ or All247images/), or its zip."
      )

  def _list_folder(self) -> Iterator[_File]:
    for path, depth, size in folder_walk.walk(self.root):
      if path.suffix.lower() == ".zip" and depth < _ZIP_DEPTH:
        yield from self._list_archive(self.root / path)
      elif self._matters(path):
        yield _File(path.as_posix(), size)

  def _list_archive(self, path: Path) -> list[_File]:
    """Lists a zip; nothing of it if something is wrong with it."""
    try:
      archive = zipfile.ZipFile(path)
      self._archives[str(path)] = archive
      members = archive.infolist()
      if len(members) > MAX_FILES:
        raise errors.DataError(
          f"{path} has {len(members):,} members, more than {MAX_FILES:,}."
        )
      wanted = [member for member in members if self._is_wanted(member)]
      _refuse_copies(wanted, archive=path)
      for member in wanted:
        zip_members.check(member, archive=path)
      return [_File(m.filename, m.file_size, str(path)) for m in wanted]
    except errors.DataError as e:
      fault = e
    except Exception as e:  # zipfile raises many types on damage
      fault = errors.DataError(
        f"{path} ({path.stat().st_size:,} bytes) is not a complete zip: "
        f"{str(e)[:_LINE]}. "
        "The download was probably interrupted. Download it again, or move it "
        "away if it is not needed."
      )
      fault.__cause__ = e
    if self._faults is None:
      raise fault
    self._faults.append(fault)
    return []

  def _is_wanted(self, member: zipfile.ZipInfo) -> bool:
    if not member.filename:
      return False
    path = PurePosixPath(member.filename)
    junk = any(file_kinds.is_junk(part) for part in path.parts if part != "..")
    return not (member.is_dir() or junk) and self._matters(path)

  def _matters(self, path: PurePath) -> bool:
    return self._suffixes is None or path.suffix.lower() in self._suffixes


def _refuse_copies(members: list[zipfile.ZipInfo], *, archive: Path) -> None:
  """Refuses different members of one name: a reader would take the last."""
  different = {(m.filename, m.file_size, m.CRC) for m in members}
  times = collections.Counter(name for name, _, _ in different)
  twice = sorted(name for name, count in times.items() if count > 1)
  if twice:
    raise errors.DataError(
      f"{archive} holds {len(twice)} names more than once, with different "
      f"contents, so it is ambiguous which belongs to the set: "
      f"{summarise(map(repr, twice))} Get the archive from its owner."
    )
