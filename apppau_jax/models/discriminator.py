"""The discriminator D: whose mask is it, and what does the chest have?

    stage  size      layers
    1..4   1/2..1/16 conv 5x5 stride 2, norm, LeakyReLU .2, dropout .4
    head             pooled over the grid (the exposed features), dense n + 1

One network, two duties: the logits 0..n-1 are the classes of a real pair
(image, true mask), the last is "this mask was predicted". The paper prints
neither layers nor widths; docs/paper.md says why these. `repeats` above 1 puts
3x3 convolutions behind each strided one, for a stronger classifier; with
`pooling` mean_max a finding of one cell is not diluted by all the others; with
`class_input` image the classes have stages of their own, which see no mask.
"""

from collections.abc import Callable

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from apppau_jax.errors import ConfigError
from apppau_jax.models import blocks

NORMS = ("batch", "group", "spectral")
POOLINGS = ("mean", "mean_max")
CLASS_INPUTS = ("pair", "image")
_SLOPE = 0.2  # of LeakyReLU, below zero


@chex.dataclass(frozen=True, mappable_dataclass=False)
class DiscriminatorOutput:
  """What D says of a batch of pairs; float32.

  Attributes:
    logits: `[b, n + 1]`: n classes, then "predicted mask".
    features: `[b, c]` (`mean_max`: `[b, 2c]`) of the pair, what the last layer
      sees; for feature matching.
  """

  logits: jax.Array
  features: jax.Array


class Discriminator(nn.Module):
  """CNN on (image, mask) pairs.

  Attributes:
    num_classes: n real classes.
    base_width: channels of the first stage; they double at each.
    depth: number of stages, each halving the grid.
    repeats: convolutions a stage.
    norm: `batch`; `group` (8 groups, fewer where 8 does not divide
      the width: no example sees another); `spectral`
      (no normalisation of features, kernels of spectral norm 1, Miyato et al.
      2018).
    pooling: `mean` over the grid, or `mean_max`: mean and maximum side by side.
    class_input: what the class logits are made of, `pair` (paper) or `image`:
      the outline is a cue that few labelled images teach the wrong use of.
    dropout: share of activations dropped in training.
    dtype: type of the convolutions' arithmetic.
    convolutions: what computes the convolutions.
  """

  num_classes: int = 2
  base_width: int = 32
  depth: int = 4
  repeats: int = 1
  norm: str = "batch"
  pooling: str = "mean"
  class_input: str = "pair"
  dropout: float = 0.4
  dtype: jnp.dtype = jnp.float32
  convolutions: blocks.Convolutions = blocks.XLA

  @nn.compact
  def __call__(
    self, image: jax.Array, mask: jax.Array, *, train: bool
  ) -> DiscriminatorOutput:
    """Judges pairs.

    Args:
      image: float `[b, h, w, 1]`, as S sees it.
      mask: float `[b, h, w, k]` in [0, 1], true or predicted.
      train: whether BatchNorm uses the batch's statistics, the spectral norms
        are brought up to date and dropout drops (the rng "dropout").
    """
    for key, known in (
      ("norm", NORMS),
      ("pooling", POOLINGS),
      ("class_input", CLASS_INPUTS),
    ):
      if (value := getattr(self, key)) not in known:
        raise ConfigError(
          f"discriminator.{key} is {value!r}; it must be one of "
          f"{', '.join(known)}."
        )
    pair = jnp.concatenate([image, mask.astype(image.dtype)], axis=-1)
    features = self._features(pair, prefix="", train=train)
    n = self.num_classes
    if self.class_input == "pair":
      logits = self._head(features, n + 1, name="head", train=train)
    else:
      seen = self._features(image, prefix="class_", train=train)
      classes = self._head(seen, n, name="class_head", train=train)
      fake = self._head(features, 1, name="head", train=train)
      logits = jnp.concatenate([classes, fake], axis=-1)
    return DiscriminatorOutput(logits=logits, features=features)

  def _features(self, x: jax.Array, *, prefix: str, train: bool) -> jax.Array:
    """The stages and the pooling: `[b, h, w, c]` to `[b, features]`."""
    x = x.astype(self.dtype)
    for stage in range(1, self.depth + 1):
      width = self.base_width * 2 ** (stage - 1)
      for i in range(1, self.repeats + 1):
        name = f"{prefix}stage{stage}" + (f"_{i}" if i > 1 else "")
        x = self._layer(x, width, first=i == 1, name=name, train=train)
      x = nn.Dropout(self.dropout, deterministic=not train)(x)
    x = x.astype(jnp.float32)
    features = x.mean(axis=(1, 2))
    if self.pooling == "mean_max":
      features = jnp.concatenate([features, x.max(axis=(1, 2))], axis=-1)
    return features

  def _head(
    self, features: jax.Array, count: int, *, name: str, train: bool
  ) -> jax.Array:
    dense = nn.Dense(count, name=name)
    return self._constrained(dense, f"{name}_sn", train)(features)

  def _layer(
    self, x: jax.Array, width: int, *, first: bool, name: str, train: bool
  ) -> jax.Array:
    conv = blocks.conv(
      self.convolutions.conv,
      width,
      (5, 5) if first else (3, 3),
      (2, 2) if first else (1, 1),
      use_bias=self.norm == "spectral",
      dtype=self.dtype,
      name=name,
    )
    x = self._constrained(conv, f"{name}_sn", train)(x)
    if self.norm == "batch":
      x = blocks.Norm(self.dtype, name=f"{name}_norm")(x, train=train)
    elif self.norm == "group":
      norm = blocks.group_norm(width, dtype=self.dtype, name=f"{name}_norm")
      x = norm(x)
    return nn.leaky_relu(x, _SLOPE)

  def _constrained(
    self, layer: nn.Module, name: str, train: bool
  ) -> Callable[[jax.Array], jax.Array]:
    """The layer, its kernel divided by its spectral norm where asked for."""
    if self.norm != "spectral":
      return layer
    spectral = nn.SpectralNorm(layer, name=name)
    return lambda x: spectral(x, update_stats=train)
