"""Batch normalisation with ReLU, in place of XLA's on a CPU.

XLA computes statistics, normalisation and ReLU, and their gradients, in several
passes over memory. Here they are two passes forward and two backward, and
neither the normalised image nor what ReLU lets pass is kept for the gradient.
"""

import functools
from typing import Any

import jax
import numpy as np
from jax import lax

from apppau_jax.models import blocks
from apppau_jax.onednn import bridge


def norm_relu(
  image: jax.Array, scale: jax.Array, bias: jax.Array, *, relu: bool
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Normalise like `blocks.norm_relu`, to which it is equal up to rounding."""
  if not bridge.computes(image):
    return blocks.norm_relu(image, scale, bias, relu=relu)
  result, mean, variance = _normalize(image, scale, bias, relu)
  return result, lax.stop_gradient(mean), lax.stop_gradient(variance)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def _normalize(image, scale, bias, relu):
  c = image.shape[-1:]
  return tuple(
    bridge.call(
      "norm_forward",
      image,
      scale,
      bias,
      shapes=[image.shape, c, c],
      **_attributes(relu),
    )
  )


def _forward(image, scale, bias, relu):
  result, mean, variance = _normalize(image, scale, bias, relu)
  return (result, mean, variance), (image, scale, bias, mean, variance)


def _backward(relu, residuals, slopes):
  image = residuals[0]
  slope, *_ = slopes  # the statistics are not differentiated
  c = image.shape[-1:]
  return tuple(
    bridge.call(
      "norm_backward",
      *residuals,
      slope,
      shapes=[image.shape, c, c],
      aliases={5: 0},
      **_attributes(relu),
    )
  )


_normalize.defvjp(_forward, _backward)


def _attributes(relu: bool) -> dict[str, Any]:
  return {"epsilon": np.float32(blocks.EPSILON), "relu": np.int64(relu)}
