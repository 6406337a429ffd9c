"""The defaults, and the changes that several recipes share.

The keys, their defaults and their ranges are declared in apppau_jax/config.py.
"""

import ml_collections

from apppau_jax import config as config_lib


def get_config() -> ml_collections.ConfigDict:
  return config_lib.defaults()


def lung_recipe() -> ml_collections.ConfigDict:
  """What Montgomery and Shenzhen share, chosen on validation images."""
  config = get_config()
  config.model.preset = "ppau_unet"
  config.model.base_width = 16
  config.loss.name = "cross_entropy_tversky"
  config.loss.fp_weight = 0.5
  config.loss.fn_weight = 0.5
  config.optim.learning_rate = 2e-3
  config.optim.weight_decay = 1e-4
  config.augment.rotate_degrees = 15.0
  config.augment.scale = 0.15
  config.augment.shift = 0.08
  config.augment.geometry_probability = 0.6
  config.augment.gamma = 0.4
  config.augment.contrast = 0.2
  config.augment.brightness = 0.1
  config.eval.test_time_augmentation = True
  return config


def two_players(config: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
  """APPAU-Net as Algorithm 1 has it: D beside S, a tenth of the labels."""
  config.data.label_fraction = 0.1
  config.train.unlabelled_in_batch = 8
  config.discriminator.enabled = True
  return config


def semi_supervised(config: ml_collections.ConfigDict):
  """A lung recipe at a tenth of the labels, both players, beyond the paper."""
  config = two_players(config)
  config.discriminator.pooling = "mean_max"
  config.discriminator.class_input = "image"
  config.discriminator.dropout = 0.2
  config.discriminator.learning_rate = 1e-3
  config.discriminator.weight_decay = 0.05
  config.discriminator.grad_clip = 1.0
  config.discriminator.predicted_weight = 1.0
  config.discriminator.consistency_weight = 1.0
  config.discriminator.mask_smoothing = 0.05
  config.adversarial.ramp_up = 0.1
  config.consistency.name = "pseudo_label"
  config.consistency.cutmix = 1.0
  config.consistency.cutmix_with = "labelled"
  return config


def without_adversarial(config: ml_collections.ConfigDict):
  """The same experiment where S does not hear D."""
  config.adversarial.form = "none"
  return config


def without_classes(config: ml_collections.ConfigDict):
  """The same experiment where D tells real pairs from predicted ones only."""
  config.discriminator.class_weight = 0.0
  config.discriminator.predicted_weight = 0.0
  config.discriminator.consistency_weight = 0.0
  return config


def without_discriminator(config: ml_collections.ConfigDict):
  """The same experiment without D: pseudo-labels of masks alone."""
  config.discriminator.enabled = False
  return config


def without_consistency(config: ml_collections.ConfigDict):
  """The same experiment without pseudo-labels: the players alone."""
  config.consistency.name = "none"
  config.discriminator.consistency_weight = 0.0
  return config


def all_labelled(config: ml_collections.ConfigDict):
  """The same experiment with every mask and class: its ceiling."""
  config = without_consistency(config)
  config.train.unlabelled_in_batch = 0
  config.data.label_fraction = 1.0
  return config


def segmentor_alone(config: ml_collections.ConfigDict):
  """The same experiment without D and without unlabelled images."""
  config.discriminator.enabled = False
  config.consistency.name = "none"
  config.train.unlabelled_in_batch = 0
  config.train.select_by = "dice"
  return config


def quick(config: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
  """Shrinks an experiment to seconds along the same code path."""
  config.model.base_width = 4
  config.discriminator.base_width = 4
  config.train.epochs = 2
  config.train.eval_every_epochs = 1
  config.optim.ema_decay = min(config.optim.ema_decay, 0.5)
  config.optim.warmup_epochs = min(config.optim.warmup_epochs, 1.0)
  return config


def parse_arg(arg: str | None, **defaults) -> ml_collections.ConfigDict:
  """Reads what follows the colon of `--config=file.py:quick,key=value`.

  Args:
    arg: comma-separated flags (`quick`) and `key=value` pairs.
    **defaults: the keys the config takes, with their default values.

  Raises:
    ValueError: a key that this config does not take.
  """
  values = {"quick": False, **defaults}
  for item in filter(None, (arg or "").split(",")):
    key, _, value = item.partition("=")
    if key not in values:
      raise ValueError(
        f"'{key}' is not an argument of this config; it takes "
        f"{', '.join(sorted(values))}"
      )
    values[key] = value != "false" if key == "quick" else value
  return ml_collections.ConfigDict(values)
