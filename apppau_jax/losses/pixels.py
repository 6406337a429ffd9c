"""Input conversion and reduction that all segmentation losses share.

Every loss takes `logits` and `mask`, both `[b, h, w, c]` with one channel per
structure, and returns one value per example, `[b]`. Nothing is pooled over the
batch, because a pooled overlap would depend on how a batch is split over
devices.
"""

import chex
import jax
import jax.numpy as jnp
import numpy as np

# `[b, h, w, c]`, in the memory of the host or of a device.
Array = jax.Array | np.ndarray


def as_floats(logits: Array, mask: Array) -> tuple[jax.Array, jax.Array]:
  """Convert both arrays to float32, or to float64 if the logits are float64.

  Sums over 128 x 128 pixels and logarithms near saturation lose too many
  digits in bfloat16. float64 is kept, so that gradients can be checked to many
  digits.

  Args:
    logits: `[b, h, w, c]`, any float type, any finite value.
    mask: `[b, h, w, c]` in [0, 1], any type; fractions are soft targets.

  Returns:
    The logits and the mask, in a type that the type of the logits decides.

  Raises:
    AssertionError: The shapes differ or are not of rank 4.
  """
  chex.assert_rank((logits, mask), 4)
  chex.assert_equal_shape((logits, mask))
  logits, mask = jnp.asarray(logits), jnp.asarray(mask)
  dtype = jnp.promote_types(logits.dtype, jnp.float32)
  return logits.astype(dtype), mask.astype(dtype)


def pixel_mean(values: jax.Array) -> jax.Array:
  """Average `[b, h, w, c]` over pixels and structures, to `[b]`."""
  return jnp.mean(values, axis=(1, 2, 3))
