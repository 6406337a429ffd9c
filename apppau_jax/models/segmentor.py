"""The segmentor S: one network, three switches, eight presets.

    stage  size  plain                          pyramid adds to its input
    E1     1     2 x conv3x3(F)
    E2-E4  1/2.. pool, 2 x conv3x3(2F..8F)      conv3x3(avg-pooled image)
    B      1/16  pool, 2 x conv3x3(16F)
    D4-D1  ..1   up, concat the skip, 2 x conv  (attention gates the skip)

`progressive` puts a 1x1 head on every decoder stage and adds each one's
logits to the next finer (P-HNN, Harrison et al. 2017): eq. (1)'s four side
outputs, the finest being the prediction. Without it one head on D1.
"""

from typing import Any

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from apppau_jax.models import attention as attention_lib
from apppau_jax.models import blocks

# (pyramid, progressive, attention), the menu of the authors' README.
PRESETS: dict[str, tuple[bool, bool, bool]] = {
  "unet": (False, False, False),
  "pyramid_unet": (True, False, False),
  "progressive_unet": (False, True, False),
  "attention_unet": (False, False, True),
  "pyramid_progressive_unet": (True, True, False),
  "pyramid_attention_unet": (True, False, True),
  "progressive_attention_unet": (False, True, True),
  "ppau_unet": (True, True, True),
}


@chex.dataclass(frozen=True, mappable_dataclass=False)
class SegmentorOutput:
  """What S says of a batch; all float32.

  Attributes:
    logits: `[b, h, w, k]`, before the sigmoid; the finest side output.
    side_logits: each `[b, h/2^i, w/2^i, k]`, coarse to fine, finest last;
      a single entry without `progressive`.
    attention: coefficients in (0, 1) by stage ("D4" .. "D1"), each
      `[b, h_i, w_i, 1]` at that stage's size; empty without `attention`.
  """

  logits: jax.Array
  side_logits: tuple[jax.Array, ...]
  attention: dict[str, jax.Array]


class Segmentor(nn.Module):
  """PPAU-Net and the seven networks that lack some of its three parts.

  Attributes:
    pyramid: the image enters every encoder level, as in M-Net.
    progressive: side outputs at every decoder level, progressively added.
    attention: attention gates on the skips of `gated_levels`.
    base_width: channels F of the first level; they double at each pooling.
    depth: number of poolings; h and w must be multiples of 2**depth.
    num_structures: k masks, independent sigmoids.
    gated_levels: levels whose skip is gated, 1 the finest; None means all.
    norm: `batch` or `group`, see `blocks.Norm`.
    dtype: type of the convolutions' arithmetic; parameters, statistics and
      outputs stay float32.
    remat: whether blocks and gates are computed again for their gradients
      instead of kept: less memory, a third more work.
    convolutions: what computes the convolutions.
  """

  pyramid: bool = False
  progressive: bool = False
  attention: bool = False
  base_width: int = 32
  depth: int = 4
  num_structures: int = 1
  gated_levels: tuple[int, ...] | None = None
  norm: str = "batch"
  dtype: jnp.dtype = jnp.float32
  remat: bool = False
  convolutions: blocks.Convolutions = blocks.XLA

  @nn.compact
  def __call__(self, image: jax.Array, *, train: bool) -> SegmentorOutput:
    """Segments float images `[b, h, w, 1]`, as normalised by the data room."""
    self._check(image)
    features, skips = self._encode(image.astype(self.dtype), train=train)
    side_logits, attention = [], {}
    for level in range(self.depth, 0, -1):
      skip = skips[level]
      if self.attention and level in self._gated:
        gate = attention_lib.AttentionGate(
          dtype=self.dtype,
          norm=self.norm,
          convolutions=self.convolutions,
          name=f"AG{level}",
        )
        skip, attention[f"D{level}"] = self._run(
          gate, skip, features, train=train
        )
      width = self._width(level)
      up = blocks.Up(
        width, self.dtype, self.norm, self.convolutions, name=f"up{level}"
      )
      features = jnp.concatenate([up(features, train=train), skip], axis=-1)
      features = self._run(
        self._block(f"D{level}", width), features, train=train
      )
      if self.progressive or level == 1:
        side_logits.append(self._head(level, features, side_logits))
    return SegmentorOutput(
      logits=side_logits[-1],
      side_logits=tuple(side_logits),
      attention=attention,
    )

  @property
  def _gated(self) -> tuple[int, ...]:
    return self.gated_levels or tuple(range(1, self.depth + 1))

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
    return blocks.ConvBlock(
      width, repeats, self.dtype, self.norm, self.convolutions, name=name
    )

  def _run(self, block: nn.Module, *inputs: jax.Array, train: bool) -> Any:
    if not self.remat:
      return block(*inputs, train=train)
    # `train` is bound outside: what is rematerialised takes arrays only.
    return nn.remat(lambda block, *x: block(*x, train=train))(block, *inputs)

  def _encode(
    self, image: jax.Array, *, train: bool
  ) -> tuple[jax.Array, dict[int, jax.Array]]:
    """Returns the bottleneck features and the skips by level."""
    features, skips = image, {}
    for level in range(1, self.depth + 1):
      width = self._width(level)
      if level > 1:
        features = blocks.max_pool(features)
        if self.pyramid:
          image = blocks.avg_pool(image)
          entry = self._block(f"pyramid{level}", width, repeats=1)
          features = jnp.concatenate([entry(image, train=train), features], -1)
      features = self._run(
        self._block(f"E{level}", width), features, train=train
      )
      skips[level] = features
    bottleneck = self._block("B", self._width(self.depth + 1))
    features = self._run(bottleneck, blocks.max_pool(features), train=train)
    return features, skips

  def _head(
    self, level: int, features: jax.Array, coarser: list[jax.Array]
  ) -> jax.Array:
    """s_i = conv1x1(d_i) + up2(s_{i-1}), the progressive sum of logits."""
    head = blocks.conv(
      self.convolutions.conv,
      self.num_structures,
      (1, 1),
      dtype=self.dtype,
      name=f"head{level}",
    )
    logits = head(features).astype(jnp.float32)
    return logits + blocks.upsample(coarser[-1]) if coarser else logits


def from_preset(name: str, **options) -> Segmentor:
  """Returns the segmentor called `name` in `PRESETS`, other fields by name."""
  pyramid, progressive, attention = PRESETS[name]
  return Segmentor(
    pyramid=pyramid, progressive=progressive, attention=attention, **options
  )
