"""The StableHLO file: an image of any size in, probabilities at its size out.

It is written and read by `jax.export`, holds no Python code, and calls nothing
outside the program: `read` refuses a program that would.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax import export, lax
from jax.extend import core

from apppau_jax.deploy.program import OUTPUTS, Core

PLATFORMS = ("cpu", "cuda", "tpu")
# Operations that reach outside the program.
_OUTWARD = (
  *("custom_call", "infeed", "outfeed"),
  *("stablehlo.send", "stablehlo.recv"),
)
# A custom call that JAX itself removes: it states that h and w are not 0.
_ASSERTION = "shape_assertion"


def build(program: Core, *, platforms: tuple[str, ...] = PLATFORMS) -> bytes:
  """Returns the content of the StableHLO file of a program."""
  compute = core.jaxpr_as_fun(program.jaxpr)

  def predict(image: jax.Array) -> dict[str, jax.Array]:
    side = program.resolution
    levels = _resize_area(image, (side, side))
    mean, *classes = compute(levels[None, ..., None])
    probs = _resize_bilinear(mean[0], image.shape)
    return dict(zip(OUTPUTS, (probs, *classes)))

  with jax.enable_x64(True):  # exact sums of 64 bits
    h, w = export.symbolic_shape("h, w")
    exported = export.export(jax.jit(predict), platforms=platforms)(
      jax.ShapeDtypeStruct((h, w), program.dtype)
    )
  content = exported.serialize()
  check(exported)
  return bytes(content)


def check(exported: export.Exported) -> None:
  """Refuses a program of another age, or one that reaches outside itself.

  Raises:
    ValueError: this JAX does not support its calling convention or its MLIR, or
      it has an operation that calls or communicates.
  """
  version = exported.calling_convention_version
  least = export.minimum_supported_calling_convention_version
  most = export.maximum_supported_calling_convention_version
  if not least <= version <= most:
    raise ValueError(
      f"its calling convention is {version}, not from {least} to {most}"
    )
  text = exported.mlir_module()
  for name in _OUTWARD:
    if text.count(name) != text.count(f"{name} @{_ASSERTION}("):
      raise ValueError(f"it contains the operation {name}")


def _resize_area(image: jax.Array, size: tuple[int, ...]) -> jax.Array:
  """As `resample.resize_area`, of an image whose size is not known yet."""
  height, width = (jnp.asarray(n, jnp.int64) for n in image.shape)
  rows = _sum_rows(image.astype(jnp.int64), size[0])
  total = _sum_rows(rows.T, size[1]).T
  area = height * width
  return ((2 * total + area) // (2 * area)).astype(image.dtype)


def _sum_rows(values: jax.Array, new: int) -> jax.Array:
  """Sums what each of `new` equal bands covers, in 1/new rows."""
  old = jnp.asarray(values.shape[0], jnp.int64)
  start = jnp.arange(new, dtype=jnp.int64) * old
  end = start + old

  def add(i: jax.Array, sums: jax.Array) -> jax.Array:
    row = start // new + i
    upper, lower = (
      jnp.minimum(end, (row + 1) * new),
      jnp.maximum(start, row * new),
    )
    covered = jnp.maximum(upper - lower, 0)
    return sums + covered[:, None] * values[jnp.minimum(row, old - 1)]

  nothing = jnp.zeros((new, values.shape[1]), jnp.int64)
  return lax.fori_loop(jnp.int64(0), old // new + 2, add, nothing)


def _resize_bilinear(planes: jax.Array, size: tuple[Any, ...]) -> jax.Array:
  """As `outputs.resize_probability`: `[r, r, k]` to `[h, w, k]`."""
  rows, columns = (_weights(planes.shape[0], new) for new in size)
  return jnp.einsum("hr,rck,wc->hwk", rows, planes, columns)


def _weights(old: int, new: Any) -> jax.Array:
  """The weights `[new, old]` of a bilinear resampling that antialiases."""
  new_size = jnp.asarray(new, jnp.int64)
  centres = (2 * jnp.arange(new, dtype=jnp.int64) + 1) * old
  places = (2 * jnp.arange(old, dtype=jnp.int64) + 1) * new_size
  support = (2 * jnp.maximum(old, new_size)).astype(jnp.float32)
  distance = jnp.abs(places[None] - centres[:, None]).astype(jnp.float32)
  weights = jnp.maximum(1.0 - distance / support, 0.0)
  return weights / weights.sum(axis=1, keepdims=True)
