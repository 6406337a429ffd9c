"""One step as a pure function; who compiles it is `parallel`'s business."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import optax

from apppau_jax.batch import Batch
from apppau_jax.models.segmentor import SegmentorOutput
from apppau_jax.training import state as state_lib
from apppau_jax.training.state import Player, TrainState, Tree

Metrics = dict[str, jax.Array]
Prepare = Callable[[jax.Array, Batch], Batch]
Objective = Callable[[SegmentorOutput, Batch], tuple[jax.Array, Metrics]]


def make_train_step(
  segmentor: nn.Module,
  *,
  objective: Objective,
  optimizer: optax.GradientTransformation,
  prepare: Prepare,
  ema_decay: float,
  seed: int,
) -> Callable[[TrainState, Batch], tuple[TrainState, Metrics]]:
  """Returns the supervised step of S.

  Args:
    segmentor: the network.
    objective: maps S's output and the prepared batch to the loss and terms.
    optimizer: S's.
    prepare: normalises and augments a batch, given a key.
    ema_decay: of the averaged weights, in [0, 1).
    seed: randomness of step t depends on (seed, t) and on nothing else.

  Returns:
    `step(state, batch) -> (state, metrics)`; metrics are float32 scalars:
    `loss`, the objective's terms and `grad_norm`.
  """

  def train_step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
    key = jax.random.fold_in(jax.random.key(seed), state.step)
    batch = prepare(key, batch)
    player = state.segmentor

    def loss_fn(params):
      output, updated = segmentor.apply(
        {"params": params, "batch_stats": player.batch_stats},
        batch.image,
        train=True,
        mutable=["batch_stats"],
      )
      loss, terms = objective(output, batch)
      return loss, (terms, updated["batch_stats"])

    (loss, (terms, batch_stats)), grads = jax.value_and_grad(
      loss_fn, has_aux=True
    )(player.params)
    player = update_player(
      player,
      grads,
      batch_stats=batch_stats,
      optimizer=optimizer,
      step=state.step,
      ema_decay=ema_decay,
    )
    metrics = {"loss": loss, **terms, "grad_norm": optax.global_norm(grads)}
    return TrainState(step=state.step + 1, segmentor=player), metrics

  return train_step


def update_player(
  player: Player,
  grads: Tree,
  *,
  batch_stats: Tree,
  optimizer: optax.GradientTransformation,
  step: jax.Array,
  ema_decay: float,
) -> Player:
  """Applies one gradient, keeps the new statistics, moves the average."""
  updates, opt_state = optimizer.update(grads, player.opt_state, player.params)
  params = optax.apply_updates(player.params, updates)
  ema = state_lib.update_ema(
    player.ema,
    {"params": params, "batch_stats": batch_stats},
    step=step,
    decay=ema_decay,
  )
  return Player(
    params=params, batch_stats=batch_stats, opt_state=opt_state, ema=ema
  )


def make_predict_step(
  segmentor: nn.Module, *, prepare: Callable[[jax.Array], jax.Array]
) -> Callable[[state_lib.Variables, jax.Array], SegmentorOutput]:
  """Returns `predict(variables, image)`: S in inference mode.

  Args:
    segmentor: the network.
    prepare: normalises uint8 images `[b, h, w, 1]` to float32.
  """

  def predict(variables, image: jax.Array) -> SegmentorOutput:
    output: Any = segmentor.apply(variables, prepare(image), train=False)
    return output

  return predict
