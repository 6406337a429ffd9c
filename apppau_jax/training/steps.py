"""One step as a pure function; who compiles it is `parallel`'s business."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from apppau_jax.batch import Batch
from apppau_jax.data import augment
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
    metrics = {"loss": loss, **terms, "grad_norm": optax.tree.norm(grads)}
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


# Turns (degrees) and zooms at which test-time augmentation looks again.
VIEWS = ((4.0, 1.05), (-4.0, 1.05), (4.0, 0.95), (-4.0, 0.95), (0.0, 1.1))


def make_predict_step(
  segmentor: nn.Module,
  *,
  prepare: Callable[[jax.Array], jax.Array],
  views: Sequence[tuple[float, float]] = (),
) -> Callable[[state_lib.Variables, jax.Array], SegmentorOutput]:
  """Returns `predict(variables, image)`: S in inference mode.

  Args:
    segmentor: the network.
    prepare: normalises uint8 images `[b, h, w, 1]` to float32.
    views: test-time augmentation: the probabilities are the mean over the
      image as it is and turned and zoomed so; `logits` is that mean's logit,
      side outputs and attention are those of the image as it is.
  """

  def predict(variables, image: jax.Array) -> SegmentorOutput:
    image = prepare(image)
    output: Any = segmentor.apply(variables, image, train=False)
    if not views:
      return output
    total = jax.nn.sigmoid(output.logits)
    for degrees, zoom in views:
      view = augment.turn(image, degrees=degrees, zoom=zoom)
      seen: Any = segmentor.apply(variables, view, train=False)
      probs = jax.nn.sigmoid(seen.logits)
      total += augment.turn(probs, degrees=-degrees, zoom=1.0 / zoom)
    mean = jnp.clip(total / (1 + len(views)), 1e-6, 1.0 - 1e-6)
    logits = jnp.log(mean) - jnp.log1p(-mean)
    return dataclasses.replace(output, logits=logits)

  return predict
