"""Batch normalisation with ReLU by the bridge, against NumPy and XLA."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from apppau_jax.models import blocks
from apppau_jax.onednn import bridge, norm

pytestmark = pytest.mark.skipif(
  bool(bridge.missing()), reason=f"no oneDNN: {bridge.missing()}"
)

# Channels below, at and between multiples of the sixteen that are computed
# together; strips of unequal length.
SHAPES = [(2, 8, 6, 3), (4, 16, 16, 16), (3, 7, 5, 37), (5, 33, 31, 32)]
SHAPES.append((2, 2, 1, 1))


def _draw(shape, seed=0):
  rng = np.random.default_rng(seed)
  image, slope = rng.standard_normal((2, *shape))
  scale, bias = rng.standard_normal((2, shape[-1]))
  return [a.astype(np.float32) for a in (image + 0.3, scale, bias, slope)]


def _all(normalize, relu):
  """Return a function of result, statistics and the three gradients."""

  @jax.jit
  def run(image, scale, bias, slope):
    def loss(*args):
      found = normalize(*args, relu=relu)
      return (found[0] * slope).sum(), found

    grad = jax.grad(loss, argnums=(0, 1, 2), has_aux=True)
    slopes, found = grad(image, scale, bias)
    return *found, *slopes

  return run


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("relu", [True, False])
def test_values_statistics_and_gradients_are_xlas(shape, relu):
  inputs = _draw(shape)
  ours = _all(norm.norm_relu, relu)
  text = ours.lower(*inputs).as_text()
  assert text.count("apppau_norm") >= 2
  for found, expected in zip(
    ours(*inputs), _all(blocks.norm_relu, relu)(*inputs)
  ):
    scale = max(np.abs(expected).max(), 1e-3)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * scale)


def test_values_and_statistics_are_numpys():
  image, scale, bias, _ = _draw((3, 40, 24, 20))
  wide = image.astype(np.float64)
  mean, variance = wide.mean((0, 1, 2)), wide.var((0, 1, 2))
  result = (wide - mean) / np.sqrt(variance + 1e-5) * scale + bias
  found = jax.jit(norm.norm_relu, static_argnames="relu")(
    image, scale, bias, relu=True
  )
  for a, b in zip(found, (np.maximum(result, 0), mean, variance)):
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_the_gradient_is_the_slope_of_the_loss():
  image, scale, bias, weight = _draw((2, 3, 3, 17))

  def loss(image):  # float64
    mean, variance = image.mean((0, 1, 2)), image.var((0, 1, 2))
    y = (image - mean) / np.sqrt(variance + 1e-5) * scale + bias
    return (np.maximum(y, 0) * weight).sum()

  gradient = _all(norm.norm_relu, True)(image, scale, bias, weight)[3]
  wide, step = image.astype(np.float64), 1e-6
  for at in [(0, 0, 0, 0), (1, 2, 1, 15), (1, 0, 2, 16)]:
    moved = np.zeros_like(wide)
    moved[at] = step
    slope = (loss(wide + moved) - loss(wide - moved)) / (2 * step)
    np.testing.assert_allclose(gradient[at], slope, rtol=1e-4, atol=1e-5)


def test_relu_has_no_slope_at_zero_and_keeps_nan():
  image = np.zeros((2, 4, 4, 17), np.float32)
  ones, zeros = np.ones(17, np.float32), np.zeros(17, np.float32)
  found = _all(norm.norm_relu, True)(image, ones, zeros, image + 1)
  for part in found:  # bias has no gradient either: zero is not passed
    np.testing.assert_array_equal(part, np.zeros_like(part))
  image[0, 0, 0, :] = np.nan
  assert np.isnan(norm.norm_relu(image, ones, zeros, relu=True)[0]).all()


def test_same_bits_each_time():
  inputs = _draw((8, 32, 32, 24))
  first, *others = [_all(norm.norm_relu, True)(*inputs) for _ in range(4)]
  for other in others:
    jax.tree.map(np.testing.assert_array_equal, other, first)


@pytest.mark.parametrize("shape", [(1, 8, 8, 4), (2, 8, 8, 4)])
def test_others_are_xlas(shape):
  image, scale, bias, _ = _draw(shape)
  dtype = jnp.bfloat16 if shape[0] > 1 else jnp.float32

  def run(normalize):
    return jax.jit(lambda x: normalize(x, scale, bias, relu=True))

  x = jnp.asarray(image, dtype)
  assert "apppau" not in run(norm.norm_relu).lower(x).as_text()
  for a, b in zip(run(norm.norm_relu)(x), run(blocks.norm_relu)(x)):
    np.testing.assert_array_equal(a, b)
