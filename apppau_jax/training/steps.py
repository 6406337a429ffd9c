"""One training step: a round of the paper's Algorithm 1 as a pure function.

  draw a minibatch
    D  descends  L_D = w L_class + w L_real + w L_fake       eqs. (6) to (8)
  draw another minibatch
    S  descends  L_S = L_seg + c L_adv (+ w L_unlabelled)    eqs. (1), (3), (5)

D is updated first, and S is judged by the D just updated. Without a
discriminator only the second half remains. L_unlabelled is the term of a
semi-supervised method (`apppau_jax.semi`), which may bring further segmentors;
each of them takes the second half on the same minibatch, from the state at the
start of the step.

The first `labelled` rows of a minibatch have masks, the others have none.
`training.parallel` compiles the step.
"""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from apppau_jax.batch import Batch
from apppau_jax.losses import adversarial, objectives
from apppau_jax.models.network import FEATURE_DROPOUT
from apppau_jax.training import state as state_lib
from apppau_jax.training.state import (
  DISCRIMINATOR,
  SEGMENTOR,
  Player,
  TrainState,
  Tree,
  Variables,
)
from apppau_jax.training.step_terms import (
  Discriminator,
  Metrics,
  Objective,
  Prepare,
  SemiSupervision,
  Term,
)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class TrainStep:
  """The training step; called with a state and a batch.

  Attributes:
    segmentor: the network S, and that of every further segmentor.
    objective: L_seg, `losses.objectives.segmentation_objective`.
    optimizer: of S and of every further segmentor.
    prepare: normalises and augments a batch, given a key.
    ema_decay: of the averaged weights of all players, in [0, 1).
    seed: the randomness of step t depends on (seed, t) alone.
    labelled: rows of a minibatch that have masks, the first ones; None: all.
    discriminator: the player D; None without.
    semi: the semi-supervised method; None without.
  """

  segmentor: nn.Module
  objective: Objective
  optimizer: optax.GradientTransformation
  prepare: Prepare
  ema_decay: float
  seed: int = 0
  labelled: int | None = None
  discriminator: Discriminator | None = None
  semi: SemiSupervision | None = None

  def __call__(
    self, state: TrainState, batch: Batch, seed: int | jax.Array | None = None
  ) -> tuple[TrainState, Metrics]:
    """Make one step.

    Args:
      state: a state with the players named by `players`.
      batch: `[b, ...]`; with a discriminator `[2, b, ...]`, the minibatch of D
        and that of S.
      seed: in place of the step's own, so that one program serves every seed.

    Returns:
      The new state and float32 scalars by name: `loss`, its terms and
      `grad_norm` of S, and the same of every other player behind its name, as
      `discriminator_loss`.
    """
    seed = self.seed if seed is None else seed
    key = jax.random.fold_in(jax.random.key(seed), state.step)
    key_segmentor, key_discriminator = jax.random.split(key)
    players: dict[str, Player] = {}
    metrics: dict[str, Metrics] = {}
    if self.discriminator is not None:
      first, batch = (jax.tree.map(lambda x, i=i: x[i], batch) for i in (0, 1))
      players[DISCRIMINATOR], metrics[DISCRIMINATOR] = self.discriminator_step(
        self.discriminator, state, first, key_discriminator
      )
    key, key_views = jax.random.split(key_segmentor)
    batch = self.prepare(key, batch)
    for name in self.segmentors:
      players[name], metrics[name] = self.segmentor_step(
        name, state, batch, key_views, discriminator=players.get(DISCRIMINATOR)
      )
    return TrainState(step=state.step + 1, players=players), _named(metrics)

  @property
  def segmentors(self) -> tuple[str, ...]:
    """The names of all players that are segmentors."""
    return (SEGMENTOR, *(self.semi.method.players if self.semi else ()))

  def discriminator_step(
    self, spec: Discriminator, state: TrainState, batch: Batch, key: jax.Array
  ) -> tuple[Player, Metrics]:
    """Update D down L_D, S held fixed.

    D sees the real pairs (x, y) of the labelled rows and the predicted pairs
    (x, S(x)) of all rows.
    """
    key, key_dropout, key_views = jax.random.split(key, 3)
    batch = self.prepare(key, batch)
    player = state.players[DISCRIMINATOR]
    output, _ = _train(
      self.segmentor, state.players[SEGMENTOR].variables, batch.image
    )
    predicted = jax.nn.sigmoid(output.logits)
    real_mask = adversarial.smooth_mask(
      batch.mask[: self.labelled], smoothing=spec.mask_smoothing
    )
    pairs = [
      (batch.image[: self.labelled], real_mask),
      (batch.image, predicted),
    ]
    agree = spec.class_consistency
    teacher: Any = None
    if agree is not None:
      image, mask = batch.image[self.labelled :], predicted[self.labelled :]
      teacher = _infer(spec.module, player.averages, image, mask).logits
      pairs.append((agree.strong_view(key_views, image), mask))
    ends = np.cumsum([len(image) for image, _ in pairs])[:-1]
    # One pass over all pairs: they share the statistics of BatchNorm.
    images, masks = map(jnp.concatenate, zip(*pairs))

    def loss_fn(params, batch_stats):
      variables = {"params": params, "batch_stats": batch_stats}
      output, batch_stats = _train(
        spec.module, variables, images, masks, rngs={"dropout": key_dropout}
      )
      real, fake, *strong = jnp.split(output.logits, ends)
      term = spec.objective(
        real,
        fake,
        label=batch.label,
        has_mask=batch.has_mask,
        has_label=batch.has_label,
      )
      if agree is not None:
        each = agree.loss(strong[0], teacher)
        term = _sum(
          term,
          objectives.consistency_objective(
            each, weight=agree.weight(state.step)
          ),
        )
      return term[0], (term[1], batch_stats)

    return state_lib.descend(
      player,
      loss_fn,
      optimizer=spec.optimizer,
      step=state.step,
      ema_decay=self.ema_decay,
    )

  def segmentor_step(
    self,
    name: str,
    state: TrainState,
    batch: Batch,
    key: jax.Array,
    *,
    discriminator: Player | None,
  ) -> tuple[Player, Metrics]:
    """Update the segmentor `name` down L_S, the D just updated held fixed.

    D plays against S alone, not against further segmentors.
    """
    spec, against = self.discriminator, None
    if spec is not None and name == SEGMENTOR:
      against = spec.adversarial
    views, rows = self.unlabelled_views(name, state, batch, key), batch
    if self.semi is not None and against is None:
      # The unlabelled rows enter as strong views only.
      rows = jax.tree.map(lambda x: x[: self.labelled], batch)

    def loss_fn(params, batch_stats):
      variables = {"params": params, "batch_stats": batch_stats}
      output, batch_stats = _train(self.segmentor, variables, rows.image)
      term = self.objective(
        output.side_logits, rows.mask, has_mask=rows.has_mask
      )
      if self.semi is not None:
        term = _sum(
          term, self.unlabelled_term(self.semi, variables, views, state.step)
        )
      if spec is not None and against is not None and discriminator is not None:
        pair = batch.image, jax.nn.sigmoid(output.logits)
        fake = _infer(spec.module, discriminator.variables, *pair).logits
        ramp = spec.adversarial_ramp(state.step)
        term = _sum(term, against(fake, has_mask=batch.has_mask, ramp=ramp))
      return term[0], (term[1], batch_stats)

    return state_lib.descend(
      state.players[name],
      loss_fn,
      optimizer=self.optimizer,
      step=state.step,
      ema_decay=self.ema_decay,
    )

  def unlabelled_views(
    self, name: str, state: TrainState, batch: Batch, key: jax.Array
  ) -> Any:
    """Return what the method needs of the unlabelled rows, see `semi`."""
    if self.semi is None:
      return None

    def predict(image: jax.Array, *, player: str, averaged: bool) -> Any:
      of = state.players[player]
      return _infer(
        self.segmentor, of.averages if averaged else of.variables, image
      )

    count = self.labelled
    return self.semi.method.views(
      key,
      batch.image[count:],
      labelled=(batch.image[:count], batch.mask[:count]),
      predict=predict,
      student=name,
    )

  def unlabelled_term(
    self, spec: SemiSupervision, variables: Variables, views: Any, step: Any
  ) -> Term:
    """Compute the weighted term of the method.

    Its images pass through the network by themselves, normalised by their own
    statistics. These leave no trace in the running statistics, which are those
    of images as they are.
    """

    def student(
      image: jax.Array, *, feature_dropout: jax.Array | None = None
    ) -> Any:
      rngs = (
        None if feature_dropout is None else {FEATURE_DROPOUT: feature_dropout}
      )
      return _train(self.segmentor, variables, image, rngs=rngs)[0]

    return objectives.consistency_objective(
      spec.method.loss(student, views), weight=spec.weight(step)
    )


def _train(
  module: nn.Module, variables: Variables, *inputs: jax.Array, rngs: Any = None
) -> tuple[Any, Tree]:
  """Apply a network in training mode: its output, its new statistics."""
  output, updated = module.apply(
    variables, *inputs, train=True, mutable=["batch_stats"], rngs=rngs
  )
  return output, updated.get("batch_stats", {})


def _infer(module: nn.Module, variables: Variables, *inputs: jax.Array) -> Any:
  """Apply a network with its running statistics and without dropout."""
  return module.apply(variables, *inputs, train=False)


def _sum(one: Term, other: Term) -> Term:
  return one[0] + other[0], one[1] | other[1]


def _named(metrics: dict[str, Metrics]) -> Metrics:
  """The metrics of all players in one mapping."""
  return {
    (key if name == SEGMENTOR else f"{name}_{key}"): value
    for name, values in metrics.items()
    for key, value in values.items()
  }
