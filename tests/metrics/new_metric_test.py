"""A new metric is one function and two lines (docs/how_to/add_metric.md)."""

import numpy as np


def area_error(prediction, mask):
  """Returns | |A| - |B| | / max(|A|, |B|, 1) of two bool arrays, in [0, 1]."""
  a, b = np.count_nonzero(prediction), np.count_nonzero(mask)
  return abs(a - b) / max(a, b, 1)


def test_by_hand():
  empty, four, three = (np.zeros((3, 4), bool) for _ in range(3))
  four[0], three[2, :3] = True, True
  assert area_error(four, three) == 1 / 4
  assert area_error(three, four) == 1 / 4
  assert area_error(four, four) == 0
  assert area_error(empty, three) == 1
  assert area_error(empty, empty) == 0
