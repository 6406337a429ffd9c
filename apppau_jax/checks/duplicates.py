"""One picture under two names, within a set or in two.

Pixels that are equal have one SHA-256. A copy that was resized, compressed,
brightened or lightly blurred has a difference hash within `BITS` of 64, and
fine detail that correlates by `ALIKE` or more, each spot of it brought to the
same contrast, lest borders and markers decide. The hash alone would not do:
chest films are alike. Of the 216,153 pairs of 658 different films of
Montgomery and Shenzhen (resampled copies) 2 % are within 4 bits, 19 % within 8.
Their detail correlates by .713 at most, that of 200 phantoms by .772. Copies of
the same films reach, at the lowest one percent, .963 as JPEG of quality 30,
.986 with gamma 1.4, .921 with noise of sd 8, .953 blurred by 1.5 pixels of 128,
.890 shifted by one, .878 with an equalised histogram, .928 with a white marker
of 30 x 12 pixels. Cropped by 2 % or more they are not found.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from apppau_jax.checks.radiograph import Film, shrink

BITS = 8  # of 64; within 4 are but 93 % of the copies shifted by a pixel
ALIKE = 0.85
_SIDE, _SPOT = 64, 9  # pixels: of the thumbnail, of what counts as detail
_FAINT = 2.0  # grey levels; fainter detail is not brought up to the rest
_ROWS = 256  # of the table of pairs at a time


@dataclasses.dataclass(frozen=True)
class Pair:
  """Two names for one picture.

  Attributes:
    first: an id.
    second: another, later in the order of films.
    alike: correlation of their detail; 1 for equal pixels.
    equal: whether all pixels are.
  """

  first: str
  second: str
  alike: float
  equal: bool


def pairs(films: Sequence[Film]) -> list[Pair]:
  """All pairs of films that show one picture; constant ones left out."""
  films = [film for film in films if film.levels > 1]
  if not films:
    return []
  bits = np.stack([film.dhash for film in films])
  detail = np.stack([_detail(film.sketch) for film in films])
  found = []
  for start in range(0, len(films), _ROWS):
    rows = slice(start, start + _ROWS)
    far = np.bitwise_count(bits[rows, None] ^ bits[None]).sum(axis=2)
    alike = detail[rows] @ detail.T
    near = (far <= BITS) & (alike >= ALIKE)
    for row, j in np.argwhere(near):
      i = start + row
      if i < j:
        a, b = films[i], films[j]
        equal = a.sha256 == b.sha256
        found.append(Pair(a.id, b.id, round(float(alike[row, j]), 3), equal))
  return found


def _detail(sketch: np.ndarray) -> np.ndarray:
  """The fine structure of a film, mean 0, norm 1; float32 [4096]."""
  small = shrink(sketch, _SIDE).astype(np.float32)
  fine = small - ndimage.uniform_filter(small, _SPOT)
  power = np.maximum(ndimage.uniform_filter(fine**2, _SPOT), 0.0)
  fine = (fine / (np.sqrt(power) + _FAINT)).ravel()
  fine -= fine.mean()
  return fine / max(float(np.linalg.norm(fine)), 1e-6)
