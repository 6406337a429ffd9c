"""What a training step refuses: settings without effect, absent classes."""

from collections.abc import Sequence

import numpy as np

from apppau_jax.errors import ConfigError
from apppau_jax.experiment import networks, step
from apppau_jax.experiment.networks import Config


def check_players(config: Config, *, unlabelled: int) -> None:
  """Refuse combinations of settings some of which would have no effect.

  Args:
    config: the configuration.
    unlabelled: number of unlabelled training images.

  Raises:
    ConfigError: names the keys to change, for all such combinations.
  """
  _refuse(_player_faults(config, unlabelled=unlabelled))


def check_classes(config: Config, *, labels: np.ndarray) -> None:
  """Refuse to learn classes some of which are never seen.

  Args:
    config: the configuration.
    labels: `[n]`, or `[n, k]` of k findings, of the training images, -1 for
      those without.

  Raises:
    ConfigError: names the absent classes.
  """
  if networks.has_classes(config):
    _refuse(_class_faults(config, labels=labels))


def check(config: Config, *, unlabelled: int, labels: np.ndarray) -> None:
  """Make both checks; all that is to be changed is in one error.

  Raises:
    ConfigError: see `check_players` and `check_classes`.
  """
  faults = _player_faults(config, unlabelled=unlabelled)
  if networks.learns_classes(config):
    faults += _class_faults(config, labels=labels)
  _refuse(faults)


def _refuse(faults: Sequence[str]) -> None:
  if len(faults) == 1:
    raise ConfigError(faults[0])
  if faults:
    listed = " ".join(f"({i}) {fault}" for i, fault in enumerate(faults, 1))
    raise ConfigError(f"{len(faults)} settings cannot be used: {listed}")


def _player_faults(config: Config, *, unlabelled: int) -> list[str]:
  rows, without = step.labelled_rows(config), config.train.unlabelled_in_batch
  of_d, method = config.discriminator, config.consistency.name
  classes = len(networks.class_names(config))
  faults = []
  if networks.is_multi_label(config) and not classes:
    faults.append(
      "config.data.diagnosis='findings', and "
      f"{config.data.dataset} states none; these sets do: "
      f"{', '.join(networks.sets_with_findings())}. Choose 'class'."
    )
  elif of_d.enabled and classes < 2 and not networks.is_multi_label(config):
    faults.append(
      f"The discriminator classifies, and {config.data.dataset} has {classes} "
      "classes: prepare it with a labels.csv that names two or more, or set "
      "config.discriminator.enabled to False."
    )
  elif (
    config.classifier.enabled
    and classes < 2
    and not networks.is_multi_label(config)
  ):
    faults.append(
      f"The classifier needs two classes, and {config.data.dataset} has "
      f"{classes}: prepare it with a labels.csv that names two or more, or set "
      "config.classifier.enabled to False."
    )
  if rows < 1:
    faults.append(
      f"config.train.unlabelled_in_batch={without} leaves no labelled row in a "
      f"batch of config.train.batch_size={config.train.batch_size}."
    )
  if config.classifier.enabled and networks.learns_classes(config):
    faults.append(
      "config.classifier.enabled and the discriminator would both classify. "
      "Set config.discriminator.class_weight and predicted_weight to 0, or "
      "config.classifier.enabled to False."
    )
  if without and not of_d.enabled and method == "none":
    faults.append(
      f"config.train.unlabelled_in_batch={without}, but nothing learns from "
      "unlabelled images: enable the discriminator or a consistency term, or "
      "set it to 0."
    )
  if without and not unlabelled:
    faults.append(
      f"config.train.unlabelled_in_batch={without}, but every training image "
      "is labelled: lower config.data.label_fraction, or train without "
      f"unlabelled images by {_flags_without_unlabelled(config)}."
    )
  if config.train.select_by != "dice" and not networks.learns_classes(config):
    faults.append(
      f"config.train.select_by={config.train.select_by!r} needs a classifier, "
      "and the discriminator learns no class (config.discriminator.enabled, "
      "class_weight, predicted_weight). Select by dice."
    )
  if not without and (settings := _of_unlabelled(config)):
    faults.append(
      f"config.{' and config.'.join(settings)} use unlabelled images, and "
      "config.train.unlabelled_in_batch is 0: no batch would hold one. Make it "
      f"positive, or add {_flags_without_unlabelled(config)}."
    )
  return faults


def _of_unlabelled(config: Config) -> dict[str, object]:
  """Return the settings that use unlabelled images, with those that do not."""
  of_d = config.discriminator
  uses = {
    "data.unmasked_images": (
      config.data.unmasked_images and not config.classifier.enabled,
      False,
    ),
    "consistency.name": (config.consistency.name != "none", "none"),
    "discriminator.consistency_weight": (
      of_d.enabled and of_d.consistency_weight > 0,
      0.0,
    ),
  }
  return {key: unused for key, (is_used, unused) in uses.items() if is_used}


def _flags_without_unlabelled(config: Config) -> str:
  """Return all flags that a run without unlabelled images needs."""
  changes = {"train.unlabelled_in_batch": 0, **_of_unlabelled(config)}
  return " ".join(f"--config.{key}={value}" for key, value in changes.items())


def _class_faults(config: Config, *, labels: np.ndarray) -> list[str]:
  """Return what keeps the classes from being learned.

  A finding that no image shows is not learned; the report names it.
  """
  names = networks.class_names(config)
  if networks.is_multi_label(config):
    if any({0, 1} <= {*column} for column in labels.T):
      return []
    lacking = (
      f"findings {', '.join(names)}, but of none of them there are labelled "
      "training images with it and without it"
    )
  else:
    absent = [name for i, name in enumerate(names) if i not in labels]
    if not absent or len(names) < 2:
      return []
    lacking = (
      f"classes {', '.join(names)}, but no labelled training image is of class "
      f"{', '.join(absent)}"
    )
  learner, keys = "classifier", {"classifier.enabled": False}
  if networks.learns_classes(config):
    learner = "discriminator"
    keys = {f"discriminator.{k}_weight": 0 for k in ("class", "predicted")}
  off = " ".join(f"--config.{key}={value}" for key, value in keys.items())
  return [
    f"The {learner} learns the {lacking}: give it more images in training "
    "(labels.csv of an own set, config.data.class_count, class_fraction or "
    f"label_count), or do not learn them by {off}."
  ]
