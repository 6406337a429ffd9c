"""Recognise films that are upside down or negatives, without a mask.

A frontal film correlates with the mean of frontal films, one upside down with
the mean turned round, a negative with the opposite sign. The mean is that of
the 658 images of Montgomery and Shenzhen at hand (resampled copies), in 8 x 8
fields, symmetric from left to right.
"""

import numpy as np

from apppau_jax.imaging import resample

# The left half of the mean; mean 0, norm 100 for both halves together.
_MEAN = (
  *((-25, -20, -13, 6), (6, 7, -2, 4), (10, 6, -11, 4), (0, 3, -9, 9)),
  *((-10, 1, -2, 15), (-17, 1, 7, 17), (-24, 4, 14, 18), (-28, 2, 13, 15)),
)
# How much better another pose must correlate.
MARGIN = 0.05
UPENDED, NEGATIVE = "upside down", "a negative"
BOTH = "a negative upside down"


def describe(image: np.ndarray) -> str:
  """Returns what a film seems to be other than upright and positive, or "".

  Args:
    image: uint8 or uint16 [h, w].
  """
  left = np.array(_MEAN, float)
  mean = np.concatenate([left, left[:, ::-1]], axis=1)
  fields = resample.resize_area(image, mean.shape).astype(float)
  fields -= fields.mean()
  norm = np.linalg.norm(fields) * np.linalg.norm(mean)
  if not norm:
    return ""
  own, turned = (float((fields * m).sum() / norm) for m in (mean, mean[::-1]))
  others = {UPENDED: turned, NEGATIVE: -own, BOTH: -turned}
  likely = max(others, key=lambda pose: others[pose])
  return likely if others[likely] > own + MARGIN else ""
