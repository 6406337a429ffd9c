"""Each way to normalise, against NumPy."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from apppau_jax.transforms import normalize

GREY = np.random.default_rng(5).integers(3, 250, (5, 31, 17, 1), dtype=np.uint8)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_minmax_is_its_formula(dtype):
  low = GREY.min((1, 2, 3), keepdims=True).astype(float)
  high = GREY.max((1, 2, 3), keepdims=True).astype(float)
  out = jax.jit(normalize.normalize)(GREY.astype(dtype))
  assert out.dtype == np.float32
  np.testing.assert_allclose(out, (GREY - low) / (high - low), atol=1e-6)
  assert np.min(out, axis=(1, 2, 3)).tolist() == [0.0] * 5
  assert np.max(out) <= 1.0


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("power", [1, 5])
def test_percentile_is_numpys(dtype, power):
  grey = (255 * (GREY / 255.0) ** power).astype(np.uint8)
  low, high = np.percentile(
    grey, [1, 99], axis=(1, 2, 3), keepdims=True, method="inverted_cdf"
  ).astype(float)
  out = normalize.normalize(
    jnp.asarray(grey.astype(dtype)), method="percentile"
  )
  expected = np.clip((grey - low) / (high - low), 0, 1)
  np.testing.assert_allclose(out, expected, atol=1e-6)


def test_sixteen_bits_are_normalised_alike():
  rng = np.random.default_rng(8)
  deep = rng.integers(90, 60_000, GREY.shape, dtype=np.uint16)
  for method in normalize.METHODS:
    out = normalize.normalize(jnp.asarray(deep), method=method)
    floats = normalize.normalize(jnp.asarray(deep, jnp.float32), method=method)
    np.testing.assert_allclose(out, floats, atol=1e-6)
  low, high = np.percentile(
    deep, [1, 99], axis=(1, 2, 3), keepdims=True, method="inverted_cdf"
  ).astype(float)
  out = normalize.normalize(jnp.asarray(deep), method="percentile")
  expected = np.clip((deep - low) / (high - low), 0, 1)
  np.testing.assert_allclose(out, expected, atol=1e-6)


def test_percentile_is_is_robust_to_a_burnt_marker():
  grey = np.full((1, 40, 40, 1), 100, np.uint8)
  grey[:, ::2] = 50
  marked = grey.copy()
  marked[:, :2, :2] = 255
  clean = normalize.normalize(grey, method="percentile")
  burnt = normalize.normalize(marked, method="percentile")
  np.testing.assert_array_equal(clean[:, 2:], burnt[:, 2:])


@pytest.mark.parametrize("method", normalize.METHODS)
@pytest.mark.parametrize("value", [0, 1, 77, 255])
def test_constant_images_become_zeros(method, value):
  image = np.full((2, 67, 61, 1), value, np.uint8)
  image[1] = GREY[0, 5, 5]
  image[1, 0, 0] = 9
  out = np.asarray(normalize.normalize(jnp.asarray(image), method=method))
  assert not out[0].any()
  assert np.isfinite(out).all()


def test_constant_images_between_levels_become_zeros_too():
  image = jnp.full((1, 67, 61, 1), 0.1, jnp.float32)
  for method in normalize.METHODS:
    assert not np.asarray(normalize.normalize(image, method=method)).any()


@pytest.mark.parametrize("method", normalize.METHODS)
def test_an_image_does_not_feel_its_neighbours(method):
  run = functools.partial(normalize.normalize, method=method)
  alone = run(GREY[2:3])
  np.testing.assert_allclose(run(GREY)[2:3], alone, atol=1e-6)


def test_an_unknown_normalisation_is_refused():
  with pytest.raises(ValueError, match="minmax, percentile"):
    normalize.normalize(jnp.asarray(GREY), method="min-max")
