"""Recognise films that are upside down or negatives, without a mask.

A frontal film correlates with the mean of frontal films, one upside down with
the mean turned round, a negative with the opposite sign. The mean is that of
the 200 phantoms of the phantom data set, in 8 x 8 fields, symmetric from left
to right, so that no film of a patient chose it. Of 658 films of Montgomery and
Shenzhen (resampled copies) 16 get a remark although they are upright; 628 are
recognised upside down and 655 as negatives.
"""

import numpy as np

from apppau_jax.imaging import resample

# The left half of the mean; mean 0, norm 100 for both halves together.
_MEAN = (
  *((-18, -13, -9, 0), (-7, -3, -8, 5), (-5, -4, -9, 8), (-11, -9, -7, 14)),
  *((-13, -9, 2, 21), (-14, -2, 15, 24), (-14, 6, 20, 24), (-16, 2, 13, 17)),
)
# How much better another pose must correlate.
MARGIN = 0.05
UPENDED, NEGATIVE = "upside down", "a negative"
BOTH = "a negative upside down"


def mean_film() -> np.ndarray:
  """Returns the mean of frontal films in fields, float64 [8, 8]."""
  left = np.array(_MEAN, float)
  return np.concatenate([left, left[:, ::-1]], axis=1)


def describe(image: np.ndarray) -> str:
  """Returns what a film seems to be other than upright and positive, or "".

  Args:
    image: uint8 or uint16 [h, w].
  """
  mean = mean_film()
  fields = resample.resize_area(image, mean.shape).astype(float)
  fields -= fields.mean()
  norm = np.linalg.norm(fields) * np.linalg.norm(mean)
  if not norm:
    return ""
  own, turned = (float((fields * m).sum() / norm) for m in (mean, mean[::-1]))
  others = {UPENDED: turned, NEGATIVE: -own, BOTH: -turned}
  likely = max(others, key=lambda pose: others[pose])
  return likely if others[likely] > own + MARGIN else ""
