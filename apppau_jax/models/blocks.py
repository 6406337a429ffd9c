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
EPSILON = 1e-5  # added to variances
_GROUPS = 8
_MOMENTUM = 0.9  # of the running statistics
_KERNEL_INIT = nn.initializers.he_normal()  # He et al. 2015


class Operations(NamedTuple):
  """The functions that a network computes with, XLA's or those of a library.

  Attributes:
    conv: Computes any convolution, called as `jax.lax.conv_general_dilated` is.
    conv_joined: Concatenates the channels of `[b, h, w, c]` and `[b, h, w, d]`,
      then convolves with a kernel `[n, n, c + d, e]`, stride 1, padding "SAME".
    up: Called likewise; convolves `[b, h, w, c]` with a 1x1 kernel
      `[1, 1, c, 4d]`, then rearranges the result to `[b, 2h, 2w, d]` by
      `depth_to_space`.
    norm_relu: Normalises by the statistics of the batch, like `norm_relu`.
    pool: Takes the maximum over 2x2 windows, like `max_pool`.
  """

  conv: Callable[..., jax.Array]
  conv_joined: Callable[[jax.Array, jax.Array, jax.Array], jax.Array]
  up: Callable[..., jax.Array]
  norm_relu: Callable[..., tuple[jax.Array, jax.Array, jax.Array]]
  pool: Callable[[jax.Array], jax.Array]


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


def conv_joined(a: jax.Array, b: jax.Array, kernel: jax.Array) -> jax.Array:
  """Convolve the concatenated channels of two images, see `Operations`."""
  both = jnp.concatenate([a, b], axis=-1)
  layout = ("NHWC", "HWIO", "NHWC")
  return lax.conv_general_dilated(
    both, kernel, (1, 1), "SAME", dimension_numbers=layout
  )


def _xla_up(*args: Any, **more: Any) -> jax.Array:
  return depth_to_space(lax.conv_general_dilated(*args, **more))


