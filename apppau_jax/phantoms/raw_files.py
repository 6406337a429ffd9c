"""Writes phantoms in the published layouts of Montgomery and Shenzhen.

File names, folders, pixel modes, the spelling of the clinical readings and the
images without masks are those of the real data sets, so that the builders, the
data checks and the tutorial read the same kind of files.
"""

import functools
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from apppau_jax import files
from apppau_jax.datasets.phantom import FOLDERS, example_id
from apppau_jax.phantoms import jobs as jobs_lib
from apppau_jax.phantoms.jobs import Job, Progress

_LUNGS = ("right lung", "left lung")
# Normal images of Shenzhen have the numbers 1 to 326.
_FIRST_TB = 327
# Numbers of the Shenzhen images that have no published lung mask.
_WITHOUT_MASK = frozenset({25, 65, 336, 502, 505}).union(
  range(36, 41),
  range(181, 221),
  range(341, 361),
  range(481, 501),
  range(560, 566),
)
# Spellings in the readings of Shenzhen; the first is the most frequent one.
_PEOPLE = (
  "{sex} {age}yrs",
  "{sex} {age}yrs",
  "{sex} {age}yrs",
  "{sex} {age}yrs ",
  "{sex}{age}yrs",
  "{sex} , {age}yrs",
  "{sex} {age}",
  "{sex} {age}yrs  \t",
)


def write_montgomery(
  raw_dir: str | os.PathLike[str],
  *,
  count: int = 138,
  seed: int = 0,
  size: int | tuple[int, int] = 512,
  structures: bool = False,
  phantom_names: bool = False,
  wide: bool = False,
  workers: int = 1,
  progress: Progress | None = None,
) -> None:
  """Writes `MontgomerySet/`: images, one mask per lung and clinical readings.

  Numbers start at 0001. The first 58 % of the images are normal (`_0`), the
  others show tuberculosis (`_1`). As in the original, `leftMask` holds the lung
  on the left of the image, which is the patient's right lung. Existing files
  are replaced; every file is written completely or not at all.

  Args:
    raw_dir: folder that will contain `MontgomerySet`.
    count: number of images, 1 to 9999.
    seed: seed of the collection, >= 0. The same arguments write the same bytes.
    size: pixels, one number for square images or (h, w).
    structures: also write masks of the heart and of the clavicles, which the
      original does not have, into the folders of `datasets.phantom.FOLDERS`.
    phantom_names: call the images PHANTOM_0001_normal and so on, as the data
      set `phantom` has them, instead of MCUCXR_0001_0.
    wide: draw phantoms that differ as films of many hospitals do, see
      `phantom.make_phantom`.
    workers: number of processes. A script that uses more than one needs
      `if __name__ == "__main__"`.
    progress: called with (images written, count) after every image.

  Raises:
    ValueError: an argument is out of range.
  """
  jobs_lib.check(count, seed=seed, digits=4)
  normal = jobs_lib.at_least_one(count, share=80 / 138)
  write = functools.partial(
    _montgomery,
    structures=tuple(FOLDERS) if structures else _LUNGS,
    name=example_id if phantom_names else _montgomery_id,
  )
  jobs = [
    Job(
      write=write,
      folder=Path(raw_dir),
      number=index + 1,
      abnormal=index >= normal,
      index=index,
      seed=seed,
      size=jobs_lib.shape(size),
      wide=wide,
    )
    for index in range(count)
  ]
  jobs_lib.run(jobs, workers=workers, progress=progress)


