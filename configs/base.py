"""The defaults, and changes that several recipes share.

The keys, their defaults and their ranges are declared in apppau_jax/config.py.
"""

import ml_collections

from apppau_jax import config as config_lib


def get_config() -> ml_collections.ConfigDict:
  return config_lib.defaults()


def lung_recipe() -> ml_collections.ConfigDict:
  """Return what Montgomery and Shenzhen share, chosen on validation images."""
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
  """Train S and D by Algorithm 1, with a tenth of the labels."""
  config.data.label_fraction = 0.1
  config.train.unlabelled_in_batch = 8
  config.discriminator.enabled = True
  return config


def semi_supervised(config: ml_collections.ConfigDict):
  """Train both players with a tenth of the labels, beyond the paper."""
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


def classifier(config: ml_collections.ConfigDict, diagnosis: str):
  """Train D as a classifier beside S, which it does not change.

  Args:
    config: a recipe of S alone.
    diagnosis: none, leaves it as it is; or class or findings.
  """
  if diagnosis == "none":
    return config
  config = semi_supervised(config)
  config.data.diagnosis = diagnosis
  config.data.label_fraction = 1.0
  config.train.unlabelled_in_batch = 0
  config.adversarial.ramp_up = 0.0
  return without_adversarial(without_consistency(config))


def feature_classifier(config: ml_collections.ConfigDict, classes: str):
  """Fit a linear classifier of S's features, which does not change S.

  Args:
    config: a recipe in which D learns no class.
    classes: the number of training images with a class, or all.
  """
  config.classifier.enabled = True
  config.data.class_fraction = 1.0
  config.data.class_count = 0 if classes == "all" else int(classes)
  config.data.unmasked_images = True
  config.data.classes_without_masks = True
  return config


def without_adversarial(config: ml_collections.ConfigDict):
  """Remove the adversarial term of S."""
  config.adversarial.form = "none"
  return config


def without_classes(config: ml_collections.ConfigDict):
  """Let D distinguish real from predicted pairs only."""
  config.discriminator.class_weight = 0.0
  config.discriminator.predicted_weight = 0.0
  config.discriminator.consistency_weight = 0.0
  return config


def without_discriminator(config: ml_collections.ConfigDict):
  """Remove D; pseudo-labels of masks remain."""
  config.discriminator.enabled = False
  return config


def without_consistency(config: ml_collections.ConfigDict):
  """Remove pseudo-labels of masks and classes; the two players remain."""
  config.consistency.name = "none"
  config.discriminator.consistency_weight = 0.0
  return config


def all_labelled(config: ml_collections.ConfigDict):
  """Give all masks and classes, as an upper bound."""
  config = without_consistency(config)
  config.train.unlabelled_in_batch = 0
  config.data.label_fraction = 1.0
  return config


def segmentor_alone(config: ml_collections.ConfigDict):
  """Remove D and the unlabelled images."""
  config.discriminator.enabled = False
  config.consistency.name = "none"
  config.train.unlabelled_in_batch = 0
  config.train.select_by = "dice"
  return config


def quick(config: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
  """Shorten a run to a check of the installation, which mostly compiles.

  The code path stays the same: 18 steps on the phantoms.
  """
  config.model.base_width = 4
  config.discriminator.base_width = 4
  config.train.epochs = 2
  config.train.eval_every_epochs = 1
  config.optim.ema_decay = min(config.optim.ema_decay, 0.5)
  config.optim.warmup_epochs = min(config.optim.warmup_epochs, 1.0)
  return config


def parse_arg(arg: str | None, **defaults) -> ml_collections.ConfigDict:
  """Read what follows the colon of `--config=file.py:quick,key=value`.

  Args:
    arg: `quick` and `key=value` pairs, separated by commas.
    **defaults: the keys that the recipe takes, with their defaults.

  Raises:
    ValueError: the recipe does not take a key.
  """
  values = {"quick": False, **defaults}
  for item in filter(None, (arg or "").split(",")):
    key, _, value = item.partition("=")
    if key not in values:
      raise ValueError(
        f"'{key}' is not an argument of this recipe, which takes "
        f"{', '.join(sorted(values))}"
      )
    values[key] = value != "false" if key == "quick" else value
  return ml_collections.ConfigDict(values)
