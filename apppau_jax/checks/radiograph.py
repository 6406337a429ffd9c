"""Measurements of one image and its mask, on which all checks are based."""

import dataclasses
import functools
import hashlib
import zlib

import numpy as np
from scipy import ndimage

from apppau_jax.imaging import masks, polarity, resample
from apppau_jax.imaging.masks import Coverage
from apppau_jax.imaging.remarks import Histogram
from apppau_jax.imaging.structure import LUNGS, Structure

SKETCH = 128  # pixels; the position of lungs is measured at this size
_SPECK = 0.001  # of the image; smaller pieces are not counted
_HASH = (8, 9)  # rows, columns


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lungs:
  """Measurements of a mask.

  Attributes:
    covered: its area.
    pieces: connected components, small ones not counted.
    contrast: by how many grey levels the lungs are darker than their ring.
    mirrored: the same with the mask mirrored, left for right.
    upended: the same with the mask upside down.
    heart: how far the gap between the lungs lies right of the middle, at the
      height of the heart, in widths of the chest; None without a gap.
  """

  covered: Coverage
  pieces: int
  contrast: float
  mirrored: float
  upended: float
  heart: float | None


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Radiograph:
  """Measurements of one image.

  Attributes:
    id: its name.
    source: the set it belongs to.
    label: the name of its class; "" if unknown.
    patient: the id if unknown.
    part: train, validation or test, if the set itself states it; or "".
    text: the finding of the clinical reading, or "".
    path: the file, for messages; "" in prepared data.
    size: (height, width) of the file.
    sha256: of the pixels and their shape.
    levels: number of grey levels that occur.
    spread: difference of the 99th and 1st percentile of the grey levels.
    extreme: share of pixels that are 0 or 255.
    dhash: uint8 [8], 64 bits: whether a pixel of a 9 x 8 copy is brighter than
      its left neighbour.
    packed_sketch: the sketch, compressed: a set has tens of thousands.
    packed_outline: the outline, compressed; None without a mask.
    covered: the area of the mask; None without a mask.
    outlined: what the mask outlines.
    lungs: None without a mask of the lungs, or if the sketch shows none or
      nothing else.
    remarks: on the header of the file.
  """

  id: str
  source: str
  label: str
  patient: str
  part: str
  text: str
  path: str
  size: tuple[int, int]
  sha256: str
  levels: int
  spread: int
  extreme: float
  dhash: np.ndarray
  packed_sketch: bytes
  packed_outline: bytes | None
  covered: Coverage | None
  outlined: Structure
  lungs: Lungs | None
  remarks: tuple[str, ...] = ()

  @property
  def sketch(self) -> np.ndarray:
    """A small copy, uint8 [128, 128]."""
    pixels = np.frombuffer(zlib.decompress(self.packed_sketch), np.uint8)
    return pixels.reshape(SKETCH, SKETCH)

  @property
  def outline(self) -> np.ndarray | None:
    """The mask, bool [128, 128]; None without one."""
    if self.packed_outline is None:
      return None
    bits = np.frombuffer(zlib.decompress(self.packed_outline), np.uint8)
    return np.unpackbits(bits).astype(bool).reshape(SKETCH, SKETCH)

  @property
  def name(self) -> str:
    """Its name for messages."""
    return self.path or self.id


def measure(
  image: np.ndarray,
  mask: np.ndarray | None,
  *,
  outlined: Structure = LUNGS,
  **facts,
) -> Radiograph:
  """Measures an image.

  Args:
    image: uint8 [h, w].
    mask: bool, True inside, of the same frame; None without one.
    outlined: what the mask outlines.
    **facts: id, source, label, patient, part, text, path, size, remarks.
  """
  digest = hashlib.sha256(str(image.shape).encode())
  digest.update(image.tobytes())
  used = Histogram.of(image)
  sketch = shrink(image, SKETCH)
  outline = covered = None
  if mask is not None:
    outline, covered = _outline(mask), masks.coverage(mask)
  return Radiograph(
    sha256=digest.hexdigest(),
    **used._asdict(),
    dhash=dhash(sketch),
    packed_sketch=zlib.compress(sketch.tobytes()),
    packed_outline=None
    if outline is None
    else zlib.compress(np.packbits(outline).tobytes()),
    covered=covered,
    outlined=outlined,
    lungs=_lungs(sketch, outline, covered) if outlined == LUNGS else None,
    **facts,
  )


def dhash(sketch: np.ndarray) -> np.ndarray:
  """Returns the difference hash of uint8 [h, w]: 64 bits as uint8 [8]."""
  down, across = (_bands(n, of) for n, of in zip(_HASH, sketch.shape))
  # Exact sums of integers, so that equal areas compare equal everywhere.
  small = down @ sketch.astype(float) @ across.T
  return np.packbits(small[:, 1:] > small[:, :-1])


@functools.cache
def _bands(count: int, size: int) -> np.ndarray:
  """Returns how much of each pixel each band covers, in 1/count."""
  edges = np.arange(count + 1)[:, None] * size
  pixels = np.arange(size + 1)[None] * count
  before = np.minimum(edges, pixels)
  return np.diff(np.diff(before, axis=0), axis=1).astype(float)


def shrink(image: np.ndarray, side: int) -> np.ndarray:
  """Resamples uint8 [h, w] to a square, as `resample.resize_area` does."""
  h, w = image.shape
  if h % side or w % side:
    return resample.resize_area(image, (side, side))
  blocks = image.reshape(side, h // side, side, w // side)
  total, area = blocks.sum(axis=(1, 3), dtype=np.int64), h * w // side**2
  return ((2 * total + area) // (2 * area)).astype(np.uint8)


def _outline(mask: np.ndarray) -> np.ndarray:
  h, w = mask.shape
  if h % SKETCH or w % SKETCH:
    return resample.resize_mask(mask, (SKETCH, SKETCH))
  blocks = mask.reshape(SKETCH, h // SKETCH, SKETCH, w // SKETCH)
  return 2 * blocks.sum(axis=(1, 3)) >= h * w // SKETCH**2


def _lungs(
  sketch: np.ndarray, outline: np.ndarray | None, covered: Coverage | None
) -> Lungs | None:
  if covered is None or outline is None or outline.all() or not outline.any():
    return None
  ring = polarity.surroundings(outline)
  own, mirrored, upended = (
    float(turned[ring].mean() - turned[outline].mean())
    for turned in (sketch, sketch[:, ::-1], sketch[::-1])
  )
  labels, _ = ndimage.label(outline)
  sizes = np.bincount(labels.ravel())[1:]
  return Lungs(
    covered=covered,
    pieces=int((sizes >= _SPECK * outline.size).sum()),
    contrast=own,
    mirrored=mirrored,
    upended=upended,
    heart=_heart(outline),
  )


def _heart(lungs: np.ndarray) -> float | None:
  """Returns where the gap between the lungs lies, at the heart's height."""
  rows = np.flatnonzero(lungs.any(axis=1))
  top, bottom = rows[0], rows[-1]
  offsets = []
  for row in range((top + bottom) // 2, bottom - (bottom - top) // 8, 4):
    inside = np.flatnonzero(lungs[row])
    gaps = np.diff(inside)
    if not len(gaps) or gaps.max() < 3:
      continue
    at = gaps.argmax()
    gap, chest = inside[at] + inside[at + 1], inside[0] + inside[-1]
    offsets.append((gap - chest) / 2 / (inside[-1] - inside[0]))
  return float(np.mean(offsets)) if offsets else None
