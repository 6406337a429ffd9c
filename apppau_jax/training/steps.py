"""One step as a pure function; who compiles it is `parallel`'s business.

With a discriminator it is one round of the paper's Algorithm 1: D learns from
one minibatch, then S from another, against the D just updated. The first rows
of a minibatch have masks, the rest none.
"""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from apppau_jax.batch import Batch
from apppau_jax.training import gradients
from apppau_jax.training import state as state_lib
from apppau_jax.training.state import Player, TrainState, Variables
from apppau_jax.training.step_terms import (
  Adversary,
  Consistency,
  Metrics,
  Objective,
  Prepare,
)


def make_train_step(
  segmentor: nn.Module,
  *,
  objective: Objective,
  optimizer: optax.GradientTransformation,
  prepare: Prepare,
  ema_decay: float,
  seed: int,
  adversary: Adversary | None = None,
  consistency: Consistency | None = None,
  accumulate: int = 1,
) -> Callable[..., tuple[TrainState, Metrics]]:
  """Returns the step of S, and of D where there is an adversary.

  Args:
    segmentor: the network S.
    objective: maps S's output and the prepared batch to L_seg and its terms.
    optimizer: S's.
    prepare: normalises and augments a batch, given a key.
    ema_decay: of the averaged weights of both players, in [0, 1).
    seed: randomness of step t depends on (seed, t) and on nothing else; a
      third argument of the step takes its place.
    adversary: the other player.
    consistency: the term of unlabelled images.
    accumulate: parts a minibatch is taken in, see `gradients.gradient`; it
      divides the labelled and the unlabelled rows.

  Returns:
    `step(state, batch) -> (state, metrics)`; the batch is `[b, ...]`, or with
    an adversary `[2, b, ...]`: D's minibatch, then S's. Metrics are float32
    scalars: `loss`, the terms and `grad_norm` of S, and the same of D behind
    `discriminator_`.
  """
  part = None if adversary is None else adversary.part(accumulate)
  descend = functools.partial(
    _descend, ema_decay=ema_decay, accumulate=accumulate
  )

  def train_step(
    state: TrainState, batch: Batch, seed: int | jax.Array = seed
  ) -> tuple[TrainState, Metrics]:
    key = jax.random.fold_in(jax.random.key(seed), state.step)
    key_s, key_d = jax.random.split(key)
    judge, judged = state.discriminator, {}
    if adversary is not None and judge is not None:
      for_d, batch = (jax.tree.map(lambda x, i=i: x[i], batch) for i in (0, 1))
      judge, judged = discriminator_step(adversary, judge, state, for_d, key_d)
    player, metrics = segmentor_step(state, judge, batch, key_s)
    metrics |= {f"discriminator_{k}": value for k, value in judged.items()}
    state = TrainState(
      step=state.step + 1, segmentor=player, discriminator=judge
    )
    return state, metrics

  def discriminator_step(
    adversary: Adversary,
    judge: Player,
    state: TrainState,
    batch: Batch,
    key: jax.Array,
  ) -> tuple[Player, Metrics]:
    """D tells real pairs from predicted ones, and the classes apart."""
    key, key_dropout, key_views = jax.random.split(key, 3)
    batch = prepare(key, batch)
    assert part is not None
    player, agree, strong = state.segmentor, part.agree, None
    if agree is not None:
      strong = agree.disturb(key_views, batch.image[adversary.labelled :])

    def loss_fn(params, batch_stats, examples, key):
      batch, strong = examples
      output, _ = _train(segmentor, _weights(player), batch.image)
      found = jax.nn.sigmoid(output.logits)
      image, mask = part.real(batch)
      # One pass over all pairs: they share BatchNorm's statistics.
      image = jnp.concatenate([image, batch.image])
      mask = jnp.concatenate([mask, found])
      pairs, guessed = len(image), found[part.labelled :]
      taught: Any = None
      if agree is not None:
        unseen = batch.image[part.labelled :]
        taught = _infer(part.module, judge.ema, unseen, guessed)
        image = jnp.concatenate([image, strong])
        mask = jnp.concatenate([mask, guessed])
      output, batch_stats = _train(
        part.module,
        {"params": params, "batch_stats": batch_stats},
        image,
        mask,
        rngs={"dropout": key},
      )
      real, fake, student = jnp.split(output.logits, [part.labelled, pairs])
      loss, terms = part.objective(real, fake, batch)
      if agree is not None:
        more, named = agree.objective(student, taught.logits, state.step)
        loss, terms = loss + more, terms | named
      return loss, (terms, batch_stats)

    return descend(
      judge,
      loss_fn,
      (batch, strong),
      key_dropout,
      optimizer=part.optimizer,
      step=state.step,
    )

  def segmentor_step(
    state: TrainState, judge: Player | None, batch: Batch, key: jax.Array
  ) -> tuple[Player, Metrics]:
    """S outlines the labelled lungs, agrees with itself and deceives D."""
    key, key_views = jax.random.split(key)
    batch = prepare(key, batch)
    player = state.segmentor
    against = part.against if part is not None else None
    views: Any = (None, None)
    if consistency is not None:
      views = _views(segmentor, consistency, player, batch, key_views)

    def loss_fn(params, batch_stats, examples, key):
      del key  # S has no dropout
      batch, (strong, taught) = examples
      now = {"params": params, "batch_stats": batch_stats}
      if consistency is not None and not against:  # the others: strong alone
        known = len(batch.image) - len(strong)
        batch = jax.tree.map(lambda x: x[:known], batch)
      output, batch_stats = _train(segmentor, now, batch.image)
      loss, terms = objective(output, batch)
      if consistency is not None:
        # A pass of their own: S is used with the statistics of images as they
        # are, and disturbed ones would be half of them.
        student, _ = _train(segmentor, now, strong)
        more, named = consistency.objective(student.logits, taught, state.step)
        loss, terms = loss + more, terms | named
      if part is not None and judge is not None and against:
        ask = functools.partial(_infer, part.module, _weights(judge))
        fake = ask(batch.image, jax.nn.sigmoid(output.logits))
        real = ask(*part.real(batch))
        more, named = against(fake, real, batch, state.step)
        loss, terms = loss + more, terms | named
      return loss, (terms, batch_stats)

    return descend(
      player,
      loss_fn,
      (batch, views),
      key,
      optimizer=optimizer,
      step=state.step,
    )

  return train_step


