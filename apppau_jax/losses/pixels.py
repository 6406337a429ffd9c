"""What the segmentation losses agree on: one entrance, one reduction.

Every loss here takes `logits` and `mask`, both `[b, h, w, c]` with one channel
a structure, and returns one value an example, `[b]`. Nothing is ever pooled
over the batch: a pooled overlap would change with the size of a shard.
"""

import chex
import jax
import jax.numpy as jnp
import numpy as np

# `[b, h, w, c]`, not yet on a device or already there.
Array = jax.Array | np.ndarray


def as_floats(logits: Array, mask: Array) -> tuple[jax.Array, jax.Array]:
  """Returns both in float32 at least, whatever the network computes in.

  Sums over 128 x 128 pixels and logarithms near saturation do not survive
  bfloat16. float64 is kept, so that gradients can be checked to many digits.

  Args:
    logits: `[b, h, w, c]`, any float type, any finite value.
    mask: `[b, h, w, c]` in [0, 1], any type; fractions are soft targets.

  Raises:
    AssertionError: While tracing, if the shapes differ or are not of rank 4.
  """
  chex.assert_rank((logits, mask), 4)
  chex.assert_equal_shape((logits, mask))
  logits, mask = jnp.asarray(logits), jnp.asarray(mask)
  dtype = jnp.promote_types(logits.dtype, jnp.float32)
  return logits.astype(dtype), mask.astype(dtype)


def pixel_mean(values: jax.Array) -> jax.Array:
  """Mean of `[b, h, w, c]` over pixels and structures, `[b]`."""
  return jnp.mean(values, axis=(1, 2, 3))
