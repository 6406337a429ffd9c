"""A classifier of what the segmentor has computed inside the lungs.

    image at half, its own and twice its size
    every block of S   mean, standard deviation and maximum over both lungs,
                       |mean of the left half - mean of the right half|
    all of them        standardise, dense n

S was trained at one size; seen at half of it, it responds to coarser
structures, at twice of it to finer ones, which gained in results/diagnosis.md.
The segmentor is not changed by it: one network has both tasks, and its masks
are those of the network that has one. The last layer is fitted by logistic
regression after the training of S (`experiment.classifier`), which needs
seconds and few images.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from apppau_jax.models import blocks
from apppau_jax.models.discriminator import DiscriminatorOutput
from apppau_jax.models.network import Network

_SEGMENTOR = "segmentor"  # whose variables stand beside the classifier's own
_INSIDE = 0.5  # share of a cell of the grid
_LEAST = 1e-6  # cells, so that no image without lungs divides by zero
_LOWEST = -1e30


class FeatureClassifier(nn.Module):
  """Linear classifier of the features of a segmentor.

  Attributes:
    segmentor: The network S, built of `blocks.ConvBlock`.
    num_classes: Number n of classes or findings.
    lungs: Positions of the lungs among the k masks; empty for all of them.

  Example:
    >>> import jax
    >>> import jax.numpy as jnp
    >>> from apppau_jax import models
    >>> network = models.FeatureClassifier(
    ...   models.Segmentor(base_width=2, depth=1), num_classes=3
    ... )
    >>> pair = jnp.zeros((2, 16, 16, 1)), jnp.ones((2, 16, 16, 1))
    >>> init = jax.jit(network.init, static_argnames="train")
    >>> variables = init(jax.random.key(0), *pair, train=False)
    >>> apply = jax.jit(network.apply, static_argnames="train")
    >>> apply(variables, *pair, train=False).logits.shape
    (2, 4)
  """

  segmentor: Network
  num_classes: int
  lungs: tuple[int, ...] = ()

  @nn.compact
  def __call__(
    self, image: jax.Array, mask: jax.Array, *, train: bool
  ) -> DiscriminatorOutput:
    """Classify images.

    Args:
      image: Float `[b, h, w, 1]`, normalised as for the segmentor.
      mask: Float `[b, h, w, k]` in [0, 1], true or predicted.
      train: Must be False: gradients do not train this network.

    Returns:
      The logits of the n classes; that of "predicted mask" is 0, since this
      network does not judge masks. `features` are those before
      standardisation.

    Raises:
      ValueError: The segmentor has no `blocks.ConvBlock`.
    """
    if train:
      raise ValueError("a FeatureClassifier is fitted, not trained")
    if self.is_initializing():
      self.segmentor(image, train=False)
    network, variables = self.segmentor.unbind()
    features = pooled(network, variables, image, self.of_lungs(mask))
    shape = features.shape[-1:]
    mean = self.param("mean", nn.initializers.zeros, shape)
    sd = self.param("sd", nn.initializers.ones, shape)
    head = nn.Dense(
      self.num_classes, kernel_init=nn.initializers.zeros, name="head"
    )
    logits = head((features - mean[None]) / sd[None])
    fake = jnp.zeros_like(logits[:, :1])
    return DiscriminatorOutput(
      logits=jnp.concatenate([logits, fake], axis=-1), features=features
    )

  @nn.nowrap
  def of_lungs(self, mask: jax.Array) -> jax.Array:
    """Return one mask of both lungs `[b, h, w]`; `mask` as in `__call__`."""
    if self.lungs:
      mask = mask[..., jnp.array(self.lungs)]
    return jnp.clip(mask.astype(jnp.float32).sum(axis=-1), 0.0, 1.0)


def joined(own: Any, segmentor: Any) -> Any:
  """Return the variables of a classifier and of its segmentor as one tree."""
  return {
    "params": {**own["params"], _SEGMENTOR: segmentor["params"]},
    "batch_stats": {_SEGMENTOR: segmentor["batch_stats"]},
  }


def own(variables: Any) -> Any:
  """Return the variables of a classifier without those of its segmentor."""
  params = variables["params"]
  kept = {name: params[name] for name in params if name != _SEGMENTOR}
  return {"params": kept, "batch_stats": {}}


def pooled(
  segmentor: Network, variables: Any, image: jax.Array, lungs: jax.Array
) -> jax.Array:
  """Pool the output of every block over the lungs, at three scales.

  Args:
    segmentor: The network S.
    variables: Its `params` and `batch_stats`.
    image: `[b, h, w, 1]`, normalised.
    lungs: `[b, h, w]` in [0, 1].

  Returns:
    `[b, f]` float32: of each scale, four numbers for each channel of each
    block.

  Raises:
    ValueError: The segmentor has no `blocks.ConvBlock`, or half of h or w is no
      multiple that it can take.
  """
  mask = lungs[..., None]
  scales = [
    (blocks.avg_pool(image), blocks.avg_pool(mask)),
    (image, mask),
    (blocks.upsample(image), blocks.upsample(mask)),
  ]
  columns = [
    _at_one_scale(segmentor, variables, one, its_mask[..., 0])
    for one, its_mask in scales
  ]
  return jnp.concatenate(columns, axis=-1)


def _at_one_scale(
  segmentor: Network, variables: Any, image: jax.Array, lungs: jax.Array
) -> jax.Array:
  _, state = segmentor.apply(
    variables,
    image,
    train=False,
    capture_intermediates=lambda module, _: isinstance(
      module, blocks.ConvBlock
    ),
    mutable=["intermediates"],
  )
  found = jax.tree.leaves(state.get("intermediates", {}))
  if not found:
    raise ValueError(
      f"{type(segmentor).__name__} has no ConvBlock whose features could be "
      "classified"
    )
  left = _left(lungs)
  columns = []
  for values in found:
    values = values.astype(jnp.float32)
    size = values.shape[1:3]
    both, half = _shrunk(lungs, size), _shrunk(lungs * left, size)
    mean = _mean(values, both)
    spread = _mean((values - mean[:, None, None]) ** 2, both)
    inside = jnp.where(both[..., None] > _INSIDE, values, _LOWEST)
    highest = inside.max(axis=(1, 2))
    highest = jnp.where(highest > _LOWEST, highest, 0.0)
    difference = jnp.abs(_mean(values, half) - _mean(values, both - half))
    columns += [mean, jnp.sqrt(spread), highest, difference]
  return jnp.concatenate(columns, axis=-1)


def _left(lungs: jax.Array) -> jax.Array:
  """Return where a column lies left of the lungs' centre, `[b, 1, w]`."""
  column = jnp.arange(lungs.shape[2], dtype=jnp.float32)
  weight = lungs.sum(axis=1)
  centre = (weight * column[None]).sum(axis=1) / (weight.sum(axis=1) + _LEAST)
  return (column[None] < centre[:, None]).astype(jnp.float32)[:, None]


def _shrunk(weight: jax.Array, size: tuple[int, int]) -> jax.Array:
  """Average `[b, h, w]` over the cells of a coarser grid."""
  b, h, w = weight.shape
  rows, columns = size
  cells = weight.reshape(b, rows, h // rows, columns, w // columns)
  return cells.mean(axis=(2, 4))


def _mean(values: jax.Array, weight: jax.Array) -> jax.Array:
  """Return the weighted mean of each channel, `[b, c]`."""
  total = weight.sum(axis=(1, 2)) + _LEAST
  return (values * weight[..., None]).sum(axis=(1, 2)) / total[:, None]
