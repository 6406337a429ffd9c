"""The networks, their optimisers and the state they start from."""

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import optax

from apppau_jax import models, semi
from apppau_jax.config import Config, Discriminator, Optim
from apppau_jax.datasets import registry
from apppau_jax.errors import ConfigError
from apppau_jax.imaging.structure import LUNGS
from apppau_jax.models import blocks
from apppau_jax.models import discriminator as discriminator_lib
from apppau_jax.models import segmentor as segmentor_lib
from apppau_jax.onednn import bridge
from apppau_jax.onednn import operations as onednn
from apppau_jax.training import optimizers
from apppau_jax.training import state as state_lib

if TYPE_CHECKING:  # TensorBoard's and Orbax's packages are slow to import
  from apppau_jax.training import loop

# Keys of the initial parameters are folded in with these numbers, which no step
# has. Further segmentors take those below.
_SEGMENTOR, _DISCRIMINATOR, _FURTHER = 2**31 - 2, 2**31 - 1, 2**31 - 3


def segmentor(config: Config) -> segmentor_lib.Network:
  """Return the network S, and that of every further segmentor."""
  return segmentor_lib.from_preset(
    config.model.preset,
    base_width=config.model.base_width,
    num_structures=masks(config),
    norm=config.model.norm,
    dtype=jnp.dtype(config.model.dtype),
    remat=config.model.remat,
    operations=operations(config),
  )


def masks(config: Config) -> int:
  """Return the number of masks of an image."""
  return len(structures(config)) or 1


def structures(config: Config) -> tuple[str, ...]:
  """Return the names of the masks; empty for one mask of both lungs.

  Without `data.structures` it is what the masks of the data set outline.
  """
  if names := tuple(config.data.structures):
    return names
  first = registry.members(config.data.dataset)[0]
  outlined = registry.spec(first).outlined
  return () if outlined == LUNGS else (outlined.name.replace(" ", "_"),)


def is_multi_label(config: Config) -> bool:
  """Return whether D learns findings, any number of which an image may have."""
  return config.data.diagnosis == "findings"


def sets_with_findings() -> tuple[str, ...]:
  """Return the names of the data sets that state findings."""
  return tuple(n for n, s in registry.DATASETS.items() if s.finding_names)


def class_names(config: Config) -> tuple[str, ...]:
  """Return the classes or findings of D; an own data set may have none."""
  names = tuple(config.data.class_names)
  if is_multi_label(config):
    return names or registry.finding_names(config.data.dataset)
  own = any(map(registry.is_own, registry.parts(config.data.dataset)))
  return names if names or own else registry.class_names(config.data.dataset)


def learns_classes(config: Config) -> bool:
  """Return whether D learns any class; only then does it classify."""
  knobs = config.discriminator
  return knobs.enabled and bool(knobs.class_weight or knobs.predicted_weight)


def has_classes(config: Config) -> bool:
  """Return whether the trained model classifies, by D or by S's features."""
  return learns_classes(config) or config.classifier.enabled


def feature_classifier(config: Config) -> models.FeatureClassifier:
  """Return the classifier of S's features."""
  names = structures(config)
  return models.FeatureClassifier(
    segmentor(config).clone(remat=False),
    num_classes=len(class_names(config)),
    lungs=tuple(k for k, name in enumerate(names) if "lung" in name),
  )


def classifier_shapes(config: Config) -> state_lib.Variables:
  """Return the shapes of the classifier's own weights."""
  side = config.data.resolution
  image = jax.ShapeDtypeStruct((1, side, side, 1), jnp.float32)
  mask = jax.ShapeDtypeStruct((1, side, side, masks(config)), jnp.float32)
  network = feature_classifier(config)
  found = jax.eval_shape(
    lambda *pair: network.init(jax.random.key(0), *pair, train=False),
    image,
    mask,
  )
  return models.feature_classifier.own(found)


