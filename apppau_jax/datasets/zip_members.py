"""Refuse members of a zip that would be unsafe to unpack."""

import stat
import zipfile
from pathlib import Path, PurePosixPath

from apppau_jax import errors

MAX_BYTES = 128 * 1024 * 1024  # of one file
MAX_RATIO = 200  # of unpacked to packed size, against zip bombs


def check(member: zipfile.ZipInfo, *, archive: Path) -> None:
  """Refuses an unsafe member.

  Args:
    member: as the directory of the zip states it.
    archive: the zip, for messages.

  Raises:
    DataError: it leads out of the archive, is a link, is encrypted, or is too
      large.
  """
  if reason := _reason(member):
    raise errors.DataError(
      f"{archive} holds the member {member.filename!r}, which is refused: "
      f"{reason}. Nothing was written. Get the archive from its owner."
    )


def _reason(member: zipfile.ZipInfo) -> str:
  path = PurePosixPath(member.filename)
  if path.is_absolute() or ".." in path.parts:
    return "its path leads out of the archive"
  if "\\" in member.filename:
    return (
      "its folders are separated by backslashes, which the zip format does "
      "not allow (unpack it where it was made, and zip it again)"
    )
  if stat.S_ISLNK(member.external_attr >> 16):
    return "it is a link"
  if member.flag_bits & 0x1:
    return "it is encrypted"
  if member.file_size > MAX_BYTES:
    return f"it unpacks to {member.file_size:,} bytes"
  if member.file_size > MAX_RATIO * max(member.compress_size, 1024):
    return "it unpacks to far more than its compressed size"
  return ""
