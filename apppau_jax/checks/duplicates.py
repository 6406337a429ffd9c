"""Find one image under two names, within a set or across sets.

Equal pixels have one SHA-256. A copy that was resized, compressed, brightened
or lightly blurred has a difference hash within `BITS` of 64, and fine detail
that correlates by `ALIKE` or more; detail is normalised locally, so that
borders and markers do not dominate. The hash alone is not enough, since chest
radiographs resemble each other. Of the 216,153 pairs of 658 different images
of Montgomery and Shenzhen (resampled copies) 2 % are within 4 bits, 19 % within
8. Their detail correlates by 0.713 at most, that of 200 phantoms by 0.772. The
lowest percentile of copies of the same images is 0.963 as JPEG of quality 30,
0.986 with gamma 1.4, 0.921 with noise of sd 8, 0.953 blurred by 1.5 of 128
pixels, 0.890 shifted by one, 0.878 with an equalised histogram, 0.928 with a
white marker of 30 x 12 pixels. Crops by 2 % or more are not found.
"""

import dataclasses
import itertools
from collections.abc import Iterator, Sequence

import numpy as np
from scipy import ndimage

from apppau_jax.checks.radiograph import Radiograph, shrink

BITS = 8  # of 64; only 93 % of copies shifted by a pixel are within 4
ALIKE = 0.85
_SIDE, _SPOT = 64, 9  # pixels: of the thumbnail, and the scale of detail
_FAINT = 2.0  # grey levels; fainter detail is not amplified
_ROWS = 512  # and columns of the table of pairs at a time
_MARGIN = 0.01  # by which rounded detail may correlate less


@dataclasses.dataclass(frozen=True)
class Pair:
  """Two names of one image.

  Attributes:
    first: an id.
    second: another, later in the order of the images.
    alike: correlation of their detail; 1 for equal pixels.
    equal: whether all pixels are equal.
  """

  first: str
  second: str
  alike: float
  equal: bool


def pairs(images: Sequence[Radiograph]) -> list[Pair]:
  """Returns all pairs that show one image; constant images are left out."""
  images = [image for image in images if image.levels > 1]
  if not images:
    return []
  place = {image.id: i for i, image in enumerate(images)}
  bits = np.stack([image.dhash for image in images])
  detail = np.stack([_rounded(_detail(image.sketch)) for image in images])
  found = []
  for rows, columns in _blocks(len(images)):
    far = np.bitwise_count(bits[rows, None] ^ bits[None, columns]).sum(axis=2)
    if not (far <= BITS).any():
      continue
    alike = _unit(detail[rows]) @ _unit(detail[columns]).T
    near = np.argwhere((far <= BITS) & (alike >= ALIKE - _MARGIN))
    for row, column in near:
      i, j = rows.start + row, columns.start + column
      if i < j and (pair := _pair(images[i], images[j])):
        found.append(pair)
  return sorted(found, key=lambda pair: place[pair.first])


def _blocks(count: int) -> Iterator[tuple[slice, slice]]:
  """Yields the blocks of the table of pairs on and above its diagonal."""
  starts = range(0, count, _ROWS)
  for first, second in itertools.combinations_with_replacement(starts, 2):
    yield slice(first, first + _ROWS), slice(second, second + _ROWS)


def _pair(a: Radiograph, b: Radiograph) -> Pair | None:
  """Returns the pair if the two show one image."""
  alike = float(_detail(a.sketch) @ _detail(b.sketch))
  equal = a.sha256 == b.sha256
  return Pair(a.id, b.id, round(alike, 3), equal) if alike >= ALIKE else None


def _rounded(detail: np.ndarray) -> np.ndarray:
  """Returns int8 in proportion, a quarter of the memory."""
  return np.rint(detail * (127 / max(np.abs(detail).max(), 1e-6))).astype(
    np.int8
  )


def _unit(rounded: np.ndarray) -> np.ndarray:
  """Returns float32 rows of norm 1."""
  rows = rounded.astype(np.float32)
  return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)


def _detail(sketch: np.ndarray) -> np.ndarray:
  """Returns the fine structure of an image, mean 0, norm 1; float32 [4096]."""
  small = shrink(sketch, _SIDE).astype(np.float32)
  fine = small - ndimage.uniform_filter(small, _SPOT)
  power = np.maximum(ndimage.uniform_filter(fine**2, _SPOT), 0.0)
  fine = (fine / (np.sqrt(power) + _FAINT)).ravel()
  fine -= fine.mean()
  return fine / max(float(np.linalg.norm(fine)), 1e-6)
