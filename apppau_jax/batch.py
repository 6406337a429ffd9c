"""The doorway between the data and everything that learns from it."""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp


@chex.dataclass(frozen=True, mappable_dataclass=False)
class Batch:
  """Images with whatever is known of them, at fixed shapes.

  Labelled and unlabelled examples share one shape, so that nothing retraces
  and sharding splits one axis; `has_mask` and `has_label` say which entries
  of `mask` and `label` mean anything. A whole resident data set is a `Batch`
  too, with n in place of b.

  Attributes:
    image: `[b, h, w, 1]` levels, uint8 or uint16; float32 once normalised.
    mask: `[b, h, w, k]` in {0, 1}, k structures; zeros where not `has_mask`.
    label: `[b]` int32 class in 0..n-1; -1 where not `has_label`.
    has_mask: `[b]` bool.
    has_label: `[b]` bool.
  """

  image: jax.Array
  mask: jax.Array
  label: jax.Array
  has_mask: jax.Array
  has_label: jax.Array

  def take(self, indices: jax.Array) -> Batch:
    """Returns the examples at `indices`, any shape, in that order."""
    return jax.tree.map(lambda leaf: jnp.take(leaf, indices, axis=0), self)

  def check(self) -> Batch:
    """Returns itself; raises AssertionError on disagreeing shapes or types."""
    chex.assert_rank((self.image, self.mask), 4)
    chex.assert_rank((self.label, self.has_mask, self.has_label), 1)
    chex.assert_equal_shape_prefix((self.image, self.mask), 3)
    chex.assert_equal_shape_prefix(jax.tree.leaves(self), 1)
    chex.assert_axis_dimension(self.image, 3, 1)
    chex.assert_type((self.has_mask, self.has_label), bool)
    return self
