import numpy as np
import pytest

from apppau_jax.inference import outputs


@pytest.mark.parametrize(
  ("options", "pixels"),
  [
    ({}, 9 + 36),
    ({"largest_components": 1}, 36),
    ({"threshold": 0.6}, 36),
  ],
)
def test_threshold_is_inclusive_and_cleanup_is_an_option(options, pixels):
  prob = np.zeros((16, 16))
  prob[1:4, 1:4] = 0.5
  prob[8:14, 8:14] = 0.9
  assert outputs.binarize(prob, **options).sum() == pixels


def test_dice_of_empty_masks_and_by_hand():
  a, b = np.zeros((2, 3, 4, 4), bool)
  a[1, :2] = True  # 8 pixels
  b[1, 1:3, :3] = True  # 6 pixels, 3 shared
  b[2, 0, 0] = True
  np.testing.assert_allclose(outputs.dice(a, b), [1.0, 6 / 14, 0.0])
