"""Running the writers of phantoms; each file whole or not at all."""

import dataclasses
import io
import multiprocessing
import os
from collections.abc import Callable, Iterable
from concurrent import futures
from pathlib import Path

import numpy as np
from PIL import Image

from apppau_jax.errors import DataError

Progress = Callable[[int, int], None]


@dataclasses.dataclass(frozen=True)
class Job:
  """One image to write; all that a worker process needs.

  Attributes:
    write: a function of a module, which writes it.
    folder: below which.
    number: the image's in its file name, from 1.
    ill: whether it has its set's finding.
    index: the person's in the collection.
    seed: the collection's.
    size: (h, w) in pixels.
  """

  write: Callable[["Job"], None]
  folder: str
  number: int
  ill: bool
  index: int
  seed: int
  size: tuple[int, int]

  def rng(self, *, purpose: int) -> np.random.Generator:
    """A stream for what is no part of the picture, never its finding."""
    return np.random.default_rng([self.seed, self.index, purpose])


def check(count: int, *, seed: int, digits: int) -> None:
  """Refuses a count or a seed that cannot be had."""
  if seed < 0:
    raise DataError(f"The seed of phantoms is {seed}: choose 0 or more.")
  most = 10**digits - 1
  if not 1 <= count <= most:
    raise DataError(
      f"{count} phantoms cannot be written: the owners' file names have "
      f"{digits} digits, so a set holds 1 to {most} images. Choose a count in "
      "that range."
    )


def shape(size: int | tuple[int, int]) -> tuple[int, int]:
  """(h, w) of a size that may be one number for squares."""
  return (size, size) if isinstance(size, int) else (size[0], size[1])


def at_least_one(count: int, *, share: float) -> int:
  """A share of `count`; of two, at least one is in it and one is not."""
  return min(max(1, round(count * share)), max(1, count - 1))


def run(jobs: list[Job], *, workers: int, progress: Progress | None) -> None:
  """Does all jobs, with more than one worker in processes of their own."""
  if workers <= 1:
    _count(map(_do, jobs), len(jobs), progress)
    return
  # Spawned, not forked: the caller may have started JAX's threads.
  context = multiprocessing.get_context("spawn")
  with futures.ProcessPoolExecutor(workers, mp_context=context) as pool:
    _count(pool.map(_do, jobs, chunksize=4), len(jobs), progress)


def _do(job: Job) -> None:
  job.write(job)


def _count(done: Iterable[None], total: int, progress: Progress | None) -> None:
  for number, _ in enumerate(done, start=1):
    if progress is not None:
      progress(number, total)


def save_png(path: Path, image: Image.Image) -> None:
  """Replaces `path` by a PNG."""
  save(path, image, "PNG", compress_level=4)


def save(path: Path, image: Image.Image, kind: str, **options: int) -> None:
  """Replaces `path` by a picture of a kind that Pillow writes."""
  buffer = io.BytesIO()
  image.save(buffer, kind, **options)
  replace(path, buffer.getvalue())


def replace(path: Path, content: bytes) -> None:
  """Writes beside the target first, so that no reader sees half a file."""
  path.parent.mkdir(parents=True, exist_ok=True)
  partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
  try:
    partial.write_bytes(content)
    os.replace(partial, path)
  finally:
    partial.unlink(missing_ok=True)
