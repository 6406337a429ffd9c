"""Remarks on what is unusual about an image or about lungs found in it.

The thresholds pass the 658 images and 562 masks of Montgomery and Shenzhen at
hand (resampled copies), whose extreme values are given beside them.
"""

from typing import NamedTuple

import numpy as np

from apppau_jax.imaging import grey_levels, masks, polarity, resample, view
from apppau_jax.imaging.film import Film
from apppau_jax.imaging.structure import LUNGS

SMALLEST = 128  # pixels a side; the smallest resolution that is prepared
LONGEST = 2.0  # times the shorter side; measured: 1.22
FEWEST_LEVELS = 32  # of 256; measured: 224 or more
SMALLEST_SPREAD = 64  # grey levels; measured: 173 or more
MOST_EXTREME = 0.7  # of the pixels; measured: 0.59 or less (black borders)
SMALL = (128, 128)  # at which lungs are compared with their surroundings


class Histogram(NamedTuple):
  """What the grey levels of an image use of the range.

  Attributes:
    levels: number of the 256 levels that occur.
    spread: difference of the 99th and 1st percentile.
    extreme: share of pixels that are 0 or 255.
  """

  levels: int
  spread: int
  extreme: float

  @classmethod
  def of(cls, image: np.ndarray) -> "Histogram":
    """Measures uint8 [h, w]."""
    counts = np.bincount(image.ravel(), minlength=256)
    ends = [0.01 * image.size, 0.99 * image.size]
    low, high = np.searchsorted(np.cumsum(counts), ends)
    return cls(
      levels=int((counts > 0).sum()),
      spread=int(high - low),
      extreme=float((counts[0] + counts[255]) / image.size),
    )

  def describe(self) -> str:
    """Returns a remark on few levels or mostly black and white, or ""."""
    reasons = []
    if self.levels < FEWEST_LEVELS:
      reasons.append(f"{self.levels} grey levels")
    if self.spread < SMALLEST_SPREAD:
      reasons.append(f"98 % of the pixels within {self.spread} grey levels")
    if self.extreme > MOST_EXTREME:
      reasons.append(f"{self.extreme:.0%} of the pixels black or white")
    return ", ".join(reasons)


def describe_size(size: tuple[int, int]) -> str:
  """Returns a remark on an unusual (height, width), or ""."""
  short, long = sorted(size)
  if short >= SMALLEST and long <= LONGEST * short:
    return ""
  return f"{size[1]}x{size[0]} pixels"


def on_image(film: Film) -> tuple[str, ...]:
  """Returns what is unusual about an image, one sentence each."""
  height, width = film.levels.shape
  sentences = {
    "The image has {}.": Histogram.of(
      grey_levels.shallow(film.levels)
    ).describe(),
    "The image has an unusual size, {}.": describe_size((height, width)),
    "The image may be {}.": view.describe(film.levels),
  }
  found = [text.format(what) for text, what in sentences.items() if what]
  return (*film.remarks, *found)


def on_lungs(image: np.ndarray, lungs: np.ndarray) -> tuple[str, ...]:
  """Returns what is unusual about the lungs that were found in an image.

  Args:
    image: uint8 or uint16 [h, w].
    lungs: bool, of the same frame at any size.
  """
  covered = masks.coverage(lungs)
  if not LUNGS.is_possible(covered):
    return (
      f"Lungs cover {covered.image:.1%} of the image and {covered.frame:.1%} "
      "of its frame: it may be a negative, upside down, or no frontal chest "
      "film.",
    )
  found = []
  small = resample.resize_area(grey_levels.shallow(image), SMALL)
  outline = resample.resize_mask(lungs, SMALL)
  if outline.any() and not outline.all():
    contrast = polarity.lung_contrast(small, outline)
    found += [f"{r.capitalize()}." for r in (polarity.describe(contrast),) if r]
  if not LUNGS.is_usual(covered):
    found.append(
      f"Lungs cover {covered.image:.1%} of the image (usual: "
      f"{LUNGS.describe_usual()})."
    )
  return tuple(found)
