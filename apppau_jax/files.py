"""Atomic writes: a reader finds the old file or the new one, never a part."""

import contextlib
import itertools
import json
import os
import pathlib
import socket
import time
import zlib
from typing import Any

# A temporary file is called `.<host>-<process>-<number>.partial`: no longer
# for a long name, and a later process can check whether its writer still runs.
_HOST = f"{zlib.crc32(socket.gethostname().encode()):08x}"
_OLD = 24 * 3600  # seconds after which a file of another host is a leftover
_number = itertools.count()


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
  """Replaces the file at `path` atomically and durably.

  The content is written to a temporary file beside `path`, flushed to the disk
  and renamed. A failure removes the temporary file and keeps the old file.

  Args:
    path: file to replace; its folder is created.
    content: the new content.

  Raises:
    OSError: the file cannot be written, for example on a full disk.
  """
  path = pathlib.Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  partial = path.with_name(f".{_HOST}-{os.getpid()}-{next(_number)}.partial")
  try:
    with partial.open("wb") as file:
      file.write(content)
      file.flush()
      os.fsync(file.fileno())
    os.replace(partial, path)
  except BaseException:
    with contextlib.suppress(OSError):
      partial.unlink(missing_ok=True)
    raise


def write_json(path: str | os.PathLike[str], value: Any) -> None:
  """Replaces the file at `path` by `value` as JSON, atomically and durably.

  Raises:
    OSError: the file cannot be written.
    TypeError: JSON cannot represent `value`.
    ValueError: `value` contains NaN or an infinite number.
  """
  text = json.dumps(value, indent=1, allow_nan=False)
  write_bytes(path, f"{text}\n".encode())


def remove_leftovers(folder: pathlib.Path, *, below: bool = False) -> None:
  """Removes the temporary files of processes that were killed.

  Args:
    folder: where to look; it need not exist.
    below: whether to look in its subfolders too.
  """
  pattern = ".*-*-*.partial"
  for partial in folder.rglob(pattern) if below else folder.glob(pattern):
    with contextlib.suppress(OSError):  # another process is as fast
      if _is_leftover(partial):
        partial.unlink()


def _is_leftover(partial: pathlib.Path) -> bool:
  host, process, _ = partial.name.strip(".").split("-", 2)
  if host != _HOST or not process.isdecimal():
    return time.time() - partial.stat().st_mtime > _OLD
  try:
    os.kill(int(process), 0)
  except (ProcessLookupError, OverflowError):
    return True
  return False
