"""Draws the raw files of the phantom data set, unless they exist already."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import filelock

from apppau_jax import files, reading
from apppau_jax.datasets.phantom import COUNT
from apppau_jax.errors import ConfigError
from apppau_jax.phantoms import jobs
from apppau_jax.phantoms.raw_files import write_montgomery

SIZE = 256
# Increase this, and the version of the builder, when other files are drawn.
DRAWING = 3
_RECORD = "phantom.json"


def draw(
  data_dir: str | os.PathLike[str],
  *,
  count: int = COUNT,
  seed: int = 0,
  size: int = SIZE,
  wide: bool = False,
  workers: int = 1,
  progress: Callable[[int, int], None] | None = None,
) -> Path:
  """Draws phantoms into `data_dir`/raw/phantom unless they exist already.

  Phantoms of other arguments or of another version of the code are replaced.
  A lock keeps two processes from drawing at the same time.

  Args:
    data_dir: folder of the prepared data sets.
    count: number of images, 1 to 9999.
    seed: seed of the collection, >= 0.
    size: side of the images in pixels.
    wide: whether they differ as films of many hospitals do.
    workers: number of processes.
    progress: called with (images drawn, count).

  Returns:
    The folder, which is the `raw_dir` of `datasets.prepare.prepare`.

  Raises:
    ConfigError: `count` or `seed` is out of range.
  """
  try:
    jobs.check(count, seed=seed, digits=4)
  except ValueError as error:
    raise ConfigError(f"The phantoms cannot be drawn: {error}") from error
  folder = Path(data_dir).expanduser() / "raw" / "phantom"
  arguments = {"count": count, "seed": seed, "size": size, "wide": wide}
  wanted = {**arguments, "drawing": DRAWING}
  folder.parent.mkdir(parents=True, exist_ok=True)
  with filelock.FileLock(folder.parent / ".phantom.lock"):
    if _record(folder) == wanted:
      return folder
    partial = folder.with_name(".phantom.partial")
    for old in (partial, folder):
      shutil.rmtree(old, ignore_errors=True)
    write_montgomery(
      partial,
      **arguments,
      structures=True,
      phantom_names=True,
      workers=workers,
      progress=progress,
    )
    files.write_json(partial / _RECORD, wanted)
    partial.rename(folder)
  return folder


def _record(folder: Path) -> object:
  return reading.json_or_none(folder / _RECORD, dict)
