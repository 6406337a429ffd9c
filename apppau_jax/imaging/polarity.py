"""Which way round a radiograph is: lungs dark, as in print, or bright.

Decided by the picture, never by its name: inside the lung mask it must be
darker than just around it. On 562 films of Montgomery and Shenzhen (resampled
copies, 128 px) the difference is 12 to 98 grey levels; a negative has minus
that.
"""

import numpy as np
from scipy import ndimage

from apppau_jax.errors import DataError

# Grey levels (of 255) by which the lungs must differ to be told apart.
DECISIVE = 8.0
_RING = 16  # the surroundings reach 1/16 of the side beyond the lungs


def lung_contrast(image: np.ndarray, lungs: np.ndarray) -> float:
  """How much darker the lungs are than their surroundings.

  Args:
    image: uint8 [h, w].
    lungs: bool [h, w], not empty and not everywhere.

  Returns:
    Mean grey level of the surroundings less that of the lungs, in levels.
  """
  return float(image[surroundings(lungs)].mean() - image[lungs].mean())


def surroundings(lungs: np.ndarray) -> np.ndarray:
  """The ring around the lungs, bool [h, w]."""
  reach = 2 * max(1, len(lungs) // _RING) + 1
  return ndimage.maximum_filter(lungs, size=reach) & ~lungs


def is_negative(
  image: np.ndarray, lungs: np.ndarray | None, *, name: str
) -> bool:
  """Whether a picture of unstated polarity shows bright lungs.

  Args:
    image: uint8 [h, w].
    lungs: bool [h, w], or None where there is no mask.
    name: what messages call the image.

  Raises:
    DataError: there is no mask, or lungs and surroundings are alike.
  """
  if lungs is None:
    raise DataError(
      f"The image {name} is a copy that may show lungs dark or bright, and "
      "without its lung mask there is no telling which. Add the mask, or take "
      "the owner's own file, whose polarity is stated."
    )
  contrast = lung_contrast(image, lungs)
  if abs(contrast) < DECISIVE:
    raise DataError(
      f"The image {name} is a copy that may show lungs dark or bright, and "
      f"its lungs differ from what is around them by {contrast:+.1f} grey "
      f"levels only; {DECISIVE:g} are needed to tell. Look whether image and "
      "mask belong together, or take the owner's own file, whose polarity is "
      "stated."
    )
  return contrast < 0


def check_stated(image: np.ndarray, lungs: np.ndarray) -> str:
  """A remark on a picture of stated polarity whose lungs are not dark."""
  contrast = lung_contrast(image, lungs)
  if contrast >= DECISIVE:
    return ""
  return (
    f"lungs are not darker than what is around them ({contrast:+.1f} grey "
    f"levels; usual: {DECISIVE:g} or more)"
  )
