"""The arrays of a tree as a few vectors, so that few kernels update them.

A network has a hundred parameters, most of them of some dozen numbers. On a GPU
each parameter, each of its moments and its average are updated by kernels of
their own, and launching these takes longer than their arithmetic. As vectors
they are updated by one kernel for all.
"""

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp

Tree = Any  # a nest of arrays, as JAX means it


@dataclasses.dataclass(frozen=True)
class Layout:
  """Where the leaves of a tree lie in its vectors.

  Attributes:
    treedef: the structure of the tree.
    shapes: of its leaves, in order.
  """

  treedef: Any
  shapes: tuple[tuple[int, ...], ...]

  @classmethod
  def of(cls, tree: Tree) -> "Layout":
    """Return the layout of a tree of arrays or of their shapes."""
    leaves, treedef = jax.tree.flatten(tree)
    return cls(treedef, tuple(tuple(leaf.shape) for leaf in leaves))

  def is_of(self, tree: Tree) -> bool:
    """Return whether a tree has this structure."""
    return bool(self.shapes) and jax.tree.structure(tree) == self.treedef

  def pack(self, tree: Tree) -> "Packed":
    """Return a tree of this structure as vectors."""
    leaves = self.treedef.flatten_up_to(tree)
    kernels = [_ravel(leaf) for leaf in leaves if leaf.ndim > 1]
    others = [leaf.ravel() for leaf in leaves if leaf.ndim <= 1]
    return Packed(
      kernels=jnp.concatenate(kernels)[None] if kernels else None,
      others=jnp.concatenate(others) if others else None,
      layout=self,
    )


@functools.partial(
  jax.tree_util.register_dataclass,
  data_fields=("kernels", "others"),
  meta_fields=("layout",),
)
@dataclasses.dataclass(frozen=True)
class Packed:
  """A tree as two vectors.

  Attributes:
    kernels: `[1, n]`, the leaves of two and more dimensions. It has two
      dimensions itself, by which `optimizers` knows what weight decay reaches.
      None if there is no such leaf.
    others: `[m]`, the other leaves; None if there is none.
    layout: where each leaf lies.
  """

  kernels: jax.Array | None
  others: jax.Array | None
  layout: Layout

  def unpack(self) -> Tree:
    """Return the tree."""
    vectors: dict[bool, Any] = {True: self.kernels, False: self.others}
    starts, leaves = {True: 0, False: 0}, []
    for shape in self.layout.shapes:
      is_kernel = len(shape) > 1
      start = starts[is_kernel]
      starts[is_kernel] = stop = start + math.prod(shape)
      leaf = vectors[is_kernel][..., start:stop]
      leaves.append(_unravel(leaf, shape) if is_kernel else leaf.reshape(shape))
    return self.layout.treedef.unflatten(leaves)


def _ravel(kernel: jax.Array) -> jax.Array:
  """Return a vector with the outputs first, as cuDNN stores its kernels."""
  return jnp.moveaxis(kernel, -1, 0).ravel()


def _unravel(vector: jax.Array, shape: tuple[int, ...]) -> jax.Array:
  return jnp.moveaxis(vector.reshape(shape[-1], *shape[:-1]), 0, -1)


def pack_all(tree: Tree, *, layout: Layout) -> Tree:
  """Pack every subtree of this layout's structure, and leave the rest."""
  return jax.tree.map(
    lambda part: layout.pack(part) if layout.is_of(part) else part,
    tree,
    is_leaf=layout.is_of,
  )


def pack_like(tree: Tree, form: Tree) -> Tree:
  """Pack a tree if `form` is packed."""
  return form.layout.pack(tree) if isinstance(form, Packed) else tree


def unpack_all(tree: Tree) -> Tree:
  """Unpack everything that is packed."""
  return jax.tree.map(
    lambda part: part.unpack() if isinstance(part, Packed) else part,
    tree,
    is_leaf=lambda part: isinstance(part, Packed),
  )
