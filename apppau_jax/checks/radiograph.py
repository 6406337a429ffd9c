"""What is measured of one image and its mask: all that the checks look at."""

import dataclasses
import functools
import hashlib

import numpy as np
from scipy import ndimage

from apppau_jax.imaging import polarity as contrast
from apppau_jax.imaging import reading

SKETCH = 128  # pixels; where lungs lie is measured at this size
POSSIBLE = (0.05, 0.60)  # of the image, as in reading.check_polarity
MOST_FRAME = 0.5  # of the outermost pixels
_SPECK = 0.001  # of the image: smaller pieces are the pen's slips
_HASH = (8, 9)  # rows, columns


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lungs:
  """What is measured of a mask.

  Attributes:
    fraction: of the image.
    frame: of the image's outermost pixels.
    pieces: connected ones, specks not counted.
    contrast: by how many grey levels the lungs are darker than their ring.
    mirrored: the same with the mask mirrored, left for right.
    upended: the same with the mask upside down.
    heart: how far the gap between the lungs lies right of the middle, at the
      height of the heart, in widths of the chest; None: no gap.
  """

  fraction: float
  frame: float
  pieces: int
  contrast: float
  mirrored: float
  upended: float
  heart: float | None

  @property
  def possible(self) -> bool:
    """Whether it may be a lung mask; preparing refuses one that is not."""
    least, most = POSSIBLE
    return least <= self.fraction <= most and self.frame <= MOST_FRAME


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Film:
  """One image, measured.

  Attributes:
    id: its name.
    source: the set it belongs to.
    label: its class, by name; "" where unknown.
    patient: the id where nothing is known.
    part: train, validation or test, where the set itself tells; or "".
    text: the finding in the words of its reading, or "".
    path: the file, for messages; "" in prepared data.
    size: (height, width) of the file.
    sha256: of the pixels and their shape.
    levels: how many grey levels occur.
    spread: 99th less 1st percentile of the grey levels.
    extreme: share of pixels that are 0 or 255.
    dhash: uint8 [8], 64 bits: is a pixel of a 9 x 8 copy brighter than its
      left neighbour.
    sketch: uint8 [128, 128].
    outline: bool [128, 128], the lungs; None without a mask.
    lungs: None without a mask, or where it is empty or everywhere.
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
  sketch: np.ndarray
  outline: np.ndarray | None
  lungs: Lungs | None

  @property
  def name(self) -> str:
    """What messages call it."""
    return self.path or self.id


def measure(image: np.ndarray, mask: np.ndarray | None, **told) -> Film:
  """Measures an image.

  Args:
    image: uint8 [h, w].
    mask: bool, True in the lungs, of the same frame; None without one.
    **told: id, source, label, patient, part, text, path, size.
  """
  digest = hashlib.sha256(str(image.shape).encode())
  digest.update(image.tobytes())
  counts = np.bincount(image.ravel(), minlength=256)
  low, high = np.searchsorted(
    np.cumsum(counts), [0.01 * image.size, 0.99 * image.size]
  )
  sketch = shrink(image, SKETCH)
  outline = None if mask is None else _outline(mask)
  return Film(
    sha256=digest.hexdigest(),
    levels=int((counts > 0).sum()),
    spread=int(high - low),
    extreme=float((counts[0] + counts[255]) / image.size),
    dhash=dhash(sketch),
    sketch=sketch,
    outline=outline,
    lungs=_lungs(sketch, mask, outline),
    **told,
  )


def dhash(sketch: np.ndarray) -> np.ndarray:
  """The difference hash of uint8 [h, w]: 64 bits as uint8 [8]."""
  down, across = (_bands(n, of) for n, of in zip(_HASH, sketch.shape))
  # Sums of whole numbers, exact: equal areas compare as equal everywhere.
  small = down @ sketch.astype(float) @ across.T
  return np.packbits(small[:, 1:] > small[:, :-1])


@functools.cache
def _bands(count: int, size: int) -> np.ndarray:
  """What each of `count` equal bands covers of `size` pixels, in 1/count."""
  edges = np.arange(count + 1)[:, None] * size
  pixels = np.arange(size + 1)[None] * count
  before = np.minimum(edges, pixels)
  return np.diff(np.diff(before, axis=0), axis=1).astype(float)


def shrink(image: np.ndarray, side: int) -> np.ndarray:
  """`reading.resize_area` of uint8 [h, w] to a square."""
  h, w = image.shape
  if h % side or w % side:
    return reading.resize_area(image, (side, side))
  blocks = image.reshape(side, h // side, side, w // side)
  total, area = blocks.sum(axis=(1, 3), dtype=np.int64), h * w // side**2
  return ((2 * total + area) // (2 * area)).astype(np.uint8)


def _outline(mask: np.ndarray) -> np.ndarray:
  h, w = mask.shape
  if h % SKETCH or w % SKETCH:
    return reading.resize_mask(mask, (SKETCH, SKETCH))
  blocks = mask.reshape(SKETCH, h // SKETCH, SKETCH, w // SKETCH)
  return 2 * blocks.sum(axis=(1, 3)) >= h * w // SKETCH**2


def _lungs(
  sketch: np.ndarray, mask: np.ndarray | None, outline: np.ndarray | None
) -> Lungs | None:
  if mask is None or outline is None or outline.all() or not outline.any():
    return None
  frame = np.concatenate([mask[0], mask[-1], mask[1:-1, 0], mask[1:-1, -1]])
  ring = contrast.surroundings(outline)
  own, mirrored, upended = (
    float(turned[ring].mean() - turned[outline].mean())
    for turned in (sketch, sketch[:, ::-1], sketch[::-1])
  )
  labels, _ = ndimage.label(outline)
  sizes = np.bincount(labels.ravel())[1:]
  return Lungs(
    fraction=float(mask.mean()),
    frame=float(frame.mean()),
    pieces=int((sizes >= _SPECK * outline.size).sum()),
    contrast=own,
    mirrored=mirrored,
    upended=upended,
    heart=_heart(outline),
  )


def _heart(lungs: np.ndarray) -> float | None:
  """Where the gap between the lungs lies, at the height of the heart."""
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