def norm_relu(
  x: jax.Array, scale: jax.Array, bias: jax.Array, *, relu: bool
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Normalise by the statistics of the batch, then apply ReLU if asked.

  Args:
    x: `[b, h, w, c]`.
    scale: `[c]`, factors of the normalised values.
    bias: `[c]`, added to them.
    relu: Whether ReLU follows.

  Returns:
    The result `[b, h, w, c]`, and mean and variance `[c]`; all float32.
  """
  y, mean, variance = batch_norm.batch_norm(
    x, scale, bias, epsilon=EPSILON, dtype=jnp.float32
  )
  return nn.relu(y) if relu else y, mean, variance


def normalize(
  x: jax.Array,
  scale: jax.Array,
  bias: jax.Array,
  mean: jax.Array,
  variance: jax.Array,
  *,
  relu: bool,
) -> jax.Array:
  """Normalise like `norm_relu`, by the given mean and variance `[c]`."""
  factor = lax.rsqrt(variance + EPSILON) * scale
  mean, factor, bias = (v.reshape(1, 1, 1, -1) for v in (mean, factor, bias))
  y = (x.astype(jnp.float32) - mean) * factor + bias
  return nn.relu(y) if relu else y


XLA = Operations(
  conv=lax.conv_general_dilated,
  conv_joined=conv_joined,
  up=_xla_up,
  norm_relu=norm_relu,
  pool=max_pool,
)


class JoinedConv(nn.Module):
  """A 3x3 `flax.linen.Conv` without bias of the channels of two images.

  Attributes:
    width: Number of output channels.
    dtype: Type of the arithmetic; the kernel stays in float32.
    conv_joined: Computes it, see `Operations`.
  """

  width: int
  dtype: DTypeLike
  conv_joined: Callable[[jax.Array, jax.Array, jax.Array], jax.Array]

  @nn.compact
  def __call__(self, a: jax.Array, b: jax.Array) -> jax.Array:
    """Map `[b, h, w, c]` and `[b, h, w, d]` to `[b, h, w, width]`."""
    shape = (3, 3, a.shape[-1] + b.shape[-1], self.width)
    kernel = self.param("kernel", _KERNEL_INIT, shape)
    return self.conv_joined(
      *nn.dtypes.promote_dtype(a, b, kernel, dtype=self.dtype)
    )


class BatchNorm(nn.Module):
  """`flax.linen.BatchNorm` in float32, with ReLU; its variables are the same.

  Attributes:
    relu: Whether ReLU follows.
    norm_relu: Normalises by the statistics of the batch.
  """

  relu: bool
  norm_relu: Callable[..., tuple[jax.Array, jax.Array, jax.Array]] = norm_relu

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    """Normalise `[b, h, w, c]` by the batch's (train) or running statistics."""
    shape = x.shape[-1:]
    ones, zeros = nn.initializers.ones, nn.initializers.zeros
    running_mean = self.variable("batch_stats", "mean", jnp.zeros, shape)
    running_variance = self.variable("batch_stats", "var", jnp.ones, shape)
    scale = self.param("scale", ones, shape)
    bias = self.param("bias", zeros, shape)
    if not train:
      mean, variance = running_mean.value, running_variance.value
      return normalize(x, scale, bias, mean, variance, relu=self.relu)
    y, mean, variance = self.norm_relu(x, scale, bias, relu=self.relu)
    if not self.is_initializing():
      for running, new in ((running_mean, mean), (running_variance, variance)):
        running.value = _MOMENTUM * running.value + (1 - _MOMENTUM) * new
    return y


class Norm(nn.Module):
  """Batch or group normalisation; statistics and parameters stay in float32.

  Attributes:
    dtype: Type of the result.
    kind: `batch`, the paper's; or `group` (Wu and He 2018, arXiv:1803.08494),
      which normalises every image separately, in training and in evaluation,
      with 8 groups of channels, or as many as divide the channels.
    relu: Whether ReLU follows.
    norm_relu: Normalises by the statistics of the batch.
  """

  dtype: DTypeLike = jnp.float32
  kind: str = "batch"
  relu: bool = False
  norm_relu: Callable[..., tuple[jax.Array, jax.Array, jax.Array]] = norm_relu

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    """Normalise `[b, h, w, c]` by the batch's (train) or running statistics."""
    if self.kind not in NORMS:
      raise ValueError(f"norm is {self.kind!r}, not one of {', '.join(NORMS)}")
    if self.kind == "group":
      groups = math.gcd(_GROUPS, x.shape[-1])
      y = nn.GroupNorm(groups, dtype=self.dtype, name="gn")(x)
      return nn.relu(y) if self.relu else y
    normalized = BatchNorm(self.relu, self.norm_relu, name="bn")
    return normalized(x, train=train).astype(self.dtype)


@dataclasses.dataclass(frozen=True)
class Layers:
  """Builds the layers of a network: what all of them have in common.

  Attributes:
    dtype: Type of the arithmetic; parameters stay in float32.
    norm_kind: `batch` or `group`; see `Norm`.
    operations: The functions that the layers compute with.
  """

  dtype: DTypeLike = jnp.float32
  norm_kind: str = "batch"
  operations: Operations = XLA

  def conv(self, *args: Any, by: Any = None, **fields: Any) -> nn.Conv:
    """Return a `flax.linen.Conv`."""
    return nn.Conv(
      *args,
      kernel_init=_KERNEL_INIT,
      conv_general_dilated=by or self.operations.conv,
      dtype=self.dtype,
      **fields,
    )

  def conv_joined(self, width: int, *, name: str) -> JoinedConv:
    """Return a 3x3 convolution of the concatenated channels of two images."""
    by = self.operations.conv_joined
    return JoinedConv(width, self.dtype, by, name=name)

  def up(self, width: int, **fields: Any) -> nn.Conv:
    """Return a 2x2 transposed convolution of stride 2 to `width` channels."""
    return self.conv(4 * width, (1, 1), by=self.operations.up, **fields)

  def norm(self, *, name: str, relu: bool = False) -> Norm:
    """Return a normalisation layer, with ReLU if asked."""
    by = self.operations.norm_relu
    return Norm(self.dtype, self.norm_kind, relu, by, name=name)


class ConvBlock(nn.Module):
  """3x3 convolution, normalisation and ReLU, `repeats` times.

  The channels of a second input follow those of the first.
  """

  width: int
  repeats: int = 2
  layers: Layers = Layers()

  @nn.compact
  def __call__(
    self, x: jax.Array, joined: jax.Array | None = None, *, train: bool
  ) -> jax.Array:
    """Map `[b, h, w, c]`, and `[b, h, w, d]`, to `[b, h, w, width]`."""
    for i in range(1, self.repeats + 1):
      name = f"conv{i}"
      if i == 1 and joined is not None:
        x = self.layers.conv_joined(self.width, name=name)(x, joined)
      else:
        x = self.layers.conv(self.width, (3, 3), use_bias=False, name=name)(x)
      x = self.layers.norm(name=f"norm{i}", relu=True)(x, train=train)
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
