"""oneDNN's convolutions, in place of XLA's on a CPU.

On two cores with AVX-512, XLA's convolutions take 250 ms of a U-Net's training
step and oneDNN's take 120 ms; results/archive/performance.md has the
comparison. XLA reaches them by custom calls, through `_bridge.c`, which `pip
install` compiles if there is a C compiler. oneDNN itself is the library in the
package `onednn-cpu-gomp` (x86-64 Linux).
"""

import ctypes
import functools
import importlib.machinery
import importlib.metadata
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from apppau_jax.models import blocks

_PACKAGE = "onednn-cpu-gomp"
_LIBRARY = "libdnnl.so.3"
_LAYOUT = ("NHWC", "HWIO", "NHWC")
_FORWARD = "apppau_onednn_forward"
_INPUT_GRADIENT = "apppau_onednn_input_gradient"
_KERNEL_GRADIENT = "apppau_onednn_kernel_gradient"
# Names of the custom calls in a program that uses these convolutions.
CALLS = (_FORWARD, _INPUT_GRADIENT, _KERNEL_GRADIENT)


def why_not() -> str:
  """Return why `CONVOLUTIONS` cannot be used in this process, or "".

  They work on one CPU only. A custom call has no sharding rule, so with several
  devices, in this process or in others, XLA would gather the whole batch for
  it.
  """
  if jax.default_backend() != "cpu":
    return f"JAX runs on {jax.default_backend()}, not on a CPU"
  if jax.device_count() > 1:
    return f"there are {jax.device_count()} devices, not one"
  return missing()


@functools.cache
def missing() -> str:
  """Return what is missing of bridge or library, or "".

  The first call opens the library and registers the custom calls with JAX.
  """
  bridge = _bridge()
  if bridge is None:
    return (
      "its bridge is not compiled: `pip install` this project where there is "
      "a C compiler"
    )
  library = _library()
  if library is None:
    return f"{_PACKAGE} is not installed (it is for x86-64 Linux)"
  why = ctypes.create_string_buffer(1024)
  opened = ctypes.CDLL(str(bridge))
  size = ctypes.c_size_t(len(why))
  if opened.onednn_open(str(library).encode(), why, size):
    return why.value.decode(errors="replace")
  for name in CALLS:
    handler = getattr(opened, name.removeprefix("apppau_"))
    jax.ffi.register_ffi_target(
      name, jax.ffi.pycapsule(handler), platform="cpu"
    )
  return ""


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
  arguments (reverse mode). XLA computes all others, and those of a single
  image, for which the reordering of kernels and the start of threads cost more
  than they save. The result equals XLA's up to rounding and is bitwise
  reproducible. Use it in programs for one CPU device, see `why_not`.

  Args:
    image: `[b, h, w, c]`.
    kernel: `[kh, kw, c, d]`.
    strides: Strides of rows and columns.
    padding: As for `conv_general_dilated`.
    **more: Its other arguments.

  Returns:
    `[b, ceil(h / stride), ceil(w / stride), d]`.
  """
  if not _supported(image, kernel, strides, padding, more) or missing():
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

  This is `blocks.Convolutions.up`. It is computed as the gradient of a 2x2
  convolution of stride 2 with respect to its input, so no depth-to-space
  follows.
  """
  if not _supported(image, kernel, strides, padding, more) or missing():
    return blocks.XLA.up(image, kernel, strides, padding, **more)
  unfolded = kernel.reshape(kernel.shape[2], 2, 2, -1).transpose(1, 2, 3, 0)
  return _transposed(image, unfolded)


CONVOLUTIONS = blocks.Convolutions(conv=convolution, up=up_convolution)


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
    image.ndim == 4
    and image.dtype == kernel.dtype == jnp.float32
    and image.shape[0] > 1
    and image.size > 0
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
  call = jax.ffi.ffi_call(
    name, jax.ShapeDtypeStruct(shape, jnp.float32), vmap_method="sequential"
  )
  return call(*arguments, stride=np.int64(stride))


def _bridge() -> pathlib.Path | None:
  """Return the path of the compiled `_bridge.c`; None if there is none."""
  here = pathlib.Path(__file__)
  for suffix in importlib.machinery.EXTENSION_SUFFIXES:
    path = here.with_name(f"_bridge{suffix}")
    if path.exists():
      return path
  return None


def _library() -> pathlib.Path | None:
  """Return the path of oneDNN's library as pip installed it, or None."""
  try:
    listed = importlib.metadata.files(_PACKAGE) or []
  except importlib.metadata.PackageNotFoundError:
    return None
  found = [pathlib.Path(f.locate()) for f in listed if f.name == _LIBRARY]
  return found[0].resolve() if found and found[0].exists() else None
