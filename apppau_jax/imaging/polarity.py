"""Determine whether the lungs of a radiograph are dark or bright.

The decision uses the image, never its name: inside the lung mask it must be
darker than in a ring around it. On 562 radiographs of Montgomery and Shenzhen
(resampled copies, 128 px) the difference is 12 to 98 grey levels.
"""

import numpy as np
from scipy import ndimage

from apppau_jax.errors import DataError

# Grey levels (of 255) that decide which of the two is darker.
DECISIVE = 8.0
RING = 16  # the surroundings reach 1/16 of the side beyond the lungs


def lung_contrast(image: np.ndarray, lungs: np.ndarray) -> float:
  """Measures how much darker the lungs are than their surroundings.

  Args:
    image: uint8 [h, w].
    lungs: bool [h, w], not empty and not everywhere.

  Returns:
    Mean grey level of the surroundings minus that of the lungs.
  """
  return float(image[surroundings(lungs)].mean() - image[lungs].mean())


def surroundings(lungs: np.ndarray) -> np.ndarray:
  """Returns the ring around the lungs, bool [h, w]."""
  reach = 2 * max(1, len(lungs) // RING) + 1
  return ndimage.maximum_filter(lungs, size=reach) & ~lungs


def is_negative(
  image: np.ndarray, lungs: np.ndarray | None, *, name: str
) -> bool:
  """Returns whether an image of unstated polarity shows bright lungs.

  Args:
    image: uint8 [h, w].
    lungs: bool [h, w], or None without a mask.
    name: of the image, for messages.

  Raises:
    DataError: there is no mask, or the difference is too small.
  """
  if lungs is None:
    raise DataError(
      f"The image {name} is a copy that may show lungs dark or bright, which "
      "cannot be determined without its lung mask. Add the mask, or take "
      "the owner's own file, whose polarity is stated."
    )
  contrast = lung_contrast(image, lungs)
  if abs(contrast) < DECISIVE:
    raise DataError(
      f"The image {name} is a copy that may show lungs dark or bright, and "
      f"its lungs differ from their surroundings by only {contrast:+.1f} grey "
      f"levels; {DECISIVE:g} are needed to decide. Check that image and mask "
      "belong together, or take the owner's own file, whose polarity is "
      "stated."
    )
  return contrast < 0


def describe(contrast: float) -> str:
  """Returns a remark on a `lung_contrast` of lungs that are not dark, or ""."""
  if contrast >= DECISIVE:
    return ""
  return (
    "lungs are not darker than their surroundings (difference: "
    f"{contrast:+.1f} grey levels; usual: {DECISIVE:g} or more)"
  )
