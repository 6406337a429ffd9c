"""Masks from run lengths, as text or as COCO's counts.

- `decode_pairs`: start and length of each run. CheXmask counts pixels from 1,
  row by row. SIIM-ACR counts down the columns and states each start as the
  distance from the end of the run before.
- `decode_counts`: COCO's lengths of runs outside and inside in turn, down the
  columns, as numbers or packed into characters.

The texts may come from an untrusted file: their numbers are bounded, and runs
that overlap or leave the image are refused.
"""

import re
from collections.abc import Sequence

import numpy as np

from apppau_jax.imaging import decode

NONE = "-1"  # the text of SIIM-ACR for a mask without a pixel
MAX_CHARACTERS = 2**23
_PAIRS = re.compile(r"(?:[0-9]{1,10} [0-9]{1,10} ?)+")
_MOST = 10**10  # of a number of COCO


def decode_pairs(
  text: str,
  size: tuple[int, int],
  *,
  columns: bool = False,
  first: int = 1,
  relative: bool = False,
) -> np.ndarray:
  """Decodes the starts and lengths of runs.

  Args:
    text: pairs of numbers, separated by blanks; `-1` for no pixel.
    size: the (height, width) of the mask.
    columns: pixels are counted down the columns, not along the rows.
    first: the number of the first pixel, 0 or 1.
    relative: a start is the distance from the end of the run before.

  Returns:
    bool [h, w], True inside.

  Raises:
    ValueError: other text, or runs that are empty, overlap or leave the image.

  Example:
    >>> decode_pairs("2 1 4 2", (2, 3)).astype(int).tolist()
    [[0, 1, 0], [1, 1, 0]]
  """
  _check_size(size)
  if text.strip() == NONE:
    return np.zeros(size, bool)
  starts, lengths = _numbers(text)
  if relative:
    starts = np.cumsum(starts) + np.cumsum(lengths) - lengths
  return _filled(starts - first, lengths, size, columns=columns)


def decode_counts(
  counts: str | Sequence[int], size: tuple[int, int]
) -> np.ndarray:
  """Decodes the counts of a COCO mask, packed or as numbers.

  Args:
    counts: `segmentation.counts` of an annotation.
    size: its `segmentation.size`, (height, width).

  Returns:
    bool [h, w], True inside.

  Raises:
    ValueError: the runs do not cover the image exactly once.

  Example:
    >>> decode_counts([1, 2, 1], (2, 2)).astype(int).tolist()
    [[0, 1], [1, 0]]
  """
  _check_size(size)
  if len(counts) > MAX_CHARACTERS:
    raise ValueError(f"it has more than {MAX_CHARACTERS:,} counts")
  runs = _unpacked(counts) if isinstance(counts, str) else [*counts]
  pixels = size[0] * size[1]
  if not all(0 <= run <= pixels for run in runs) or sum(runs) != pixels:
    raise ValueError(
      f"its counts do not add up to the {pixels:,} pixels of the mask"
    )
  inside = np.arange(len(runs)) % 2 == 1
  return np.repeat(inside, np.array(runs, np.int64)).reshape(size[::-1]).T


def _numbers(text: str) -> tuple[np.ndarray, np.ndarray]:
  if len(text) > MAX_CHARACTERS:
    raise ValueError(f"it has more than {MAX_CHARACTERS:,} characters")
  text = " ".join(text.split())
  if not _PAIRS.fullmatch(text):
    raise ValueError(
      f"{text[:40]!r} is not pairs of numbers, start and length of each run"
    )
  values = np.array(text.split(), np.int64)
  return values[::2], values[1::2]


def _filled(
  starts: np.ndarray,
  lengths: np.ndarray,
  size: tuple[int, int],
  *,
  columns: bool,
) -> np.ndarray:
  """Returns the mask of runs that follow each other, counted from 0."""
  ends, pixels = starts + lengths, size[0] * size[1]
  if (lengths < 1).any():
    raise ValueError(f"run {_first(lengths < 1)} has no length")
  overlaps = starts[1:] < ends[:-1]
  if overlaps.any():
    raise ValueError(
      f"run {_first(overlaps) + 1} begins before the end of the run before"
    )
  if starts[0] < 0 or ends[-1] > pixels:
    raise ValueError(f"its runs leave the {pixels:,} pixels of the image")
  steps = np.zeros(pixels + 1, np.int8)
  steps[starts] += 1
  steps[ends] -= 1
  flat = np.cumsum(steps[:-1], dtype=np.int8).astype(bool)
  return flat.reshape(size[::-1]).T if columns else flat.reshape(size)


def _first(found: np.ndarray) -> int:
  """Returns the number, from 1, of the first True."""
  return int(found.argmax()) + 1


def _unpacked(text: str) -> list[int]:
  """Returns the numbers that COCO packs into characters of six bits.

  The lower five bits of a character are digits, the lowest first, and the sixth
  says that more follow. From the fourth on, numbers are differences from the
  one before the last.
  """
  runs: list[int] = []
  value = digits = 0
  for character in text:
    bits = ord(character) - 48
    if not 0 <= bits < 64:
      raise ValueError(f"{character!r} is no character of packed counts")
    value |= (bits & 31) << 5 * digits
    digits += 1
    if bits & 32:
      if digits > 7:
        raise ValueError("a count has more than 35 bits")
      continue
    if bits & 16:
      value -= 1 << 5 * digits
    runs.append(value + (runs[-2] if len(runs) > 2 else 0))
    if not 0 <= runs[-1] < _MOST:
      raise ValueError(f"count {len(runs)} is {runs[-1]}")
    value = digits = 0
  if digits:
    raise ValueError("its last count is incomplete")
  return runs


def _check_size(size: tuple[int, int]) -> None:
  height, width = size
  if not (
    0 < height <= decode.MAX_SIDE
    and 0 < width <= decode.MAX_SIDE
    and height * width <= decode.MAX_PIXELS
  ):
    raise ValueError(f"{width}x{height} pixels is no size of a radiograph")
