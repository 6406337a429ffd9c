"""The maximum over 2x2 windows, in place of XLA's on a CPU."""

import jax

from apppau_jax.models import blocks
from apppau_jax.onednn import bridge


def max_pool(image: jax.Array) -> jax.Array:
  """Take the maximum over 2x2 windows: `[b, h, w, c]` to `[b, h/2, w/2, c]`.

  Values and gradients are those of `blocks.max_pool`: equal maxima share the
  gradient.
  """
  return _pool(image) if bridge.computes(image) else blocks.max_pool(image)


@jax.custom_vjp
def _pool(image: jax.Array) -> jax.Array:
  b, h, w, c = image.shape
  (result,) = bridge.call(
    "pool_forward", image, shapes=[(b, h // 2, w // 2, c)]
  )
  return result


def _forward(image):
  result = _pool(image)
  return result, (image, result)


def _backward(residuals, slope):
  image, result = residuals
  return tuple(
    bridge.call("pool_backward", image, result, slope, shapes=[image.shape])
  )


_pool.defvjp(_forward, _backward)
