"""oneDNN's convolutions, in place of XLA's on a CPU.

On two cores with AVX-512, XLA's convolutions take 250 ms of a U-Net's training
step and oneDNN's take 120 ms; results/archive/performance.md has the
comparison.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from apppau_jax.models import blocks
from apppau_jax.onednn import bridge

_LAYOUT = ("NHWC", "HWIO", "NHWC")
_FORWARD = "convolution_forward"
_INPUT_GRADIENT = "convolution_input_gradient"
_KERNEL_GRADIENT = "convolution_kernel_gradient"


def convolution(
  image: jax.Array,
  kernel: jax.Array,
  strides: tuple[int, ...],
  padding: Any,
  **more: Any,
) -> jax.Array:
  """Convolve like `jax.lax.conv_general_dilated`, for `flax.linen.Conv`.

  oneDNN computes the convolutions that S and D consist of: float32, padding
  "SAME", equal strides, no dilation, no groups, with gradients in both
  arguments (reverse mode). XLA computes all others, and those that
  `bridge.computes` leaves to it. The result equals XLA's up to rounding and is
  bitwise reproducible. Use it in programs for one CPU device, see
  `bridge.why_not`.

  Args:
    image: `[b, h, w, c]`.
    kernel: `[kh, kw, c, d]`.
    strides: Strides of rows and columns.
    padding: As for `conv_general_dilated`.
    **more: Its other arguments.

  Returns:
    `[b, ceil(h / stride), ceil(w / stride), d]`.
  """
  if not _supported(image, kernel, strides, padding, more):
    return lax.conv_general_dilated(image, kernel, strides, padding, **more)
  return _convolve(image, kernel, strides[0])


def up_convolution(
  image: jax.Array,
  kernel: jax.Array,
  strides: tuple[int, ...],
  padding: Any,
  **more: Any,
) -> jax.Array:
  """Upsample by a 2x2 transposed convolution of stride 2.

  This is `blocks.Operations.up`. It is computed as the gradient of a 2x2
  convolution of stride 2 with respect to its input, so no depth-to-space
  follows.
  """
  if not _supported(image, kernel, strides, padding, more):
    return blocks.XLA.up(image, kernel, strides, padding, **more)
  unfolded = kernel.reshape(kernel.shape[2], 2, 2, -1).transpose(1, 2, 3, 0)
  return _transposed(image, unfolded)


def joined_convolution(
  a: jax.Array, b: jax.Array, kernel: jax.Array
) -> jax.Array:
  """Convolve the concatenated channels of two images, without a copy of them.

  This is `blocks.Operations.conv_joined`. The convolution of each image with
  its part of the kernel is added to the same result.
  """
  if not (bridge.computes(a) and bridge.computes(b)):
    return blocks.conv_joined(a, b, kernel)
  return _joined(a, b, kernel)


def _supported(
  image: jax.Array,
  kernel: jax.Array,
  strides: tuple[int, ...],
  padding: Any,
  more: dict[str, Any],
) -> bool:
  shapes = image.shape, kernel.shape
  layout = lax.conv_dimension_numbers(*shapes, more.get("dimension_numbers"))
  supported_layout = lax.conv_dimension_numbers(*shapes, _LAYOUT)
  dilations = (more.get("lhs_dilation"), more.get("rhs_dilation"))
  return (
    bridge.computes(image)
    and kernel.dtype == jnp.float32
    and padding == "SAME"
    and len(set(strides)) == 1
    and layout == supported_layout
    and all(d is None or set(d) == {1} for d in dilations)
    and more.get("feature_group_count", 1) == 1
    and more.get("batch_group_count", 1) == 1
    and more.get("preferred_element_type") in (None, jnp.float32)
  )


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _convolve(image: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
  b, h, w, _ = image.shape
  shape = (b, -(-h // stride), -(-w // stride), kernel.shape[-1])
  return _call(_FORWARD, image, kernel, shape=shape, stride=stride)


def _forward(image, kernel, stride):
  return _convolve(image, kernel, stride), (image, kernel)


def _backward(stride, residuals, slope):
  image, kernel = residuals
  return (
    _call(_INPUT_GRADIENT, kernel, slope, shape=image.shape, stride=stride),
    _call(_KERNEL_GRADIENT, image, slope, shape=kernel.shape, stride=stride),
  )


_convolve.defvjp(_forward, _backward)


@jax.custom_vjp
def _joined(a: jax.Array, b: jax.Array, kernel: jax.Array) -> jax.Array:
  result = jax.eval_shape(blocks.conv_joined, a, b, kernel)
  return bridge.call("joined_forward", a, b, kernel, shapes=[result.shape])[0]


def _joined_forward(a, b, kernel):
  return _joined(a, b, kernel), (a, b, kernel)


def _joined_backward(residuals, slope):
  a, b, kernel = residuals
  call, images = bridge.call, [a.shape, b.shape]
  return (
    *call("joined_input_gradient", kernel, slope, shapes=images),
    *call("joined_kernel_gradient", a, b, slope, shapes=[kernel.shape]),
  )


_joined.defvjp(_joined_forward, _joined_backward)


@jax.custom_vjp
def _transposed(image: jax.Array, kernel: jax.Array) -> jax.Array:
  """Map `[b, h, w, c]` with a kernel `[2, 2, d, c]` to `[b, 2h, 2w, d]`."""
  b, h, w, _ = image.shape
  shape = (b, 2 * h, 2 * w, kernel.shape[2])
  return _call(_INPUT_GRADIENT, kernel, image, shape=shape, stride=2)


def _transposed_forward(image, kernel):
  return _transposed(image, kernel), (image, kernel)


def _transposed_backward(residuals, slope):
  image, kernel = residuals
  return (
    _call(_FORWARD, slope, kernel, shape=image.shape, stride=2),
    _call(_KERNEL_GRADIENT, slope, image, shape=kernel.shape, stride=2),
  )


_transposed.defvjp(_transposed_forward, _transposed_backward)


def _call(
  name: str, *arguments: jax.Array, shape: tuple[int, ...], stride: int
) -> jax.Array:
  (result,) = bridge.call(
    name, *arguments, shapes=[shape], stride=np.int64(stride)
  )
  return result
