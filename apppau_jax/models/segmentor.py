"""The segmentor S: U-Net with three switches, hence eight presets.

    stage  size  plain                          pyramid adds to its input
    E1     1     2 x conv3x3(F)
    E2-E4  1/2.. pool, 2 x conv3x3(2F..8F)      conv3x3(avg-pooled image)
    B      1/16  pool, 2 x conv3x3(16F)
    D4-D1  ..1   up, concat the skip, 2 x conv  (attention gates the skip)

`progressive` puts a 1x1 head on every decoder stage and adds the logits of each
to those of the next finer one (P-HNN, Harrison et al. 2017): these are the four
side outputs of eq. (1), and the finest is the prediction. Without it there is
one head, on D1.

To add another architecture, write a file beside this one with a subclass of
`network.Network` that

* has the fields `base_width`, `num_structures`, `norm`, `dtype`, `remat` and
  `operations` of `Segmentor`, and builds its layers by `blocks.Layers`;
* has `progressive`, True if it returns several side outputs;
* maps images `[b, h, w, 1]` and `train` to a `network.SegmentorOutput`;

then add a line to `PRESETS` and a test. `config.model.preset` takes its name.
"""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from apppau_jax.hints import did_you_mean
from apppau_jax.models import attention as attention_lib
from apppau_jax.models import blocks
from apppau_jax.models.network import (
  FEATURE_DROPOUT,
  Network,
  SegmentorOutput,
)


class Segmentor(Network):
  """PPAU-Net, and the seven networks that lack some of its three parts.

  Attributes:
    pyramid: Whether the image enters every encoder level, as in M-Net.
    progressive: Whether every decoder level has a side output, added to the
      next finer one.
    attention: Whether attention gates weigh the skips.
    base_width: Channels F of the first level; they double at each pooling.
    depth: Number of poolings; h and w must be multiples of 2**depth.
    num_structures: Number k of masks, independent sigmoids.
    norm: `batch` or `group`, see `blocks.Norm`.
    dtype: Type of the convolutions' arithmetic; parameters, statistics and
      outputs stay float32.
    remat: Whether blocks and gates are recomputed for their gradients instead
      of stored: less memory, a third more work.
    operations: The functions that the layers compute with.

  Example:
    >>> import jax
    >>> import jax.numpy as jnp
    >>> from apppau_jax import models
    >>> network = models.Segmentor(progressive=True, base_width=2, depth=1)
    >>> image = jnp.zeros((2, 16, 16, 1))
    >>> init = jax.jit(network.init, static_argnames="train")
    >>> variables = init(jax.random.key(0), image, train=False)
    >>> apply = jax.jit(network.apply, static_argnames="train")
    >>> apply(variables, image, train=False).logits.shape
    (2, 16, 16, 1)
  """

  pyramid: bool = False
  progressive: bool = False
  attention: bool = False
  base_width: int = 32
  depth: int = 4
  num_structures: int = 1
  norm: str = "batch"
  dtype: DTypeLike = jnp.float32
  remat: bool = False
  operations: blocks.Operations = blocks.XLA

  @nn.compact
  def __call__(self, image: jax.Array, *, train: bool) -> SegmentorOutput:
    """Segment images.

    Args:
      image: Float `[b, h, w, 1]`, normalised as in training.
      train: Whether BatchNorm uses the batch's statistics.

    A random key `network.FEATURE_DROPOUT` drops channels of what the encoder
    passes to the decoder.

    Raises:
      ValueError: Height or width is no multiple of 2**depth.
    """
    self._check(image)
    features, skips = self._encode(image.astype(self.dtype), train=train)
    if self.has_rng(FEATURE_DROPOUT):
      features, skips = jax.tree.map(_drop_channels, (features, skips))
    side_logits, attention = [], {}
    for level in range(self.depth, 0, -1):
      skip = skips[level]
      if self.attention:
        gate = attention_lib.AttentionGate(self._layers, name=f"AG{level}")
        skip, attention[f"D{level}"] = self._run(
          gate, skip, features, train=train
        )
      width = self._width(level)
      up = blocks.Up(width, self._layers, name=f"up{level}")
      features = up(features, train=train)
      features = self._run(
        self._block(f"D{level}", width), features, skip, train=train
      )
      if self.progressive or level == 1:
        side_logits.append(self._head(level, features, side_logits))
    return SegmentorOutput(
      logits=side_logits[-1],
      side_logits=tuple(side_logits),
      attention=attention,
    )

  @property
  def _layers(self) -> blocks.Layers:
    return blocks.Layers(self.dtype, self.norm, self.operations)

  def _check(self, image: jax.Array) -> None:
    multiple = 2**self.depth
    if image.shape[1] % multiple or image.shape[2] % multiple:
      raise ValueError(
        f"image height and width must be multiples of {multiple} for "
        f"{self.depth} poolings; got {image.shape[1]}x{image.shape[2]}"
      )

  def _width(self, level: int) -> int:
    return self.base_width * 2 ** (level - 1)

  def _block(self, name: str, width: int, repeats: int = 2) -> nn.Module:
    return blocks.ConvBlock(width, repeats, self._layers, name=name)

  def _run(self, block: nn.Module, *inputs: jax.Array, train: bool) -> Any:
    if not self.remat:
      return block(*inputs, train=train)
    # `train` is bound outside, because nn.remat takes arrays only.
    return nn.remat(lambda block, *x: block(*x, train=train))(block, *inputs)

  def _encode(
    self, image: jax.Array, *, train: bool
  ) -> tuple[jax.Array, dict[int, jax.Array]]:
    """Return the bottleneck features and the skips by level."""
    inputs, skips = [image], {}
    for level in range(1, self.depth + 1):
      width = self._width(level)
      if level > 1 and self.pyramid:
        image = blocks.avg_pool(image)
        entry = self._block(f"pyramid{level}", width, repeats=1)
        inputs.insert(0, entry(image, train=train))
      block = self._block(f"E{level}", width)
      skips[level] = self._run(block, *inputs, train=train)
      inputs = [self.operations.pool(skips[level])]
    bottleneck = self._block("B", self._width(self.depth + 1))
    return self._run(bottleneck, *inputs, train=train), skips

  def _head(
    self, level: int, features: jax.Array, coarser: list[jax.Array]
  ) -> jax.Array:
    """Compute s_i = conv1x1(d_i) + up2(s_{i-1}), a progressive sum."""
    head = self._layers.conv(self.num_structures, (1, 1), name=f"head{level}")
    logits = head(features).astype(jnp.float32)
    return logits + blocks.upsample(coarser[-1]) if coarser else logits


