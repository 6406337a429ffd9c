"""What this machine can do: the rate that every floor is measured against."""

import time

_SIDE = {"cpu": 2048}  # of the matrices; others 8192
_REPEATS = 5


def matrix_rate(dtype: str = "float32") -> float:
  """FLOP/s of a large matrix product, the best of a few.

  Args:
    dtype: of the matrices. Accelerators multiply float32 as JAX does by
      default (TF32 on NVIDIA).
  """
  import jax
  import jax.numpy as jnp

  side = _SIDE.get(jax.default_backend(), 8192)
  square = jnp.ones((side, side), jnp.dtype(dtype))
  product = jax.jit(jnp.matmul)
  jax.block_until_ready(product(square, square))
  took = []
  for _ in range(_REPEATS):
    began = time.perf_counter()
    jax.block_until_ready(product(square, square))
    took.append(time.perf_counter() - began)
  return 2.0 * side**3 / min(took)