def discriminator(config: Config) -> discriminator_lib.Discriminator | None:
  """Return the network D, or None without a discriminator."""
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
    operations=operations(config),
  )


def operations(config: Config) -> blocks.Operations:
  """Return the functions that all networks compute with.

  Raises:
    ConfigError: oneDNN is configured and not available.
  """
  asked = config.model.convolutions
  if asked == "xla":
    return blocks.XLA
  why = bridge.why_not()
  if not why:
    return onednn.OPERATIONS
  if asked == "onednn":
    raise ConfigError(
      f"model.convolutions is 'onednn', but {why}. 'auto' takes oneDNN's "
      "where they are available, else XLA's."
    )
  return blocks.XLA


def convolutions_by(config: Config) -> str:
  """Describe the convolutions in use, and why they are not oneDNN's."""
  if operations(config) is not blocks.XLA:
    return "oneDNN"
  asked = config.model.convolutions
  if asked == "xla":
    return "XLA"
  return f"XLA (not oneDNN: {bridge.why_not()})"


def schedule(
  config: Config, lengths: "loop.Plan", *, player: str
) -> optax.Schedule:
  """Return the learning rate of a player by step."""
  warmup = round(config.optim.warmup_epochs * lengths.steps_per_epoch)
  return optimizers.make_schedule(
    config.optim.schedule,
    learning_rate=_settings(config, player).learning_rate,
    steps=lengths.steps,
    warmup_steps=min(warmup, lengths.steps - 1),
  )


def optimizer(
  config: Config, lengths: "loop.Plan | None", *, player: str
) -> optax.GradientTransformation:
  """Return the optimiser of a player.

  Args:
    config: the configuration.
    lengths: of the run; None where only the shapes of the state matter.
    player: a name; every segmentor is optimised alike.
  """
  own = _settings(config, player)
  rate = optax.constant_schedule(0.0)
  if lengths is not None:
    rate = schedule(config, lengths, player=player)
  return optimizers.make_optimizer(
    schedule=rate,
    b1=own.b1,
    b2=config.optim.b2,
    weight_decay=own.weight_decay,
    grad_clip=own.grad_clip,
  )


def _settings(config: Config, player: str) -> Discriminator | Optim:
  is_d = player == state_lib.DISCRIMINATOR
  return config.discriminator if is_d else config.optim


def further_segmentors(config: Config) -> tuple[str, ...]:
  """Return the names of the segmentors that train beside "segmentor"."""
  name = config.consistency.name
  return () if name == "none" else semi.METHODS[name].players


def init(
  config: Config,
  lengths: "loop.Plan | None" = None,
  *,
  seed: int | jax.Array | None = None,
) -> state_lib.TrainState:
  """Return a fresh state; trace or compile it, it is slow otherwise.

  Args:
    config: the configuration.
    lengths: of the run; None where only the shapes of the state matter.
    seed: of the initial parameters, in place of the configuration's.
  """
  side = config.data.resolution
  image = jnp.zeros((1, side, side, 1), jnp.float32)
  mask = jnp.zeros((1, side, side, masks(config)), jnp.float32)
  key = jax.random.key(config.seed if seed is None else seed)

  def player(name, module, *inputs, number):
    return state_lib.init_player(
      module,
      *inputs,
      key=jax.random.fold_in(key, number),
      optimizer=optimizer(config, lengths, player=name),
    )

  net, other = segmentor(config), discriminator(config)
  numbers = {state_lib.SEGMENTOR: _SEGMENTOR} | {
    name: _FURTHER - i for i, name in enumerate(further_segmentors(config))
  }
  players = {
    name: player(name, net, image, number=number)
    for name, number in numbers.items()
  }
  if other is not None:
    name = state_lib.DISCRIMINATOR
    players[name] = player(name, other, image, mask, number=_DISCRIMINATOR)
  return state_lib.TrainState(step=jnp.int32(0), players=players)
