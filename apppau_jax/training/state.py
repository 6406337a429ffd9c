"""The state of a training run: a step counter and one player per network."""

from collections.abc import Callable

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from apppau_jax.training import packing
from apppau_jax.training.packing import Tree

Variables = dict[str, Tree]
# Maps parameters and running statistics to the loss, its terms by name and the
# new statistics.
LossFn = Callable[
  [Tree, Tree], tuple[jax.Array, tuple[dict[str, jax.Array], Tree]]
]

# The players of the paper; a semi-supervised method may add segmentors.
SEGMENTOR, DISCRIMINATOR = "segmentor", "discriminator"
CLASSIFIER = "classifier"  # of S's features; it is fitted, no player


@chex.dataclass(frozen=True, mappable_dataclass=False)
class Player:
  """One network in training.

  Its arrays may be packed, see `pack`; `variables` and `averages` never are.

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
    return packing.unpack_all(
      {"params": self.params, "batch_stats": self.batch_stats}
    )

  @property
  def averages(self) -> Variables:
    """The averaged weights and statistics, in the same form."""
    return packing.unpack_all(self.ema)


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
    return {name: player.averages for name, player in self.players.items()}


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
  given = player.variables
  (loss, (terms, batch_stats)), grads = jax.value_and_grad(
    loss_fn, has_aux=True
  )(given["params"], given["batch_stats"])
  grads = packing.pack_like(grads, player.params)
  batch_stats = packing.pack_like(batch_stats, player.batch_stats)
  updates, opt_state = optimizer.update(grads, player.opt_state, player.params)
  params = optax.apply_updates(player.params, updates)
  current = {"params": params, "batch_stats": batch_stats}
  player = Player(
    **current,
    opt_state=opt_state,
    ema=update_ema(player.ema, current, step=step, decay=ema_decay),
  )
  return player, {"loss": loss, **terms, "grad_norm": optax.tree.norm(grads)}


def pack(states: Tree) -> Tree:
  """Return the same state with the arrays of its players as a few vectors.

  A step takes either form and returns the form it was given. With vectors it
  has a hundred kernels less on a GPU. `unpack` is the inverse.

  Args:
    states: a `TrainState`, or a tuple of them.
  """

  def is_player(part: Tree) -> bool:
    return isinstance(part, Player)

  def packed(part: Tree) -> Tree:
    if is_player(part):
      for tree in (part.params, part.batch_stats):
        part = packing.pack_all(part, layout=packing.Layout.of(tree))
    return part

  return jax.tree.map(packed, states, is_leaf=is_player)


def unpack(states: Tree) -> Tree:
  """Return packed states in the form that checkpoints and models have."""
  return packing.unpack_all(states)


def parameter_count(params: Tree) -> int:
  """Return the number of trainable scalars."""
  return sum(leaf.size for leaf in jax.tree.leaves(params))
