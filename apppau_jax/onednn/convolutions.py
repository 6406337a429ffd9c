"""oneDNN's convolutions, in XLA's place on a CPU.

On two cores with AVX-512 XLA's convolutions take 250 ms of a U-Net's training
step and oneDNN's 120; results/archive/performance.md has the comparison. XLA calls
them as custom calls, through `_bridge.c`, which `pip install` compiles where
there is a C compiler; oneDNN itself is the library of the package
`onednn-cpu-gomp` (x86-64 Linux).
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
# The custom calls that a program of these convolutions has.
CALLS = (_FORWARD, _INPUT_GRADIENT, _KERNEL_GRADIENT)


def why_not() -> str:
  """Why `CONVOLUTIONS` are not for this process; empty if they are.

  They are for one CPU: a custom call knows nothing of sharding, so with several
  devices, of this process or of others, XLA would gather whole batches for it.
  """
  if jax.default_backend() != "cpu":
    return f"JAX runs on {jax.default_backend()}, not on a CPU"
  if jax.device_count() > 1:
    return f"there are {jax.device_count()} devices, not one"
  return missing()


@functools.cache
def missing() -> str:
  """What of the library is missing; empty if it is there.

  The first call opens it and registers the custom calls with JAX.
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
  room = ctypes.c_size_t(len(why))
  if opened.onednn_open(str(library).encode(), why, room):
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
  """`jax.lax.conv_general_dilated`, for `flax.linen.Conv` to call.

  By oneDNN what S and D consist of: float32, padding "SAME", one stride, no
  dilation, no groups, with gradients in both arguments (reverse mode). By XLA
  all else, and a single image, which is done before it pays to lay out kernels
  and wake threads. Equal to XLA's to rounding, to the bit the same each time.
  For programs of one CPU device, see `why_not`.

  Args:
    image: `[b, h, w, c]`.
    kernel: `[kh, kw, c, d]`.
    strides: of rows and columns.
    padding: as `conv_general_dilated` takes it.
    **more: its other arguments.

  Returns:
    `[b, ceil(h / stride), ceil(w / stride), d]`.
  """
  if not _simple(image, kernel, strides, padding, more) or missing():
    return lax.conv_general_dilated(image, kernel, strides, padding, **more)
  return _convolve(image, kernel, strides[0])


def up_convolution(
  image: jax.Array,
  kernel: jax.Array,
  strides: tuple[int, ...],
  padding: Any,
  **more: Any,
) -> jax.Array:
  """`blocks.Convolutions.up`: a 2x2 transposed convolution of stride 2.

  That is the gradient, in its input, of a 2x2 convolution of stride 2: no
  pixel is moved after it.
  """
  if not _simple(image, kernel, strides, padding, more) or missing():
    return blocks.XLA.up(image, kernel, strides, padding, **more)
  unfolded = kernel.reshape(kernel.shape[2], 2, 2, -1).transpose(1, 2, 3, 0)
  return _transposed(image, unfolded)


CONVOLUTIONS = blocks.Convolutions(conv=convolution, up=up_convolution)


def _simple(
  image: jax.Array,
  kernel: jax.Array,
  strides: tuple[int, ...],
  padding: Any,
  more: dict[str, Any],
) -> bool:
  numbers = more.get("dimension_numbers")
  told = lax.conv_dimension_numbers(image.shape, kernel.shape, numbers)
  plain = lax.conv_dimension_numbers(image.shape, kernel.shape, _LAYOUT)
  dilations = (more.get("lhs_dilation"), more.get("rhs_dilation"))
  return (
    image.ndim == 4
    and image.dtype == kernel.dtype == jnp.float32
    and image.shape[0] > 1
    and image.size > 0
    and padding == "SAME"
    and len(set(strides)) == 1
    and told == plain
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


def _backward(stride, kept, slope):
  image, kernel = kept
  return (
    _call(_INPUT_GRADIENT, kernel, slope, shape=image.shape, stride=stride),
    _call(_KERNEL_GRADIENT, image, slope, shape=kernel.shape, stride=stride),
  )


_convolve.defvjp(_forward, _backward)


@jax.custom_vjp
def _transposed(image: jax.Array, kernel: jax.Array) -> jax.Array:
  """`[b, h, w, c]` by `[2, 2, d, c]` to `[b, 2h, 2w, d]`."""
  b, h, w, _ = image.shape
  shape = (b, 2 * h, 2 * w, kernel.shape[2])
  return _call(_INPUT_GRADIENT, kernel, image, shape=shape, stride=2)


def _transposed_forward(image, kernel):
  return _transposed(image, kernel), (image, kernel)


def _transposed_backward(kept, slope):
  image, kernel = kept
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
  """The compiled `_bridge.c`, beside it."""
  here = pathlib.Path(__file__)
  for suffix in importlib.machinery.EXTENSION_SUFFIXES:
    path = here.with_name(f"_bridge{suffix}")
    if path.exists():
      return path
  return None


def _library() -> pathlib.Path | None:
  """oneDNN, where pip put it."""
  try:
    listed = importlib.metadata.files(_PACKAGE) or []
  except importlib.metadata.PackageNotFoundError:
    return None
  found = [pathlib.Path(f.locate()) for f in listed if f.name == _LIBRARY]
  return found[0].resolve() if found and found[0].exists() else None
