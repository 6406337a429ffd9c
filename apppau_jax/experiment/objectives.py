"""What the two players minimise, as the configuration has it."""

import functools
import inspect

import jax
import numpy as np
import optax

from apppau_jax import losses
from apppau_jax.batch import Batch
from apppau_jax.errors import ConfigError
from apppau_jax.experiment import networks
from apppau_jax.experiment.networks import Config
from apppau_jax.losses import consistency, objectives
from apppau_jax.models import segmentor as segmentor_lib
from apppau_jax.semi import strong_views
from apppau_jax.training import loop, step_terms
from apppau_jax.transforms import augment


def loss(config: Config) -> objectives.LossFn:
  """The segmentation loss, `[b, h, w, k]` twice to `[b]`."""
  function = losses.LOSSES[config.loss.name]
  names = inspect.getfullargspec(function).kwonlyargs
  return functools.partial(
    function, **{name: getattr(config.loss, name) for name in names}
  )


def segmentation(config: Config) -> step_terms.Objective:
  """L_seg, eq. (1)."""
  loss_fn = loss(config)
  weights = tuple(config.loss.side_weights) or None

  def objective(output: segmentor_lib.SegmentorOutput, batch: Batch):
    if weights and len(weights) != len(output.side_logits):
      raise ConfigError(
        f"config.loss.side_weights={weights} must have one weight for each "
        f"side output of the segmentor, {len(output.side_logits)} in all."
      )
    return objectives.segmentation_objective(
      output.side_logits,
      batch.mask,
      has_mask=batch.has_mask,
      loss_fn=loss_fn,
      weights=weights,
      side_target=config.loss.side_target,
    )

  return objective


def labelled_rows(config: Config) -> int:
  """Rows of a minibatch whose masks are known; the rest are unlabelled."""
  return config.train.batch_size - config.train.unlabelled_in_batch


def adversary(
  config: Config, lengths: loop.Plan, optimizer: optax.GradientTransformation
) -> step_terms.Adversary | None:
  """D in training; None where S trains alone."""
  module = networks.discriminator(config)
  if module is None:
    return None
  knobs = config.discriminator
  weights = objectives.DiscriminatorWeights(
    class_weight=knobs.class_weight,
    real_weight=knobs.real_weight,
    fake_weight=knobs.fake_weight,
    predicted_weight=knobs.predicted_weight,
    conditional=knobs.conditional,
  )
  spec = objectives.Adversarial(
    form=config.adversarial.form,
    weight=config.adversarial.weight,
    unlabelled_weight=config.adversarial.unlabelled_weight,
  )
  rising = round(config.adversarial.ramp_up * lengths.steps)

  def judge(real: jax.Array, fake: jax.Array, batch: Batch) -> step_terms.Term:
    return objectives.discriminator_objective(
      real,
      fake,
      label=batch.label,
      has_mask=batch.has_mask,
      has_label=batch.has_label,
      weights=weights,
    )

  def against(fake, real, batch: Batch, step: jax.Array) -> step_terms.Term:
    return objectives.adversarial_objective(
      fake.logits,
      has_mask=batch.has_mask,
      spec=spec,
      fake_features=fake.features,
      real_features=real.features,
      ramp=consistency.ramp_up(step, steps=rising),
    )

  return step_terms.Adversary(
    module=module,
    optimizer=optimizer,
    labelled=labelled_rows(config),
    mask_smoothing=knobs.mask_smoothing,
    objective=judge,
    against=None if spec.form == "none" else against,
    agree=_agreeing(config, lengths),
  )


def _agreeing(
  config: Config, lengths: loop.Plan
) -> step_terms.ClassConsistency | None:
  """What D learns of the classes of unlabelled images; None for nothing."""
  weight = config.discriminator.consistency_weight
  if not weight:
    return None
  spec, ramp = _views(config), _ramp(config, lengths)

  def disturb(key: jax.Array, image: jax.Array) -> jax.Array:
    return strong_views.strong_view(key, image, image, spec=spec, cutmix=0.0)[0]

  def agree(
    logits: jax.Array, teacher: jax.Array, step: jax.Array
  ) -> step_terms.Term:
    return objectives.consistency_objective(
      logits,
      teacher,
      loss_fn=consistency.class_consistency_loss,
      weight=weight,
      ramp=ramp(step),
    )

  return step_terms.ClassConsistency(disturb=disturb, objective=agree)


def _views(config: Config) -> augment.Augmentation:
  """How strong views of unlabelled images differ from weak ones."""
  knobs = config.consistency
  return augment.Augmentation(
    gamma=knobs.gamma,
    contrast=knobs.contrast,
    brightness=knobs.brightness,
    noise=knobs.noise,
  )


