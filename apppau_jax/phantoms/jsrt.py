"""Writes phantoms in the published layouts of JSRT and of its SCR masks.

Images have no header and hold big-endian 12-bit numbers, high where the film is
black. Masks are GIFs of half the size in folders whose names contain blanks.
Lines of the clinical texts end in CR, and words are cut across fields.
"""

import dataclasses
import os
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from apppau_jax import files
from apppau_jax.datasets import jsrt
from apppau_jax.imaging import resample
from apppau_jax.phantoms import jobs as jobs_lib
from apppau_jax.phantoms.jobs import Job, Progress

_MILLIMETRES = 0.175  # per pixel of 2048
_SKETCH = 256  # side of the images in which nodules are located
_UNKNOWN_AGE = frozenset({106, 117})
_POSITIONS = ("l.upper lobe", "r.upper lobe(S1)", "r.middle lobe", "l.lingula")
_DIAGNOSES = {
  "malignant": ("lung cancer", "metastasis of colon cancer"),
  "benign": ("pulmonary hematoma", "granuloma", "tuberculoma"),
}
# Number of letters after which a text continues in the next field.
_POSITION_CUT, _DIAGNOSIS_CUT = 7, 12


def write_jsrt(
  raw_dir: str | os.PathLike[str],
  *,
  count: int = jsrt.NODULES + jsrt.NORMAL,
  seed: int = 0,
  size: int = jsrt.SIDE,
  workers: int = 1,
  progress: Progress | None = None,
) -> None:
  """Writes `All247images/`, `Clinical_Information/` and `scratch/` (masks).

  62 % of the images have a nodule (JPCLN), the others have none (JPCNN); both
  are numbered from 001. Masks alternate between fold1 and fold2.

  Args:
    raw_dir: folder that will contain the three.
    count: number of images, 1 to 999.
    seed: seed of the collection, >= 0. The same arguments write the same bytes.
    size: side in pixels, even. The builder of JSRT refuses all but 2048.
    workers: number of processes; see `raw_files.write_montgomery`.
    progress: called with (images written, count) after every image.

  Raises:
    ValueError: an argument is out of range.
  """
  jobs_lib.check(count, seed=seed, digits=3)
  share = jsrt.NODULES / (jsrt.NODULES + jsrt.NORMAL)
  nodules = jobs_lib.at_least_one(count, share=share)
  jobs = [
    Job(
      write=_write,
      folder=Path(raw_dir),
      number=index + 1 - (index >= nodules) * nodules,
      abnormal=index < nodules,
      index=index,
      seed=seed,
      size=(size, size),
    )
    for index in range(count)
  ]
  jobs_lib.run(jobs, workers=workers, progress=progress)
  texts = Path(raw_dir) / "Clinical_Information"
  for name, lines in (
    ("CLNDAT_EN.txt", [_nodule_line(j, of=nodules) for j in jobs[:nodules]]),
    ("CNNDAT_EN.TXT", [_normal_line(j) for j in jobs[nodules:]]),
  ):
    text = "".join(f"{line}\r" for line in lines)
    files.write_bytes(texts / name, text.encode("ascii"))


def to_raw(image: np.ndarray, *, rng: np.random.Generator) -> bytes:
  """Encodes an image as JSRT does.

  Args:
    image: uint8 [h, w] with dark lungs.
    rng: generator of the four lowest bits, which `image` does not have.

  Returns:
    Big-endian 16-bit numbers 4095 - 16 * image - (0 to 15). About 1 % of the
    black pixels are above 4095.
  """
  fine = rng.integers(0, 16, image.shape, dtype=np.uint16)
  density = jsrt.BLACKEST - (image.astype(np.uint16) << 4) - fine
  density[(image == 0) & (rng.uniform(size=image.shape) < 0.01)] += 16
  return density.astype(">u2").tobytes()


def _id(job: Job) -> str:
  return f"JPC{'LN' if job.abnormal else 'NN'}{job.number:03d}"


def _write(job: Job) -> None:
  side = job.size[0]
  phantom = job.draw("nodule")
  image = phantom.image.copy()
  image[: side // 40, : side // 8] = 0  # JSRT's names were blackened here
  content = to_raw(image, rng=job.rng(purpose=1))
  files.write_bytes(job.folder / "All247images" / f"{_id(job)}.IMG", content)
  masks = job.folder / "scratch" / f"fold{1 + job.index % 2}" / "masks"
  for name, mask in (
    ("left lung", phantom.left_lung),
    ("right lung", phantom.right_lung),
    ("heart", phantom.heart),
    ("left clavicle", phantom.left_clavicle),
    ("right clavicle", phantom.right_clavicle),
  ):
    half = resample.resize_mask(mask, (side // 2, side // 2))
    grey = Image.fromarray(half.astype(np.uint8) * 255)
    jobs_lib.save(masks / name / f"{_id(job)}.gif", grey, "GIF")


def _nodule_line(job: Job, *, of: int) -> str:
  """Returns a line of CLNDAT_EN with the position of the drawn nodule."""
  rng = job.rng(purpose=2)
  age = "?" if job.number in _UNKNOWN_AGE else str(rng.integers(30, 85))
  kind = "malignant" if rng.uniform() < 100 / 154 else "benign"
  position = str(rng.choice(_POSITIONS))
  diagnosis = str(rng.choice(_DIAGNOSES[kind]))
  x, y, size = _nodule(job)
  cells = [
    f"{_id(job)}.IMG", 5 - 5 * job.index // of, size, age, _sex(rng), x, y,
    kind, position[:_POSITION_CUT], position[_POSITION_CUT:],
    diagnosis[:_DIAGNOSIS_CUT], diagnosis[_DIAGNOSIS_CUT:],
  ]  # fmt: skip
  return "\t".join(map(str, cells))


def _normal_line(job: Job) -> str:
  rng = job.rng(purpose=2)
  return f"{_id(job)}.IMG {rng.integers(20, 85)}  {_sex(rng)}  non-nodule"


def _sex(rng: np.random.Generator) -> str:
  return str(rng.choice(["male", "female"]))


def _nodule(job: Job) -> tuple[int, int, int]:
  """Returns x and y (of 2048) of the densest nodule and its size in mm."""
  sketch = dataclasses.replace(job, size=(_SKETCH, _SKETCH))
  with_nodule, without = (
    sketch.draw(finding).image.astype(int) for finding in ("nodule", "normal")
  )
  more = with_nodule - without
  y, x = np.unravel_index(more.argmax(), more.shape)
  scale = jsrt.SIDE / _SKETCH
  parts, _ = ndimage.label(more > more.max() / 4)
  area = (parts == parts[y, x]).sum() * (scale * _MILLIMETRES) ** 2
  place = [int((n + 0.5) * scale) for n in (x, y)]
  return place[0], place[1], round(2 * float(np.sqrt(area / np.pi)))