def _train(module: nn.Module, variables: Variables, *inputs, rngs=None) -> Any:
  """A network in training: its output and its new statistics."""
  output, updated = module.apply(
    variables,
    *inputs,
    train=True,
    mutable=["batch_stats"],
    rngs=rngs,
  )
  return output, updated.get("batch_stats", {})


def _infer(module: nn.Module, variables: Variables, *inputs) -> Any:
  """A network as it is: running statistics, no dropout."""
  return module.apply(variables, *inputs, train=False)


def _weights(player: Player) -> Variables:
  return {"params": player.params, "batch_stats": player.batch_stats}


def _views(
  segmentor: nn.Module,
  consistency: Consistency,
  player: Player,
  batch: Batch,
  key: jax.Array,
) -> tuple[jax.Array, jax.Array]:
  """Strong views of the unlabelled rows, and what is true of them."""
  count = consistency.labelled
  known, unseen = (batch.image[:count], batch.mask[:count]), batch.image[count:]
  teacher = player.ema if consistency.averaged_teacher else _weights(player)
  prob = jax.nn.sigmoid(_infer(segmentor, teacher, unseen).logits)
  return consistency.disturb(key, unseen, prob, known)


def _descend(
  player: Player,
  loss_fn: gradients.LossFn,
  examples: Any,
  key: jax.Array,
  *,
  optimizer: optax.GradientTransformation,
  step: jax.Array,
  ema_decay: float,
  accumulate: int,
) -> tuple[Player, Metrics]:
  """One step down a player's loss: new weights, statistics and average."""
  (loss, (terms, batch_stats)), grads = gradients.gradient(
    loss_fn, player, examples, key, accumulate=accumulate
  )
  updates, opt_state = optimizer.update(grads, player.opt_state, player.params)
  params = optax.apply_updates(player.params, updates)
  ema = state_lib.update_ema(
    player.ema,
    {"params": params, "batch_stats": batch_stats},
    step=step,
    decay=ema_decay,
  )
  player = Player(
    params=params, batch_stats=batch_stats, opt_state=opt_state, ema=ema
  )
  metrics = {"loss": loss, **terms, "grad_norm": optax.tree.norm(grads)}
  return player, metrics
