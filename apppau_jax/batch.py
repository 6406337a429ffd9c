"""The container of examples that data loading passes to training."""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp


@chex.dataclass(frozen=True, mappable_dataclass=False)
class Batch:
  """Images with their masks and classes, at fixed shapes.

  Labelled and unlabelled examples have the same shapes, so a step is traced
  once and devices share one batch axis. `has_mask` and `has_label` mark the
  valid entries of `mask` and `label`. A data set in memory is a `Batch` of all
  its examples.

  Attributes:
    image: `[b, h, w, 1]` grey levels, uint8 or uint16; float32 when normalised.
    mask: `[b, h, w, k]` in {0, 1} for k structures; zeros without `has_mask`.
    label: `[b]` int32 class from 0 to n - 1; or `[b, n]`, 1 for each of n
      findings that is present and 0 for one that is absent. Unknown is -1.
    has_mask: `[b]` bool, whether the mask is valid.
    has_label: `[b]` bool, whether any label is known.

  Example:
    >>> import numpy as np
    >>> batch = Batch(
    ...   image=np.zeros((3, 8, 8, 1), np.uint8),
    ...   mask=np.zeros((3, 8, 8, 1), np.uint8),
    ...   label=np.array([0, 1, -1], np.int32),
    ...   has_mask=np.array([True, False, False]),
    ...   has_label=np.array([True, True, False]),
    ... ).check()
    >>> batch.take(np.array([1, 0])).label.tolist()
    [1, 0]
  """

  image: jax.Array
  mask: jax.Array
  label: jax.Array
  has_mask: jax.Array
  has_label: jax.Array

  def take(self, indices: jax.Array) -> Batch:
    """Returns the examples at `indices`, an integer array of any shape."""
    return jax.tree.map(lambda leaf: jnp.take(leaf, indices, axis=0), self)

  def check(self) -> Batch:
    """Returns the batch; raises AssertionError if shapes or types disagree."""
    chex.assert_rank((self.image, self.mask), 4)
    chex.assert_rank((self.has_mask, self.has_label), 1)
    chex.assert_rank(self.label, {1, 2})
    chex.assert_equal_shape_prefix((self.image, self.mask), 3)
    chex.assert_equal_shape_prefix(jax.tree.leaves(self), 1)
    chex.assert_axis_dimension(self.image, 3, 1)
    chex.assert_type((self.has_mask, self.has_label), bool)
    return self
