"""The training step that a configuration describes."""

import dataclasses
import functools
import inspect
from collections.abc import Callable

import jax

from apppau_jax import losses, semi
from apppau_jax.errors import ConfigError
from apppau_jax.experiment import data, networks
from apppau_jax.experiment.networks import Config
from apppau_jax.losses import objectives
from apppau_jax.training import loop, optimizers, step_terms, steps
from apppau_jax.training.state import DISCRIMINATOR, SEGMENTOR
from apppau_jax.transforms import augment

_VIEWS = ("gamma", "contrast", "brightness", "noise")


def training_step(config: Config, lengths: loop.Plan) -> steps.TrainStep:
  """Return the pure step.

  Args:
    config: the configuration.
    lengths: of the run; learning rates and ramps follow them.
  """
  return steps.TrainStep(
    segmentor=networks.segmentor(config),
    objective=_segmentation(config),
    optimizer=networks.optimizer(config, lengths, player=SEGMENTOR),
    prepare=data.prepare(config),
    ema_decay=config.optim.ema_decay,
    seed=config.seed,
    labelled=labelled_rows(config),
    discriminator=_discriminator(config, lengths),
    semi=semi_supervision(config, lengths),
  )


def labelled_rows(config: Config) -> int:
  """Return the rows of a minibatch that have masks; the rest have none."""
  return config.train.batch_size - config.train.unlabelled_in_batch


def _segmentation(config: Config) -> step_terms.Objective:
  """L_seg, eq. (1), under the loss of `config.loss.name`."""
  loss = losses.LOSSES[config.loss.name]
  options = inspect.getfullargspec(loss).kwonlyargs
  weights = tuple(config.loss.side_weights) or None
  objective = functools.partial(
    objectives.segmentation_objective,
    loss_fn=functools.partial(
      loss, **{key: getattr(config.loss, key) for key in options}
    ),
    weights=weights,
    side_target=config.loss.side_target,
  )
  if weights is None:
    return objective

  def checked(side_logits, mask, *, has_mask):
    if len(weights) != len(side_logits):
      raise ConfigError(
        f"config.loss.side_weights={weights} must have one weight for each "
        f"side output of the segmentor, {len(side_logits)} in all."
      )
    return objective(side_logits, mask, has_mask=has_mask)

  return checked


def _discriminator(
  config: Config, lengths: loop.Plan
) -> step_terms.Discriminator | None:
  module = networks.discriminator(config)
  if module is None:
    return None
  settings, of_s = config.discriminator, config.adversarial
  multi_label = networks.is_multi_label(config)
  rising = round(of_s.ramp_up * lengths.steps)
  return step_terms.Discriminator(
    module=module,
    optimizer=networks.optimizer(config, lengths, player=DISCRIMINATOR),
    objective=functools.partial(
      objectives.discriminator_objective,
      class_weight=settings.class_weight,
      real_weight=settings.real_weight,
      fake_weight=settings.fake_weight,
      predicted_weight=settings.predicted_weight,
      conditional=settings.conditional,
      multi_label=multi_label,
    ),
    adversarial=None
    if of_s.form == "none"
    else functools.partial(
      objectives.adversarial_objective,
      form=of_s.form,
      weight=of_s.weight,
      unlabelled_weight=of_s.unlabelled_weight,
      multi_label=multi_label,
    ),
    adversarial_ramp=optimizers.ramp_up(steps=rising),
    mask_smoothing=settings.mask_smoothing,
    class_consistency=_class_consistency(config, lengths),
  )


def _class_consistency(
  config: Config, lengths: loop.Plan
) -> step_terms.ClassConsistency | None:
  weight = config.discriminator.consistency_weight
  if not weight:
    return None
  intensity = _intensity(config)

  def strong_view(key: jax.Array, image: jax.Array) -> jax.Array:
    return semi.strong_view(key, image, image, intensity=intensity)[0]

  return step_terms.ClassConsistency(
    strong_view=strong_view,
    weight=_rising(config, lengths, weight),
    loss=losses.findings_consistency_loss
    if networks.is_multi_label(config)
    else losses.class_consistency_loss,
  )


def semi_supervision(
  config: Config, lengths: loop.Plan
) -> step_terms.SemiSupervision | None:
  """Return the method of `config.consistency.name`, None for "none"."""
  settings = config.consistency
  if settings.name == "none":
    return None
  method = semi.METHODS[settings.name]
  own = {field.name for field in dataclasses.fields(method)} - {"strong_view"}
  return step_terms.SemiSupervision(
    method=method(
      strong_view=functools.partial(
        semi.strong_view,
        intensity=_intensity(config),
        cutmix=settings.cutmix,
        cutmix_with=settings.cutmix_with,
      ),
      **{name: getattr(settings, name) for name in own},
    ),
    weight=_rising(config, lengths, settings.weight),
  )


def _intensity(config: Config) -> augment.Augmentation:
  """How the strong views of unlabelled images differ from the weak ones."""
  return augment.Augmentation(
    **{name: getattr(config.consistency, name) for name in _VIEWS}
  )


def _rising(
  config: Config, lengths: loop.Plan, weight: float
) -> Callable[[jax.Array], jax.Array]:
  """The weight of a term of unlabelled images at a step."""
  steps = round(config.consistency.ramp_up * lengths.steps)
  ramp = optimizers.ramp_up(steps=steps)
  return lambda step: weight * ramp(step)
