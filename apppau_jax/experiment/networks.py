"""The two networks, their optimisers and the state they start from."""

import jax
import jax.numpy as jnp
import optax

from apppau_jax.config import Config
from apppau_jax.datasets import registry as sets
from apppau_jax.errors import ConfigError
from apppau_jax.models import blocks
from apppau_jax.models import discriminator as discriminator_lib
from apppau_jax.models import segmentor as segmentor_lib
from apppau_jax.onednn import convolutions as onednn
from apppau_jax.training import loop, optimizers
from apppau_jax.training import state as state_lib

# Of the keys of the first weights: no step has these numbers.
_SEGMENTOR, _DISCRIMINATOR = 2**31 - 2, 2**31 - 1
# What D, and the first state, are made of: for `shared`.
D_KEYS = ("discriminator", "data.dataset", "data.class_names")
INIT_KEYS = ("model", "optim", "data.resolution", "data.structures", *D_KEYS)


def segmentor(config: Config) -> segmentor_lib.Network:
  """The network S."""
  return segmentor_lib.from_preset(
    config.model.preset,
    base_width=config.model.base_width,
    num_structures=masks(config),
    norm=config.model.norm,
    dtype=jnp.dtype(config.model.dtype),
    remat=config.model.remat,
    convolutions=convolutions(config),
  )


def masks(config: Config) -> int:
  """How many masks S makes of an image: the structures, or the lungs."""
  return len(config.data.structures) or 1


def class_names(config: Config) -> tuple[str, ...]:
  """The classes that D tells apart; none of a user's own set without any."""
  names = tuple(config.data.class_names)
  own = any(map(sets.is_own, sets.parts(config.data.dataset)))
  return names if names or own else sets.class_names(config.data.dataset)


def learns_classes(config: Config) -> bool:
  """Whether D is taught any class: only then is what it says a diagnosis."""
  knobs = config.discriminator
  return knobs.enabled and bool(knobs.class_weight or knobs.predicted_weight)


def discriminator(config: Config) -> discriminator_lib.Discriminator | None:
  """The network D, None where S trains alone."""
  knobs = config.discriminator
  if not knobs.enabled:
    return None
  return discriminator_lib.Discriminator(
    num_classes=len(class_names(config)),
    base_width=knobs.base_width,
    pooling=knobs.pooling,
    class_input=knobs.class_input,
    dropout=knobs.dropout,
    dtype=jnp.dtype(config.model.dtype),
    convolutions=convolutions(config),
  )


def convolutions(config: Config) -> blocks.Convolutions:
  """What computes the networks' convolutions.

  Raises:
    ConfigError: oneDNN is asked for and can't be had.
  """
  asked = config.model.convolutions
  if asked == "xla":
    return blocks.XLA
  why = onednn.why_not()
  if not why:
    return onednn.CONVOLUTIONS
  if asked == "onednn":
    raise ConfigError(
      f"model.convolutions is 'onednn', but {why}. With 'auto' they are "
      "oneDNN's where they can be, else XLA's."
    )
  return blocks.XLA


def convolutions_by(config: Config) -> str:
  """In words: whose convolutions, and why not oneDNN's."""
  if convolutions(config) is not blocks.XLA:
    return "oneDNN"
  asked = config.model.convolutions
  if asked == "xla":
    return "XLA"
  return f"XLA (not oneDNN: {onednn.why_not()})"


def schedule(
  config: Config, lengths: loop.Plan, *, learning_rate: float
) -> optax.Schedule:
  """A player's learning rate by step."""
  warmup = round(config.optim.warmup_epochs * lengths.steps_per_epoch)
  return optimizers.make_schedule(
    config.optim.schedule,
    learning_rate=learning_rate,
    steps=lengths.steps,
    warmup_steps=min(warmup, lengths.steps - 1),
  )


def optimizer(
  config: Config, rate: optax.Schedule, *, player: str
) -> optax.GradientTransformation:
  """A player's optimiser; `player` is "segmentor" or "discriminator"."""
  own = config.optim if player == "segmentor" else config.discriminator
  return optimizers.make_optimizer(
    schedule=rate,
    b1=own.b1,
    b2=config.optim.b2,
    weight_decay=own.weight_decay,
    grad_clip=own.grad_clip,
  )


def init(
  config: Config,
  transform: optax.GradientTransformation,
  discriminator_transform: optax.GradientTransformation,
  *,
  seed: int | jax.Array | None = None,
) -> state_lib.TrainState:
  """A fresh state; trace or compile it, it is slow otherwise.

  Args:
    config: the configuration; its seed is asked for only without `seed`.
    transform: S's optimiser.
    discriminator_transform: D's.
    seed: of the first weights.
  """
  side = config.data.resolution
  image = jnp.zeros((1, side, side, 1), jnp.float32)
  mask = jnp.zeros((1, side, side, masks(config)), jnp.float32)
  key = jax.random.key(config.seed if seed is None else seed)
  other = discriminator(config)
  return state_lib.TrainState(
    step=jnp.int32(0),
    segmentor=state_lib.init_player(
      segmentor(config),
      image,
      key=jax.random.fold_in(key, _SEGMENTOR),
      optimizer=transform,
    ),
    discriminator=None
    if other is None
    else state_lib.init_player(
      other,
      image,
      mask,
      key=jax.random.fold_in(key, _DISCRIMINATOR),
      optimizer=discriminator_transform,
    ),
  )
