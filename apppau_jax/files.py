"""Atomic writes: a reader finds the old file or the new one, never a part."""

import contextlib
import json
import os
import pathlib
from typing import Any


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
  partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
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
