"""The discriminator D: real or predicted pair, and the disease class.

    stage  size      layers
    1..4   1/2..1/16 conv 5x5 stride 2, BatchNorm, LeakyReLU .2, dropout .4
    head             pooling over the grid (the features), dense n + 1

One network has both tasks: the logits 0..n-1 are the classes of a real pair
(image, true mask), the last is the class "predicted mask". The paper prints
neither layers nor widths; docs/paper.md gives the reasons for these. With
`pooling` mean_max, a finding that covers one cell of the grid is not averaged
away. With `class_input` image, the class logits have stages of their own that
do not see the mask.
"""

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from apppau_jax.models import blocks
from apppau_jax.models.network import Network

POOLINGS = ("mean", "mean_max")
CLASS_INPUTS = ("pair", "image")
_SLOPE = 0.2  # of LeakyReLU, below zero


@chex.dataclass(frozen=True, mappable_dataclass=False)
class DiscriminatorOutput:
  """The output of D for a batch of pairs; float32.

  Attributes:
    logits: `[b, n + 1]`: n classes, then "predicted mask".
    features: `[b, c]` (`mean_max`: `[b, 2c]`) of the pair, the input of the
      last layer.
  """

  logits: jax.Array
  features: jax.Array


class Discriminator(Network):
  """Convolutional network on (image, mask) pairs.

  Attributes:
    num_classes: Number n of real classes.
    base_width: Channels of the first stage; they double at each stage.
    depth: Number of stages; each halves the grid.
    pooling: `mean` over the grid, or `mean_max`: mean and maximum side by side.
    class_input: Input of the class logits, `pair` (paper) or `image`. Few
      labelled images can teach wrong uses of the outline.
    dropout: Fraction of activations dropped in training, in [0, 1).
    dtype: Type of the convolutions' arithmetic.
    operations: The functions that the layers compute with.

  Example:
    >>> import jax
    >>> import jax.numpy as jnp
    >>> from apppau_jax import models
    >>> network = models.Discriminator(num_classes=3, base_width=2, depth=1)
    >>> pair = jnp.zeros((2, 16, 16, 1)), jnp.zeros((2, 16, 16, 1))
    >>> init = jax.jit(network.init, static_argnames="train")
    >>> variables = init(jax.random.key(0), *pair, train=False)
    >>> apply = jax.jit(network.apply, static_argnames="train")
    >>> apply(variables, *pair, train=False).logits.shape
    (2, 4)
  """

  num_classes: int = 2
  base_width: int = 32
  depth: int = 4
  pooling: str = "mean"
  class_input: str = "pair"
  dropout: float = 0.4
  dtype: DTypeLike = jnp.float32
  operations: blocks.Operations = blocks.XLA

  @nn.compact
  def __call__(
    self, image: jax.Array, mask: jax.Array, *, train: bool
  ) -> DiscriminatorOutput:
    """Classify pairs.

    Args:
      image: Float `[b, h, w, 1]`, normalised as for the segmentor.
      mask: Float `[b, h, w, k]` in [0, 1], true or predicted.
      train: Whether BatchNorm uses the batch's statistics and dropout is active
        (random key "dropout").

    Raises:
      ValueError: `pooling` or `class_input` is none of those above.
    """
    self._check("pooling", POOLINGS)
    self._check("class_input", CLASS_INPUTS)
    pair = jnp.concatenate([image, mask.astype(image.dtype)], axis=-1)
    features = self._features(pair, prefix="", train=train)
    n = self.num_classes
    if self.class_input == "pair":
      logits = nn.Dense(n + 1, name="head")(features)
    else:
      of_image = self._features(image, prefix="class_", train=train)
      classes = nn.Dense(n, name="class_head")(of_image)
      fake = nn.Dense(1, name="head")(features)
      logits = jnp.concatenate([classes, fake], axis=-1)
    return DiscriminatorOutput(logits=logits, features=features)

  def _check(self, field: str, choices: tuple[str, ...]) -> None:
    if (value := getattr(self, field)) not in choices:
      raise ValueError(
        f"discriminator.{field} is {value!r}; it must be one of "
        f"{', '.join(choices)}."
      )

  def _features(self, x: jax.Array, *, prefix: str, train: bool) -> jax.Array:
    """Apply the stages and the pooling: `[b, h, w, c]` to `[b, features]`."""
    layers = blocks.Layers(self.dtype, operations=self.operations)
    x = x.astype(self.dtype)
    for stage in range(1, self.depth + 1):
      width, name = self.base_width * 2 ** (stage - 1), f"{prefix}stage{stage}"
      x = layers.conv(width, (5, 5), (2, 2), use_bias=False, name=name)(x)
      x = layers.norm(name=f"{name}_norm")(x, train=train)
      x = nn.leaky_relu(x, _SLOPE)
      x = nn.Dropout(self.dropout, deterministic=not train)(x)
    x = x.astype(jnp.float32)
    features = x.mean(axis=(1, 2))
    if self.pooling == "mean_max":
      features = jnp.concatenate([features, x.max(axis=(1, 2))], axis=-1)
    return features