def _drop_channels(features: jax.Array) -> jax.Array:
  """Set half of the channels of each image to zero and double the others."""
  drop = nn.Dropout(0.5, broadcast_dims=(1, 2), rng_collection=FEATURE_DROPOUT)
  return drop(features, deterministic=False)


# The menu of the authors' README, and further architectures.
PRESETS: dict[str, Callable[..., Network]] = {
  "unet": Segmentor,
  "pyramid_unet": functools.partial(Segmentor, pyramid=True),
  "progressive_unet": functools.partial(Segmentor, progressive=True),
  "attention_unet": functools.partial(Segmentor, attention=True),
  "pyramid_progressive_unet": functools.partial(
    Segmentor, pyramid=True, progressive=True
  ),
  "pyramid_attention_unet": functools.partial(
    Segmentor, pyramid=True, attention=True
  ),
  "progressive_attention_unet": functools.partial(
    Segmentor, progressive=True, attention=True
  ),
  "ppau_unet": functools.partial(
    Segmentor, pyramid=True, progressive=True, attention=True
  ),
}


def from_preset(name: str, **options: Any) -> Network:
  """Return the segmentor of that name in `PRESETS`.

  Args:
    name: One of `PRESETS`.
    **options: Fields of the network, such as `base_width`.

  Raises:
    ValueError: No preset has that name.

  Example:
    >>> from apppau_jax import models
    >>> models.from_preset("attention_unet", base_width=16).attention
    True
  """
  if name not in PRESETS:
    raise ValueError(
      f"{name!r} is not a preset of the segmentor."
      f"{did_you_mean(name, PRESETS)} Presets: {', '.join(PRESETS)}."
    )
  return PRESETS[name](**options)
