"""The bridge from XLA to oneDNN and to kernels of this project, on one CPU.

XLA reaches them by custom calls, through the C files of the folder `csrc`,
which `pip install` compiles if there is a C compiler. oneDNN itself is the
library in the package `onednn-cpu-gomp` (x86-64 Linux).
"""

import ctypes
import functools
import importlib.machinery
import importlib.metadata
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

_PACKAGE = "onednn-cpu-gomp"
_LIBRARY = "libdnnl.so.3"
_PREFIX = "apppau_"
# The custom calls: functions of the bridge, whose names in a program have the
# prefix.
_CALLS = (
  "convolution_forward",
  "convolution_input_gradient",
  "convolution_kernel_gradient",
  "joined_forward",
  "joined_input_gradient",
  "joined_kernel_gradient",
  "norm_forward",
  "norm_backward",
  "pool_forward",
  "pool_backward",
)


def why_not() -> str:
  """Return why the bridge cannot be used in this process, or "".

  It works on one CPU only. A custom call has no sharding rule, so with several
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
  if not all(hasattr(opened, name) for name in _CALLS):
    return (
      "its bridge was compiled for another version: `pip install` this project "
      "again"
    )
  size = ctypes.c_size_t(len(why))
  if opened.bridge_open(str(library).encode(), why, size):
    return why.value.decode(errors="replace")
  for name in _CALLS:
    handler = jax.ffi.pycapsule(getattr(opened, name))
    jax.ffi.register_ffi_target(_PREFIX + name, handler, platform="cpu")
  return ""


def call(
  name: str,
  *arguments: jax.Array,
  shapes: Sequence[tuple[int, ...]],
  aliases: Mapping[int, int] | None = None,
  **attributes: Any,
) -> list[jax.Array]:
  """Call a function of the bridge on float32 arrays.

  Args:
    name: One of its custom calls.
    *arguments: The arrays.
    shapes: Of the results.
    aliases: By argument, the result that may be written over it.
    **attributes: Numbers, in alphabetical order, as the bridge reads them.

  Returns:
    The results.
  """
  results = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
  target = jax.ffi.ffi_call(
    _PREFIX + name,
    results,
    vmap_method="sequential",
    input_output_aliases=dict(aliases or {}),
  )
  return list(target(*arguments, **attributes))


def computes(image: jax.Array) -> bool:
  """Return whether the bridge computes operations on this image.

  It takes float32 `[b, h, w, c]` of more than one image. XLA computes all
  others; for a single image, the reordering of kernels and the start of threads
  cost more than they save.
  """
  return (
    image.ndim == 4
    and image.dtype == jnp.float32
    and image.shape[0] > 1
    and image.size > 0
    and not missing()
  )


def _bridge() -> pathlib.Path | None:
  """Return the path of the compiled bridge; None if there is none."""
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