def _ramp(config: Config, lengths: loop.Plan):
  """The factor of the consistency terms at a step."""
  rising = round(config.consistency.ramp_up * lengths.steps)
  return functools.partial(consistency.ramp_up, steps=rising)


def consistent(
  config: Config, lengths: loop.Plan
) -> step_terms.Consistency | None:
  """What S learns from its own view of unlabelled images; None for nothing."""
  knobs = config.consistency
  if knobs.name == "none":
    return None
  loss_fn = consistency.mean_teacher_loss
  if knobs.name == "pseudo_label":
    loss_fn = functools.partial(
      consistency.pseudo_label_loss, threshold=knobs.threshold
    )
  ramp = _ramp(config, lengths)

  def agree(
    logits: jax.Array, prob: jax.Array, step: jax.Array
  ) -> step_terms.Term:
    return objectives.consistency_objective(
      logits, prob, loss_fn=loss_fn, weight=knobs.weight, ramp=ramp(step)
    )

  spec = _views(config)

  def disturb(
    key: jax.Array,
    image: jax.Array,
    prob: jax.Array,
    known: tuple[jax.Array, jax.Array],
  ) -> tuple[jax.Array, jax.Array]:
    mixed = known if knobs.cutmix_with == "labelled" else None
    return strong_views.strong_view(
      key, image, prob, spec=spec, cutmix=knobs.cutmix, known=mixed
    )

  return step_terms.Consistency(
    labelled=labelled_rows(config),
    averaged_teacher=knobs.teacher == "averaged",
    disturb=disturb,
    objective=agree,
  )


def check_players(config: Config, *, unlabelled: int) -> None:
  """Refuses combinations that would silently do nothing.

  Args:
    config: the configuration.
    unlabelled: unlabelled training images at hand.

  Raises:
    ConfigError: says which key to change.
  """
  rows, unseen = labelled_rows(config), config.train.unlabelled_in_batch
  if config.discriminator.enabled and len(networks.class_names(config)) < 2:
    raise ConfigError(
      f"D tells classes apart, and {config.data.dataset} has "
      f"{len(networks.class_names(config))}: prepare it with a labels.csv that "
      "names two or more, or set config.discriminator.enabled to False."
    )
  if rows < 1:
    raise ConfigError(
      f"config.train.unlabelled_in_batch={unseen} leaves no labelled row in a "
      f"batch of config.train.batch_size={config.train.batch_size}."
    )
  if unseen and not (
    config.discriminator.enabled or config.consistency.name != "none"
  ):
    raise ConfigError(
      f"config.train.unlabelled_in_batch={unseen}, but nothing learns from "
      "unlabelled images: enable the discriminator or a consistency term, or "
      "set it to 0."
    )
  if config.data.unmasked_images and not unseen:
    raise ConfigError(
      "config.data.unmasked_images adds unlabelled images, and "
      "config.train.unlabelled_in_batch is 0: no batch would hold one."
    )
  if unseen and not unlabelled:
    raise ConfigError(
      f"config.train.unlabelled_in_batch={unseen}, but every training image "
      "is labelled: lower config.data.label_fraction, or set it to 0."
    )
  if config.train.select_by != "dice" and not networks.learns_classes(config):
    raise ConfigError(
      f"config.train.select_by={config.train.select_by!r} asks for a "
      "diagnosis, and D is taught no class (config.discriminator.enabled, "
      "class_weight, predicted_weight); select by dice."
    )
  learns = {
    "consistency.name": config.consistency.name != "none",
    "discriminator.consistency_weight": config.discriminator.enabled
    and config.discriminator.consistency_weight > 0,
  }
  for key in (key for key in learns if learns[key] and not unseen):
    raise ConfigError(
      f"config.{key} learns from unlabelled images, and "
      "config.train.unlabelled_in_batch is 0."
    )


def check_classes(config: Config, *, known: np.ndarray) -> None:
  """Refuses to train a classifier that never sees some class.

  Args:
    config: the configuration.
    known: `[n]` labels of the training images, -1 where unknown.

  Raises:
    ConfigError: says how many classes there are to see.
  """
  if not networks.learns_classes(config):
    return
  names = networks.class_names(config)
  unseen = [name for i, name in enumerate(names) if i not in known]
  if unseen:
    raise ConfigError(
      f"D is to tell {', '.join(names)} apart, but no training image of class "
      f"{', '.join(unseen)} has its class known: raise "
      "config.data.class_count (or label_count), or set "
      "config.discriminator.class_weight and predicted_weight to 0."
    )
