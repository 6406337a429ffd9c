"""Batch normalisation with a gradient of its own.

Automatic differentiation of `flax.linen.BatchNorm` sums over the batch three
times, each time waiting for the last. The gradient written here takes two sums
over the batch, together, and then one pass over the pixels.
"""

import functools
import math

import jax
import jax.numpy as jnp
from jax import lax

_AXES = (0, 1, 2)


def batch_norm(
  x: jax.Array,
  scale: jax.Array,
  bias: jax.Array,
  *,
  epsilon: float,
  dtype: jnp.dtype,
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Normalise images by the mean and variance of each channel, in float32.

  Args:
    x: `[b, h, w, c]`.
    scale: `[c]`.
    bias: `[c]`.
    epsilon: added to the variance.
    dtype: of the result.

  Returns:
    The result `[b, h, w, c]`, and the mean and the variance (ddof 0), `[c]`.
    No gradient passes through the last two.

  Example:
    >>> import jax.numpy as jnp
    >>> x = jnp.array([1.0, 3.0]).reshape(1, 1, 2, 1)
    >>> y, mean, var = batch_norm(
    ...   x, jnp.ones(1), jnp.zeros(1), epsilon=0.0, dtype=x.dtype
    ... )
    >>> y.ravel().tolist(), mean.tolist(), var.tolist()
    ([-1.0, 1.0], [2.0], [1.0])
  """
  return _batch_norm(x, scale, bias, epsilon, dtype)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def _batch_norm(x, scale, bias, epsilon, dtype):
  pixels = x.astype(jnp.float32)
  total, squares = _sums(pixels, jnp.square(pixels))
  count = math.prod(x.shape[:-1])
  mean = total / count
  # Rounding may make the difference negative.
  var = jnp.maximum(0.0, squares / count - jnp.square(mean))
  rate = lax.rsqrt(var + epsilon) * scale
  y = (pixels - _wide(mean)) * _wide(rate) + _wide(bias)
  return y.astype(dtype), mean, var


def _forward(x, scale, bias, epsilon, dtype):
  y, mean, var = _batch_norm(x, scale, bias, epsilon, dtype)
  return (y, mean, var), (x, scale, mean, var)


def _backward(epsilon, dtype, saved, cotangents):
  del dtype
  x, scale, mean, var = saved
  dy = cotangents[0].astype(jnp.float32)
  rate = lax.rsqrt(var + epsilon)
  unit = (x.astype(jnp.float32) - _wide(mean)) * _wide(rate)
  d_bias, d_scale = _sums(dy, dy * unit)
  count = math.prod(x.shape[:-1])
  dx = dy - _wide(d_bias / count) - unit * _wide(d_scale / count)
  dx *= _wide(scale * rate)
  return dx.astype(x.dtype), d_scale, d_bias


_batch_norm.defvjp(_forward, _backward)


def _wide(channels: jax.Array) -> jax.Array:
  """Reshape `[c]` to `[1, 1, 1, c]`."""
  return channels.reshape(1, 1, 1, -1)


def _sums(*both: jax.Array) -> tuple[jax.Array, ...]:
  """Sum two arrays over all pixels; on a GPU by one kernel."""
  return lax.platform_dependent(
    *both, cpu=sums_one_by_one, default=sums_together
  )


def sums_one_by_one(*both: jax.Array) -> tuple[jax.Array, ...]:
  """Sum `[b, h, w, c]` over the pixels, which XLA:CPU does fastest so."""
  return tuple(x.sum(_AXES) for x in both)


def sums_together(*both: jax.Array) -> tuple[jax.Array, ...]:
  """Sum `[b, h, w, c]` over the pixels, in one reduction of all arrays."""

  def add(some, others):
    return tuple(a + b for a, b in zip(some, others))

  zero = jnp.zeros((), both[0].dtype)
  return tuple(lax.reduce(both, (zero, zero), add, _AXES))