def write_shenzhen(
  raw_dir: str | os.PathLike[str],
  *,
  count: int = 662,
  seed: int = 0,
  size: int | tuple[int, int] = 512,
  workers: int = 1,
  progress: Progress | None = None,
) -> None:
  """Writes `ChinaSet_AllFiles/` (images and readings) and `mask/` beside it.

  The first 326 / 662 of the images are normal (`_0`) and numbered from 0001.
  The others show tuberculosis (`_1`) and are numbered from 0327, or from the
  last normal image on where there are more than 326. Numbers without a mask in
  the published data set have none here. Image sizes vary by 6 %.

  Args:
    raw_dir: folder that will contain both.
    count: number of images, 1 to 9999.
    seed: seed of the collection, >= 0. The same arguments write the same bytes.
    size: mean size in pixels, one number or (h, w).
    workers: number of processes; see `write_montgomery`.
    progress: called with (images written, count) after every image.

  Raises:
    ValueError: an argument is out of range.
  """
  jobs_lib.check(count, seed=seed, digits=4)
  normal = jobs_lib.at_least_one(count, share=326 / 662)
  first_tb = max(_FIRST_TB, normal + 1)
  jobs = []
  for index in range(count):
    abnormal = index >= normal
    factor = np.random.default_rng([seed, index, 2]).uniform(0.94, 1.06, 2)
    h, w = (max(16, round(s * f)) for s, f in zip(jobs_lib.shape(size), factor))
    jobs.append(
      Job(
        write=_shenzhen,
        folder=Path(raw_dir),
        number=first_tb + index - normal if abnormal else index + 1,
        abnormal=abnormal,
        index=index,
        seed=seed,
        size=(h, w),
      )
    )
  jobs_lib.run(jobs, workers=workers, progress=progress)


def _montgomery_id(number: int, *, abnormal: bool) -> str:
  return f"MCUCXR_{number:04d}_{int(abnormal)}"


def _montgomery(
  job: Job, *, structures: Sequence[str], name: Callable[..., str]
) -> None:
  phantom = job.draw("tb")
  folder = job.folder / "MontgomerySet"
  stem = name(job.number, abnormal=job.abnormal)
  image = Image.fromarray(phantom.image)
  jobs_lib.save(folder / "CXR_png" / f"{stem}.png", image)
  for structure in structures:
    mask = getattr(phantom, structure.replace(" ", "_"))
    path = folder / "ManualMask" / FOLDERS[structure] / f"{stem}.png"
    jobs_lib.save(path, Image.fromarray(mask))
  rng = job.rng(purpose=1)
  sex = str(rng.choice(["F", "M", "O"], p=[0.53, 0.46, 0.01]))
  age = int(rng.integers(4, 90))
  finding = "opacities suggestive of TB (phantom)" if job.abnormal else "normal"
  text = f"Patient's Sex: {sex} \nPatient's Age: {age:03d}Y\n{finding}\n"
  files.write_bytes(folder / "ClinicalReadings" / f"{stem}.txt", text.encode())


def _shenzhen(job: Job) -> None:
  phantom = job.draw("tb")
  stem = f"CHNCXR_{job.number:04d}_{int(job.abnormal)}"
  rng = job.rng(purpose=1)
  text = _shenzhen_reading(rng, abnormal=job.abnormal)
  image = Image.fromarray(phantom.image)
  if rng.uniform() < 27 / 662:
    image = image.convert("RGB")
  else:
    image = _palette(phantom.image)
  folder = job.folder / "ChinaSet_AllFiles"
  jobs_lib.save(folder / "CXR_png" / f"{stem}.png", image)
  files.write_bytes(folder / "ClinicalReadings" / f"{stem}.txt", text.encode())
  if job.number not in _WITHOUT_MASK:
    both = (phantom.left_lung | phantom.right_lung).astype(np.uint8) * 255
    path = job.folder / "mask" / f"{stem}_mask.png"
    jobs_lib.save(path, Image.fromarray(both))


def _palette(image: np.ndarray) -> Image.Image:
  """Returns a palette image whose indices run from white to black.

  Code that mistakes the indices for grey values reads a negative.
  """
  indexed = Image.fromarray(255 - image).convert("P")
  indexed.putpalette(
    np.arange(255, -1, -1).repeat(3).astype(np.uint8).tobytes()
  )
  return indexed


def _shenzhen_reading(rng: np.random.Generator, *, abnormal: bool) -> str:
  sex = str(rng.choice(["male", "female", "femal"], p=[0.66, 0.32, 0.02]))
  age = int(rng.integers(15, 90))
  person = str(rng.choice(_PEOPLE)).format(sex=sex, age=age)
  young = rng.uniform()
  if young < 0.02:
    person = (
      f"{sex} {age}days" if young < 0.005 else f"{sex} {1 + age % 24}month"
    )
  gap = "\r\n\r\n" if rng.uniform() < 0.1 else "\r\n"
  normal = "normale" if rng.uniform() < 0.02 else "normal"
  return person + gap + ("PTB (phantom)\t" if abnormal else normal)
