"""Files written whole: a reader finds the old one or the new, never half."""

import contextlib
import json
import os
import pathlib
from typing import Any


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
  """Replaces `path`, durably; makes its folder, leaves nothing on failure."""
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
  """Replaces `path` by `value` as JSON; what JSON cannot hold is an error."""
  text = json.dumps(value, indent=1, allow_nan=False)
  write_bytes(path, f"{text}\n".encode())
