"""The pieces that the segmentor is made of.

Written in the forms that XLA runs fast on a CPU and deterministically on a
GPU: pooling by reshape (its gradient needs no scatter), upsampling by a 1x1
convolution and depth-to-space (the same function as a 2x2 transposed
convolution of stride 2).
"""

import itertools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax


class Convolutions(NamedTuple):
  """What computes convolutions; called as `jax.lax.conv_general_dilated` is.

  Attributes:
    conv: any convolution.
    up: of a 1x1 kernel `[1, 1, c, 4d]` and `[b, h, w, c]`, unfolded to
      `[b, 2h, 2w, d]` by `depth_to_space`.
  """

  conv: Callable[..., jax.Array]
  up: Callable[..., jax.Array]


def conv(by: Callable[..., jax.Array], *args: Any, **fields: Any) -> nn.Conv:
  """A convolution layer, its kernel drawn as He et al. 2015 draw it.

  Args:
    by: a function of `Convolutions`.
    *args: of `flax.linen.Conv`.
    **fields: of it too.
  """
  init = nn.initializers.he_normal()
  return nn.Conv(*args, kernel_init=init, conv_general_dilated=by, **fields)


NORMS = ("batch", "group")
_GROUPS = 8
# Standard deviation of a normal that is cut off at 2 of its own.
_CUT_OFF_SD = 0.87962566103423978


def draw_kernels(params, *, key: jax.Array):
  """Draws the kernels of all convolutions anew, as `conv` does, in one draw.

  Of the same distribution (He et al. 2015, truncated), but one program where
  there were dozens: XLA compiles an initialisation that ends with this in a
  quarter of the time.

  Args:
    params: a network's parameters, nested mappings.
    key: of the draw.

  Returns:
    The same tree; what is no `kernel` of four axes is as it was.
  """
  flat, tree = jax.tree_util.tree_flatten_with_path(params)
  drawn = [p[-1].key == "kernel" and leaf.ndim == 4 for p, leaf in flat]
  sizes = [leaf.size * new for (_, leaf), new in zip(flat, drawn)]
  pool = jax.random.truncated_normal(key, -2.0, 2.0, (sum(sizes),))
  leaves = []
  for (_, leaf), new, end in zip(flat, drawn, itertools.accumulate(sizes)):
    if new:
      fan_in = math.prod(leaf.shape[:-1])
      sd = math.sqrt(2.0 / fan_in) / _CUT_OFF_SD
      leaf = sd * pool[end - leaf.size : end].reshape(leaf.shape)
    leaves.append(leaf)
  return jax.tree_util.tree_unflatten(tree, leaves)


def _windows(x: jax.Array) -> jax.Array:
  b, h, w, c = x.shape
  return x.reshape(b, h // 2, 2, w // 2, 2, c)


def max_pool(x: jax.Array) -> jax.Array:
  """Maximum over 2x2 windows: `[b, h, w, c]` to `[b, h/2, w/2, c]`."""
  return _windows(x).max(axis=(2, 4))


def avg_pool(x: jax.Array) -> jax.Array:
  """Mean over 2x2 windows: `[b, h, w, c]` to `[b, h/2, w/2, c]`."""
  return _windows(x).mean(axis=(2, 4))


def depth_to_space(x: jax.Array) -> jax.Array:
  """Unfolds channels into 2x2 pixels: `[b, h, w, 4c]` to `[b, 2h, 2w, c]`."""
  b, h, w, c = x.shape
  x = x.reshape(b, h, w, 2, 2, c // 4).transpose(0, 1, 3, 2, 4, 5)
  return x.reshape(b, 2 * h, 2 * w, c // 4)


def _unfolded(*args: Any, **more: Any) -> jax.Array:
  return depth_to_space(lax.conv_general_dilated(*args, **more))


XLA = Convolutions(conv=lax.conv_general_dilated, up=_unfolded)


def upsample(x: jax.Array) -> jax.Array:
  """Bilinear, half-pixel centres: `[b, h, w, c]` to `[b, 2h, 2w, c]`."""
  b, h, w, c = x.shape
  return jax.image.resize(x, (b, 2 * h, 2 * w, c), "bilinear")


def group_norm(width: int, *, dtype: jnp.dtype, name: str) -> nn.GroupNorm:
  """Each image by itself, in 8 groups of channels or as many as divide them."""
  return nn.GroupNorm(math.gcd(_GROUPS, width), dtype=dtype, name=name)


class Norm(nn.Module):
  """Batch or group normalisation; statistics and parameters stay in float32.

  Attributes:
    dtype: of the result.
    kind: `batch`, the paper's; or `group` (Wu and He 2018, arXiv:1803.08494):
      every image by itself, in training as in use.
  """

  dtype: jnp.dtype = jnp.float32
  kind: str = "batch"

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    """Normalises `[b, h, w, c]` by the batch (train) or running statistics."""
    if self.kind not in NORMS:
      raise ValueError(f"norm is {self.kind!r}, not one of {', '.join(NORMS)}")
    if self.kind == "group":
      return group_norm(x.shape[-1], dtype=self.dtype, name="gn")(x)
    return nn.BatchNorm(
      use_running_average=not train, momentum=0.9, dtype=self.dtype, name="bn"
    )(x)


class ConvBlock(nn.Module):
  """3x3 convolution, normalisation, ReLU, `repeats` times."""

  width: int
  repeats: int = 2
  dtype: jnp.dtype = jnp.float32
  norm: str = "batch"
  convolutions: Convolutions = XLA

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    """Maps `[b, h, w, c]` to `[b, h, w, width]`."""
    for i in range(1, self.repeats + 1):
      conv3x3 = conv(
        self.convolutions.conv,
        self.width,
        (3, 3),
        use_bias=False,
        dtype=self.dtype,
        name=f"conv{i}",
      )
      x = conv3x3(x)
      norm = Norm(self.dtype, self.norm, name=f"norm{i}")
      x = nn.relu(norm(x, train=train))
    return x


class Up(nn.Module):
  """2x2 transposed convolution of stride 2, normalisation."""

  width: int
  dtype: jnp.dtype = jnp.float32
  norm: str = "batch"
  convolutions: Convolutions = XLA

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    """Maps `[b, h, w, c]` to `[b, 2h, 2w, width]`."""
    unfolding = conv(
      self.convolutions.up,
      4 * self.width,
      (1, 1),
      use_bias=False,
      dtype=self.dtype,
      name="conv",
    )
    norm = Norm(self.dtype, self.norm, name="norm")
    return norm(unfolding(x), train=train)
