"""The layers that the networks are made of.

They are written in the forms that XLA runs fast on a CPU and deterministically
on a GPU: pooling by reshape (its gradient needs no scatter), and a 2x2
transposed convolution of stride 2 as a 1x1 convolution and depth-to-space.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike

from apppau_jax.models import batch_norm

NORMS = ("batch", "group")
_GROUPS = 8


class Convolutions(NamedTuple):
  """Functions that compute convolutions, with XLA's or another library.

  Both are called as `jax.lax.conv_general_dilated` is.

  Attributes:
    conv: Computes any convolution.
    up: Convolves `[b, h, w, c]` with a 1x1 kernel `[1, 1, c, 4d]`, then
      rearranges the result to `[b, 2h, 2w, d]` by `depth_to_space`.
  """

  conv: Callable[..., jax.Array]
  up: Callable[..., jax.Array]


def max_pool(x: jax.Array) -> jax.Array:
  """Take the maximum over 2x2 windows: `[b, h, w, c]` to `[b, h/2, w/2, c]`."""
  return _windows(x).max(axis=(2, 4))


def avg_pool(x: jax.Array) -> jax.Array:
  """Take the mean over 2x2 windows: `[b, h, w, c]` to `[b, h/2, w/2, c]`."""
  return _windows(x).mean(axis=(2, 4))


def _windows(x: jax.Array) -> jax.Array:
  b, h, w, c = x.shape
  return x.reshape(b, h // 2, 2, w // 2, 2, c)


def depth_to_space(x: jax.Array) -> jax.Array:
  """Rearrange channels to 2x2 pixels: `[b, h, w, 4c]` to `[b, 2h, 2w, c]`."""
  b, h, w, c = x.shape
  x = x.reshape(b, h, w, 2, 2, c // 4).transpose(0, 1, 3, 2, 4, 5)
  return x.reshape(b, 2 * h, 2 * w, c // 4)


def upsample(x: jax.Array) -> jax.Array:
  """Upsample bilinearly, with half-pixel centres, by 2 in each direction."""
  b, h, w, c = x.shape
  return jax.image.resize(x, (b, 2 * h, 2 * w, c), "bilinear")


def _xla_up(*args: Any, **more: Any) -> jax.Array:
  return depth_to_space(lax.conv_general_dilated(*args, **more))


XLA = Convolutions(conv=lax.conv_general_dilated, up=_xla_up)


class Norm(nn.Module):
  """Batch or group normalisation; statistics and parameters stay in float32.

  Attributes:
    dtype: Type of the result.
    kind: `batch`, the paper's; or `group` (Wu and He 2018, arXiv:1803.08494),
      which normalises every image separately, in training and in evaluation,
      with 8 groups of channels, or as many as divide the channels.
  """

  dtype: DTypeLike = jnp.float32
  kind: str = "batch"

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    """Normalise `[b, h, w, c]` by the batch's (train) or running statistics."""
    if self.kind not in NORMS:
      raise ValueError(f"norm is {self.kind!r}, not one of {', '.join(NORMS)}")
    if self.kind == "group":
      groups = math.gcd(_GROUPS, x.shape[-1])
      return nn.GroupNorm(groups, dtype=self.dtype, name="gn")(x)
    return batch_norm.BatchNorm(
      use_running_average=not train, momentum=0.9, dtype=self.dtype, name="bn"
    )(x)


@dataclasses.dataclass(frozen=True)
class Layers:
  """Builds the layers of a network: what all of them have in common.

  Attributes:
    dtype: Type of the arithmetic; parameters stay in float32.
    norm_kind: `batch` or `group`; see `Norm`.
    convolutions: Functions that compute the convolutions.
  """

  dtype: DTypeLike = jnp.float32
  norm_kind: str = "batch"
  convolutions: Convolutions = XLA

  def conv(self, *args: Any, by: Any = None, **fields: Any) -> nn.Conv:
    """Return a `flax.linen.Conv` with initial kernels of He et al. 2015."""
    return nn.Conv(
      *args,
      kernel_init=nn.initializers.he_normal(),
      conv_general_dilated=by or self.convolutions.conv,
      dtype=self.dtype,
      **fields,
    )

  def up(self, width: int, **fields: Any) -> nn.Conv:
    """Return a 2x2 transposed convolution of stride 2 to `width` channels."""
    return self.conv(4 * width, (1, 1), by=self.convolutions.up, **fields)

  def norm(self, *, name: str) -> Norm:
    """Return a normalisation layer."""
    return Norm(self.dtype, self.norm_kind, name=name)


class ConvBlock(nn.Module):
  """3x3 convolution, normalisation and ReLU, `repeats` times."""

  width: int
  repeats: int = 2
  layers: Layers = Layers()

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    """Map `[b, h, w, c]` to `[b, h, w, width]`."""
    for i in range(1, self.repeats + 1):
      conv = self.layers.conv(
        self.width, (3, 3), use_bias=False, name=f"conv{i}"
      )
      x = conv(x)
      x = nn.relu(self.layers.norm(name=f"norm{i}")(x, train=train))
    return x


class Up(nn.Module):
  """2x2 transposed convolution of stride 2, then normalisation."""

  width: int
  layers: Layers = Layers()

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    """Map `[b, h, w, c]` to `[b, 2h, 2w, width]`."""
    x = self.layers.up(self.width, use_bias=False, name="conv")(x)
    return self.layers.norm(name="norm")(x, train=train)
