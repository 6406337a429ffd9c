"""Draws the raw files of the phantom data set, once."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import filelock

from apppau_jax import files
from apppau_jax.datasets.phantom import COUNT
from apppau_jax.phantoms.raw_files import write_montgomery

SIZE = 256
# Raise it, and the builder's version, when the code comes to draw others.
DRAWING = 2
_RECORD = "phantom.json"


def draw(
  data_dir: str | os.PathLike[str],
  *,
  count: int = COUNT,
  seed: int = 0,
  size: int = SIZE,
  workers: int = 1,
  progress: Callable[[int, int], None] | None = None,
) -> Path:
  """Draws raw phantoms into `data_dir`/raw/phantom, unless they are there.

  Args:
    data_dir: where prepared datasets live.
    count: how many images.
    seed: the same seed draws the same images.
    size: the side of the raw images, in pixels.
    workers: drawing processes.
    progress: called with (images done, images in all).

  Returns:
    The folder, to be given to `prepare` as `raw_dir`.
  """
  folder = Path(data_dir).expanduser() / "raw" / "phantom"
  arguments = {"count": count, "seed": seed, "size": size}
  wanted = {**arguments, "drawing": DRAWING}
  folder.parent.mkdir(parents=True, exist_ok=True)
  with filelock.FileLock(folder.parent / ".phantom.lock"):
    if _record(folder) == wanted:
      return folder
    partial = folder.with_name(".phantom.partial")
    for old in (partial, folder):
      shutil.rmtree(old, ignore_errors=True)
    write_montgomery(partial, **arguments, workers=workers, progress=progress)
    files.write_json(partial / _RECORD, wanted)
    partial.rename(folder)
  return folder


def _record(folder: Path) -> object:
  try:
    return json.loads((folder / _RECORD).read_text(encoding="utf-8"))
  except (OSError, ValueError):
    return None
