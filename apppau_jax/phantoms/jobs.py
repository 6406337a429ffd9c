"""Writes the images of a data set of phantoms, in several processes if asked.

The functions that all layouts share are here: the `Job` of one image, the
numbers of images, and the writing of single files.
"""

import dataclasses
import io
import multiprocessing
from collections.abc import Callable
from concurrent import futures
from pathlib import Path

import numpy as np
from PIL import Image

from apppau_jax import files
from apppau_jax.phantoms import phantom

Progress = Callable[[int, int], None]


@dataclasses.dataclass(frozen=True)
class Job:
  """One image to write: everything that a worker process needs.

  Attributes:
    write: module-level function that writes the image and its masks.
    folder: root folder of the data set.
    number: number of the image in its file name, from 1.
    abnormal: whether the image shows the finding of its data set.
    index: index of the person in the collection.
    seed: seed of the collection.
    size: (h, w) in pixels.
    wide: whether it differs as films of many hospitals do.
  """

  write: Callable[["Job"], None]
  folder: Path
  number: int
  abnormal: bool
  index: int
  seed: int
  size: tuple[int, int]
  wide: bool = False

  def draw(self, finding: phantom.Finding) -> phantom.Phantom:
    """Draws the phantom of this job, with `finding` if it is abnormal."""
    return phantom.make_phantom(
      seed=self.seed,
      index=self.index,
      finding=finding if self.abnormal else "normal",
      size=self.size,
      wide=self.wide,
    )

  def rng(self, *, purpose: int) -> np.random.Generator:
    """Returns a generator for everything but the image, one per `purpose`."""
    return np.random.default_rng([self.seed, self.index, purpose])


def check(count: int, *, seed: int, digits: int) -> None:
  """Raises ValueError unless `count` images have names and `seed` >= 0."""
  if seed < 0:
    raise ValueError(f"seed of the phantoms is {seed}; it must be >= 0.")
  most = 10**digits - 1
  if not 1 <= count <= most:
    raise ValueError(
      f"count of phantoms is {count}; it must be from 1 to {most}, since the "
      f"file names have {digits} digits."
    )


def shape(size: int | tuple[int, int]) -> tuple[int, int]:
  """Returns (h, w) of a size; one number means a square."""
  return (size, size) if isinstance(size, int) else size


def at_least_one(count: int, *, share: float) -> int:
  """Returns `share` of `count`, leaving at least one of two on either side."""
  return min(max(1, round(count * share)), max(1, count - 1))


def run(jobs: list[Job], *, workers: int, progress: Progress | None) -> None:
  """Writes all images, in `workers` processes if there is more than one."""
  if workers <= 1:
    _count(map(_write, jobs), len(jobs), progress)
    return
  # Forking is not safe after JAX has started its threads.
  context = multiprocessing.get_context("spawn")
  with futures.ProcessPoolExecutor(workers, mp_context=context) as pool:
    _count(pool.map(_write, jobs, chunksize=4), len(jobs), progress)


def _write(job: Job) -> None:
  job.write(job)


def _count(results, total: int, progress: Progress | None) -> None:
  for number, _ in enumerate(results, start=1):
    if progress is not None:
      progress(number, total)


def save(path: Path, image: Image.Image, kind: str = "PNG") -> None:
  """Replaces `path` by `image`, encoded as `kind` ("PNG" or "GIF")."""
  options = {"PNG": {"compress_level": 4}, "GIF": {"optimize": False}}[kind]
  buffer = io.BytesIO()
  image.save(buffer, kind, **options)
  files.write_bytes(path, buffer.getvalue())
