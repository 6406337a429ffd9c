import numpy as np

from apppau_jax.inference import outputs


def test_dice_of_empty_masks_and_by_hand():
  a, b = np.zeros((2, 3, 4, 4), bool)
  a[1, :2] = True  # 8 pixels
  b[1, 1:3, :3] = True  # 6 pixels, 3 shared
  b[2, 0, 0] = True
  np.testing.assert_allclose(outputs.dice(a, b), [1.0, 6 / 14, 0.0])


def test_the_threshold_is_inclusive():
  prob = np.array([[0.49, 0.5], [0.6, 0.0]])
  expected = [[False, True], [True, False]]
  np.testing.assert_array_equal(outputs.binarize(prob), expected)
