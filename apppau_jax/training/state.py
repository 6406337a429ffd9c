"""The state of a training run: a step counter and one player per network."""

from typing import Any

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

Tree = Any  # a nest of arrays, as JAX means it
Variables = dict[str, Tree]

# The players of the paper; a semi-supervised method may add segmentors.
SEGMENTOR, DISCRIMINATOR = "segmentor", "discriminator"


@chex.dataclass(frozen=True, mappable_dataclass=False)
class Player:
  """One network in training.

  Attributes:
    params: trainable parameters.
    batch_stats: running statistics of its BatchNorms (may be empty).
    opt_state: the state of its optimiser.
    ema: `{"params", "batch_stats"}` averaged over steps, used to evaluate.
  """

  params: Tree
  batch_stats: Tree
  opt_state: Tree
  ema: Variables

  @property
  def variables(self) -> Variables:
    """The current weights and statistics, as `module.apply` takes them."""
    return {"params": self.params, "batch_stats": self.batch_stats}


@chex.dataclass(frozen=True, mappable_dataclass=False)
class TrainState:
  """Everything that a checkpoint holds.

  Attributes:
    step: int32 scalar, the number of steps done.
    players: the networks by name: "segmentor", which is evaluated;
      "discriminator" where there is one; and the further segmentors of a
      semi-supervised method, such as "segmentor_b".
  """

  step: jax.Array
  players: dict[str, Player]

  @property
  def averages(self) -> dict[str, Variables]:
    """The averaged weights and statistics of each player."""
    return {name: player.ema for name, player in self.players.items()}


def init_player(
  module: nn.Module,
  *inputs: jax.Array,
  key: jax.Array,
  optimizer: optax.GradientTransformation,
) -> Player:
  """Initialise a player.

  Args:
    module: the network.
    *inputs: arrays of the shapes that it takes; their values do not matter.
    key: of the initial parameters.
    optimizer: its optimiser.
  """
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
  """Update an exponential average; the rate at step t is min(decay, warm-up).

  The warm-up (1 + t) / (10 + t), that of TensorFlow's
  ExponentialMovingAverage, forgets the random start. With decay 0 the average
  is the current value.
  """
  t = step.astype(jnp.float32)
  rate = jnp.minimum(decay, (1.0 + t) / (10.0 + t))
  return jax.tree.map(lambda a, b: a * rate + b * (1.0 - rate), ema, current)


def parameter_count(params: Tree) -> int:
  """Return the number of trainable scalars."""
  return sum(leaf.size for leaf in jax.tree.leaves(params))
