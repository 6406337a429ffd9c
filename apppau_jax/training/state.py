"""What a run is made of between two steps."""

from typing import Any

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from apppau_jax.exportable import exportable

Tree = Any  # a nest of arrays, as JAX means it
Variables = dict[str, Tree]


@exportable
@chex.dataclass(frozen=True, mappable_dataclass=False)
class Player:
  """One network in training.

  Attributes:
    params: trainable parameters.
    batch_stats: running statistics of its BatchNorms (may be empty).
    opt_state: its optimiser's state.
    ema: `{"params", "batch_stats"}` averaged over steps, used to evaluate.
  """

  params: Tree
  batch_stats: Tree
  opt_state: Tree
  ema: Variables


@exportable
@chex.dataclass(frozen=True, mappable_dataclass=False)
class TrainState:
  """The whole state: everything a checkpoint holds, nothing else.

  Attributes:
    step: int32 scalar, steps done.
    segmentor: the player S.
    discriminator: the player D, None where S trains alone.
  """

  step: jax.Array
  segmentor: Player
  discriminator: Player | None = None

  @property
  def averages(self) -> dict[str, Variables]:
    """What is evaluated: each player's averaged weights and statistics."""
    averages = {"segmentor": self.segmentor.ema}
    if self.discriminator is not None:
      averages["discriminator"] = self.discriminator.ema
    return averages


def init_player(
  module: nn.Module,
  *inputs: jax.Array,
  key: jax.Array,
  optimizer: optax.GradientTransformation,
) -> Player:
  """Returns a fresh player; `inputs` need only have the right shapes."""
  variables = module.init(key, *inputs, train=False)
  params, batch_stats = variables["params"], variables.get("batch_stats", {})
  return Player(
    params=params,
    batch_stats=batch_stats,
    opt_state=optimizer.init(params),
    ema={"params": params, "batch_stats": batch_stats},
  )


def update_ema(
  ema: Variables, current: Variables, *, step: jax.Array, decay: float
) -> Variables:
  """Exponential average with a warm-up: min(decay, (1 + t) / (10 + t)).

  The warm-up (as in TensorFlow's ExponentialMovingAverage) forgets the
  random start; decay 0 makes the average the current value.
  """
  t = step.astype(jnp.float32)
  rate = jnp.minimum(decay, (1.0 + t) / (10.0 + t))
  return jax.tree.map(lambda a, b: a * rate + b * (1.0 - rate), ema, current)


def parameter_count(params: Tree) -> int:
  """Number of trainable scalars."""
  return sum(leaf.size for leaf in jax.tree.leaves(params))
