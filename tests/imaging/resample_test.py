import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import measure

from apppau_jax.imaging import resample


def _brute_force(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
  """Area means: every pixel is split into H x W parts, which are averaged."""
  (h, w), (rows, columns) = image.shape, size
  fine = image.astype(float).repeat(rows, axis=0).repeat(columns, axis=1)
  return measure.block_reduce(fine, (h, w), np.mean)


@given(
  st.integers(1, 23), st.integers(1, 23), st.integers(1, 17),
  st.integers(1, 17), st.integers(0, 99),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_area_resampling_is_the_mean_of_what_is_covered(h, w, rows, cols, seed):
  image = np.random.default_rng(seed).integers(0, 256, (h, w), dtype=np.uint8)
  expected = _brute_force(image, (rows, cols))
  resized = resample.resize_area(image, (rows, cols))
  assert resized.dtype == np.uint8
  assert np.abs(resized - expected).max() <= 0.5 + 1e-9
  covered = _brute_force(image > 99, (rows, cols))
  clear = np.abs(covered - 0.5) > 1e-9
  mask = resample.resize_mask(image > 99, (rows, cols))
  np.testing.assert_array_equal(mask[clear], covered[clear] > 0.5)


def test_halves_are_rounded_up():
  image = np.array([[0, 1], [1, 0]], np.uint8)
  assert resample.resize_area(image, (1, 1)) == [[1]]
  assert resample.resize_mask(image.astype(bool), (1, 1)) == [[True]]
  image[0, 1] = 0
  assert resample.resize_area(image, (1, 1)) == [[0]]
  assert resample.resize_mask(image.astype(bool), (1, 1)) == [[False]]


def test_same_size_is_the_identity():
  grey = np.random.default_rng(0).integers(0, 256, (9, 7), dtype=np.uint8)
  same = resample.resize_area(grey, grey.shape)
  np.testing.assert_array_equal(same, grey)
  assert not np.shares_memory(same, grey)
  mask = resample.resize_mask(grey > 99, grey.shape)
  np.testing.assert_array_equal(mask, grey > 99)


def test_many_values_are_summed_like_few(monkeypatch):
  image = np.random.default_rng(1).integers(0, 65536, (31, 23), np.uint16)
  few = {size: resample.resize_area(image, size) for size in ((7, 5), (40, 23))}
  monkeypatch.setattr(resample, "_FEW", 0)
  for size, expected in few.items():
    np.testing.assert_array_equal(resample.resize_area(image, size), expected)
    assert np.abs(expected - _brute_force(image, size)).max() <= 0.5 + 1e-9


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.uint16])
def test_sums_of_many_bright_rows_do_not_overflow(dtype):
  white = 1 if dtype is bool else np.iinfo(dtype).max
  image = np.full((1031, 257), white, dtype)
  if dtype is bool:
    assert resample.resize_mask(image, (3, 2)).all()
  else:
    assert (resample.resize_area(image, (3, 2)) == white).all()
