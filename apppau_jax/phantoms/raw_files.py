"""Phantoms as raw files, in the layouts that Montgomery and Shenzhen have.

So that builders, `verify` and a newcomer's first run meet the real thing:
names, folders, modes, the readings' spelling, and the images without masks.
Which person is ill depends on the number alone, how ill on the seed alone.
"""

import os
from pathlib import Path

import numpy as np
from PIL import Image

from apppau_jax.phantoms import jobs as jobs_lib
from apppau_jax.phantoms import picture
from apppau_jax.phantoms.jobs import Job, Progress

# Shenzhen's normal images have the numbers 1 to 326.
_FIRST_TB = 327
# The released lung masks leave these out.
_WITHOUT_MASK = frozenset({25, 65, 336, 502, 505}).union(
  range(36, 41),
  range(181, 221),
  range(341, 361),
  range(481, 501),
  range(560, 566),
)
# Spellings met in Shenzhen's readings; the plain one is the commonest.
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
  native_aspect: bool = False,
  workers: int = 1,
  progress: Progress | None = None,
) -> None:
  """Writes phantoms as `MontgomerySet/`: images, masks per lung, readings.

  58 % are normal (`_0`), then come those with tuberculosis (`_1`), numbered
  from 0001. As in the original, `leftMask` holds the lung on the left of the
  PICTURE, the patient's right lung. Files that exist are replaced; every file
  appears whole or not at all.

  Args:
    raw_dir: the folder that will hold `MontgomerySet`.
    count: how many images, 1 to 9999.
    seed: non-negative; the same arguments write the same bytes.
    size: pixels, one number for squares or (h, w).
    native_aspect: portrait or landscape as the original (4892 x 4020 or
      4020 x 4892), the longer side being the larger of `size`.
    workers: processes; a caller with more than one needs the usual
      `if __name__ == "__main__"`.
    progress: called with (written, count) after every image.

  Raises:
    DataError: a count or size that cannot be had.
  """
  jobs_lib.check(count, seed=seed, digits=4)
  normal = jobs_lib.at_least_one(count, share=80 / 138)
  jobs = []
  for index in range(count):
    shape = jobs_lib.shape(size)
    if native_aspect:
      shape = _native(max(shape), rng=np.random.default_rng([seed, index, 2]))
    jobs.append(
      Job(
        write=_montgomery,
        folder=os.fspath(raw_dir),
        number=index + 1,
        ill=index >= normal,
        index=index,
        seed=seed,
        size=shape,
      )
    )
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
  """Writes phantoms as `ChinaSet_AllFiles/` with `mask/` beside it.

  The first 326 / 662 of the images are normal and numbered from 0001 (`_0`),
  the others have tuberculosis and are numbered from 0327 (`_1`), or on from
  the last normal one where there are more. The numbers that have no mask in
  the released set have none here. Sizes vary by some 6 % per image.

  Args:
    raw_dir: the folder that will hold both.
    count: how many images, 1 to 9999.
    seed: non-negative; the same arguments write the same bytes.
    size: pixels, about; one number or (h, w).
    workers: processes; see `write_montgomery`.
    progress: called with (written, count) after every image.

  Raises:
    DataError: a count or size that cannot be had.
  """
  jobs_lib.check(count, seed=seed, digits=4)
  normal = jobs_lib.at_least_one(count, share=326 / 662)
  first_tb = max(_FIRST_TB, normal + 1)
  jobs = []
  for index in range(count):
    ill = index >= normal
    factor = np.random.default_rng([seed, index, 2]).uniform(0.94, 1.06, 2)
    h, w = (max(16, round(s * f)) for s, f in zip(jobs_lib.shape(size), factor))
    jobs.append(
      Job(
        write=_shenzhen,
        folder=os.fspath(raw_dir),
        number=first_tb + index - normal if ill else index + 1,
        ill=ill,
        index=index,
        seed=seed,
        size=(h, w),
      )
    )
  jobs_lib.run(jobs, workers=workers, progress=progress)


def _native(longer: int, *, rng: np.random.Generator) -> tuple[int, int]:
  """Of Montgomery's 138 films 41 are landscape."""
  shorter = round(longer * 4020 / 4892)
  return (shorter, longer) if rng.uniform() < 41 / 138 else (longer, shorter)


def _draw(job: Job) -> picture.Phantom:
  return picture.make_phantom(
    seed=job.seed,
    index=job.index,
    finding="tb" if job.ill else "normal",
    size=job.size,
  )


def _montgomery(job: Job) -> None:
  phantom = _draw(job)
  folder = Path(job.folder) / "MontgomerySet"
  stem = f"MCUCXR_{job.number:04d}_{int(job.ill)}"
  jobs_lib.save_png(
    folder / "CXR_png" / f"{stem}.png", Image.fromarray(phantom.image)
  )
  for name, lung in (("leftMask", phantom.right_lung),
                     ("rightMask", phantom.left_lung)):  # fmt: skip
    path = folder / "ManualMask" / name / f"{stem}.png"
    jobs_lib.save_png(path, Image.fromarray(lung))
  rng = job.rng(purpose=1)
  sex = str(rng.choice(["F", "M", "O"], p=[0.53, 0.46, 0.01]))
  age = int(rng.integers(4, 90))
  finding = "opacities suggestive of TB (phantom)" if job.ill else "normal"
  text = f"Patient's Sex: {sex} \nPatient's Age: {age:03d}Y\n{finding}\n"
  jobs_lib.replace(folder / "ClinicalReadings" / f"{stem}.txt", text.encode())


def _shenzhen(job: Job) -> None:
  phantom = _draw(job)
  root = Path(job.folder)
  stem = f"CHNCXR_{job.number:04d}_{int(job.ill)}"
  rng = job.rng(purpose=1)
  text = _shenzhen_reading(rng, ill=job.ill)
  image = Image.fromarray(phantom.image)
  if rng.uniform() < 27 / 662:
    image = image.convert("RGB")
  else:
    image = _palette(phantom.image)
  folder = root / "ChinaSet_AllFiles"
  jobs_lib.save_png(folder / "CXR_png" / f"{stem}.png", image)
  jobs_lib.replace(folder / "ClinicalReadings" / f"{stem}.txt", text.encode())
  if job.number not in _WITHOUT_MASK:
    both = (phantom.left_lung | phantom.right_lung).astype(np.uint8) * 255
    jobs_lib.save_png(root / "mask" / f"{stem}_mask.png", Image.fromarray(both))


def _palette(image: np.ndarray) -> Image.Image:
  """A palette image whose indices run from white to black.

  Whoever takes the indices for grey values sees a negative.
  """
  indexed = Image.fromarray(255 - image).convert("P")
  indexed.putpalette(
    np.arange(255, -1, -1).repeat(3).astype(np.uint8).tobytes()
  )
  return indexed


def _shenzhen_reading(rng: np.random.Generator, *, ill: bool) -> str:
  sex = str(rng.choice(["male", "female", "femal"], p=[0.66, 0.32, 0.02]))
  age = int(rng.integers(15, 90))
  person = str(rng.choice(_PEOPLE)).format(sex=sex, age=age)
  young = rng.uniform()
  if young < 0.02:
    person = (
      f"{sex} {age}days" if young < 0.005 else f"{sex} {1 + age % 24}month"
    )
  gap = "\r\n\r\n" if rng.uniform() < 0.1 else "\r\n"
  healthy = "normale" if rng.uniform() < 0.02 else "normal"
  return person + gap + ("PTB (phantom)\t" if ill else healthy)
