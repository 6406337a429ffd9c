"""Lung masks: decoding, and the checks that preparing and validation share."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from apppau_jax.errors import DataError
from apppau_jax.imaging import decode

POSSIBLE = (0.05, 0.60)  # of the image; no lung mask covers less or more
USUAL = (0.10, 0.50)  # of the image
MOST_FRAME = 0.5  # of the outermost pixels


class FrameError(DataError):
  """A mask has another size than its image."""


def read_mask(content: bytes | Path, *, name: str = "") -> np.ndarray:
  """Decodes one mask whose only values are {0, 1} or {0, full scale}.

  Args:
    content: the encoded bytes, or the path of a file.
    name: of the file, for messages; the path by default.

  Returns:
    bool [h, w], True inside.

  Raises:
    DataError: other values (the message has their histogram), or any of the
      reasons of `decode.read_grey`.
  """
  name = name or decode.default_name(content)
  grey = decode.read_levels(content, name=name)
  inside = grey != 0
  high, full = grey.max(), np.iinfo(grey.dtype).max
  at_high = np.count_nonzero(grey == high) if high else 0
  if high not in (0, 1, full) or at_high != np.count_nonzero(inside):
    counts = np.bincount(grey.ravel())
    values = np.flatnonzero(counts)
    common = values[np.argsort(-counts[values], kind="stable")[:8]]
    histogram = ", ".join(f"{value}: {counts[value]}" for value in common)
    raise DataError(
      f"The mask {name} holds {len(values)} different values ({histogram}"
      f"{', ...' if len(values) > 8 else ''}), but only {{0, 1}} or "
      f"{{0, {full}}} are valid. Threshold it, or export it again without "
      "smoothing."
    )
  return inside


class Coverage(NamedTuple):
  """How much of an image a mask covers, as fractions.

  Attributes:
    image: of all pixels.
    frame: of the outermost pixels.
  """

  image: float
  frame: float

  @property
  def is_possible(self) -> bool:
    """Whether a lung mask may cover this much."""
    least, most = POSSIBLE
    return least <= self.image <= most and self.frame <= MOST_FRAME

  @property
  def is_usual(self) -> bool:
    """Whether most lung masks cover about this much."""
    return USUAL[0] <= self.image <= USUAL[1]


def coverage(mask: np.ndarray) -> Coverage:
  """Measures bool [h, w]."""
  frame = np.concatenate([mask[0], mask[-1], mask[1:-1, 0], mask[1:-1, -1]])
  return Coverage(float(mask.mean()), float(frame.mean()))


def check_lungs(mask: np.ndarray, *, name: str) -> str:
  """Checks that True means lung, by the area that lungs cover.

  Args:
    mask: bool [h, w], lungs True.
    name: of the image, for messages.

  Returns:
    A warning for an unusual area, else "".

  Raises:
    DataError: the mask is inverted, empty or not a lung mask.
  """
  covered = coverage(mask)
  if not covered.is_possible:
    raise DataError(
      f"The mask of {name} covers {covered.image:.1%} of the image and "
      f"{covered.frame:.1%} of its frame; lungs cover 5 % to 60 % and rarely "
      "the frame. It is empty, inverted, or not a lung mask."
    )
  if not covered.is_usual:
    return f"lungs cover {covered.image:.1%} of the image (usual: 10 % to 50 %)"
  return ""


def check_frame(
  mask: tuple[int, ...], image: tuple[int, ...], *, name: str, scaled: bool
) -> None:
  """Checks that a mask shows the frame of its image.

  Args:
    mask: its (height, width).
    image: that of the image, or of another of its masks.
    name: of the mask, for messages.
    scaled: the mask may be coarser or finer by the same integer in both
      directions.

  Raises:
    FrameError: it does not.
  """
  (h, w), (rows, columns) = image, mask
  multiple = h * columns == w * rows and not (h % rows and rows % h)
  if mask == image or (scaled and multiple):
    return
  raise FrameError(
    f"The mask {name} is {columns}x{rows} pixels but its image is {w}x{h}. "
    "They must match pixel by pixel; neither is stretched."
  )
