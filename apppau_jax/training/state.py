"""The state of a training run: a step counter and one player per network."""

from collections.abc import Callable
from typing import Any

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

Tree = Any  # a nest of arrays, as JAX means it
Variables = dict[str, Tree]
# Maps parameters and running statistics to the loss, its terms by name and the
# new statistics.
LossFn = Callable[
  [Tree, Tree], tuple[jax.Array, tuple[dict[str, jax.Array], Tree]]
]

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


def descend(
  player: Player,
  loss_fn: LossFn,
  *,
  optimizer: optax.GradientTransformation,
  step: jax.Array,
  ema_decay: float,
) -> tuple[Player, dict[str, jax.Array]]:
  """Take one step down a loss.

  Args:
    player: before the step.
    loss_fn: its loss, see `LossFn`.
    optimizer: its optimiser.
    step: the number of steps done.
    ema_decay: of the averaged weights, in [0, 1).

  Returns:
    The player with new weights, statistics and averages; `loss`, its terms and
    `grad_norm`.
  """
  (loss, (terms, batch_stats)), grads = jax.value_and_grad(
    loss_fn, has_aux=True
  )(player.params, player.batch_stats)
  updates, opt_state = optimizer.update(grads, player.opt_state, player.params)
  params = optax.apply_updates(player.params, updates)
  current = {"params": params, "batch_stats": batch_stats}
  player = Player(
    **current,
    opt_state=opt_state,
    ema=update_ema(player.ema, current, step=step, decay=ema_decay),
  )
  return player, {"loss": loss, **terms, "grad_norm": optax.tree.norm(grads)}


def parameter_count(params: Tree) -> int:
  """Return the number of trainable scalars."""
  return sum(leaf.size for leaf in jax.tree.leaves(params))
