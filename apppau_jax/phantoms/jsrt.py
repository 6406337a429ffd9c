"""Phantoms as raw files in the layout of JSRT, with SCR's masks.

Everything that makes that layout a trap is there: no header, big-endian 12
bits, black film high, masks of half the size as GIFs in folders whose names
have blanks, clinical text with bare CRs and words cut across fields.
"""

import os
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from apppau_jax.datasets import jsrt
from apppau_jax.imaging import resample
from apppau_jax.phantoms import jobs as jobs_lib
from apppau_jax.phantoms import picture
from apppau_jax.phantoms.jobs import Job, Progress

_MILLIMETRES = 0.175  # of a pixel
_SKETCH = 256  # pixels; nodules are looked up in pictures of this size
_UNKNOWN_AGE = frozenset({106, 117})
_POSITIONS = ("l.upper lobe", "r.upper lobe(S1)", "r.middle lobe", "l.lingula")
_DIAGNOSES = {
  "malignant": ("lung cancer", "metastasis of colon cancer"),
  "benign": ("pulmonary hematoma", "granuloma", "tuberculoma"),
}
# After so many letters the text goes on in the next field.
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
  """Writes `All247images/`, `Clinical_Information/` and SCR's `scratch/`.

  62 % have a nodule (JPCLN), the others none (JPCNN), each numbered from 001.
  The odd ones of the list have their masks in fold1, the even ones in fold2.

  Args:
    raw_dir: the folder that will hold the three.
    count: how many images, 1 to 999.
    seed: non-negative; the same arguments write the same bytes.
    size: pixels a side, even; any but 2048 is refused by the builder.
    workers: processes; see `raw.write_montgomery`.
    progress: called with (written, count) after every image.

  Raises:
    DataError: a count or size that cannot be had.
  """
  jobs_lib.check(count, seed=seed, digits=3)
  share = jsrt.NODULES / (jsrt.NODULES + jsrt.NORMAL)
  nodules = jobs_lib.at_least_one(count, share=share)
  jobs = [
    Job(
      write=_write,
      folder=os.fspath(raw_dir),
      number=index + 1 - (index >= nodules) * nodules,
      ill=index < nodules,
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
    jobs_lib.replace(texts / name, text.encode("ascii"))


def to_raw(image: np.ndarray, *, rng: np.random.Generator) -> bytes:
  """A picture as JSRT would have digitised it.

  Args:
    image: uint8 [h, w], lungs dark.
    rng: of the four bits that a picture does not have.

  Returns:
    Big-endian 16-bit numbers, 4095 - 16 * image - (0 to 15); a few of the
    black ones above 4095.
  """
  fine = rng.integers(0, 16, image.shape, dtype=np.uint16)
  density = jsrt.BLACKEST - (image.astype(np.uint16) << 4) - fine
  density[(image == 0) & (rng.uniform(size=image.shape) < 0.01)] += 16
  return density.astype(">u2").tobytes()


def _draw(job: Job, *, finding: picture.Finding, side: int) -> picture.Phantom:
  return picture.make_phantom(
    seed=job.seed, index=job.index, finding=finding, size=(side, side)
  )


def _id(job: Job) -> str:
  return f"JPC{'LN' if job.ill else 'NN'}{job.number:03d}"


def _write(job: Job) -> None:
  root, side = Path(job.folder), job.size[0]
  finding = "nodule" if job.ill else "normal"
  phantom = _draw(job, finding=finding, side=side)
  image = phantom.image.copy()
  image[: side // 40, : side // 8] = 0  # blacked out, as names are there
  content = to_raw(image, rng=job.rng(purpose=1))
  jobs_lib.replace(root / "All247images" / f"{_id(job)}.IMG", content)
  masks = root / "scratch" / f"fold{1 + job.index % 2}" / "masks"
  for name, mask in (
    ("left lung", phantom.left_lung),
    ("right lung", phantom.right_lung),
    ("heart", phantom.heart),
    ("left clavicle", phantom.left_clavicle),
    ("right clavicle", phantom.right_clavicle),
  ):
    half = resample.resize_mask(mask, (side // 2, side // 2))
    grey = Image.fromarray(half.astype(np.uint8) * 255)
    jobs_lib.save(masks / name / f"{_id(job)}.gif", grey, "GIF", optimize=False)


def _nodule_line(job: Job, *, of: int) -> str:
  """A line of CLNDAT_EN: the nodule is where it was drawn."""
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
  """Where the densest nodule is (x, y in the 2048 frame), and about its mm."""
  with_it, without = (
    _draw(job, finding=finding, side=_SKETCH).image.astype(int)
    for finding in ("nodule", "normal")
  )
  more = with_it - without
  y, x = np.unravel_index(more.argmax(), more.shape)
  scale = jsrt.SIDE / _SKETCH
  parts, _ = ndimage.label(more > more.max() / 4)
  area = (parts == parts[y, x]).sum() * (scale * _MILLIMETRES) ** 2
  place = [int((n + 0.5) * scale) for n in (x, y)]
  return place[0], place[1], round(2 * float(np.sqrt(area / np.pi)))
