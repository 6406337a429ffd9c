"""A key without effect is told; one with effect is not."""

import pytest

from apppau_jax.experiment import schema
from apppau_jax.experiment.config_warnings import unused
from configs import appau_phantom, baselines, phantom


def _told(config, *given):
  return unused(schema.flatten(config.to_dict()), given=given)


@pytest.mark.parametrize(
  ("key", "decides"),
  [
    ("discriminator.learning_rate", "discriminator.enabled"),
    ("adversarial.form", "discriminator.enabled"),
    ("data.class_count", "discriminator.enabled"),
    ("consistency.weight", "consistency.name"),
    ("consistency.gas", "consistency.name"),
    ("loss.cross_entropy_weight", "loss.name"),
  ],
)
def test_without_a_second_player(key, decides):
  (line,) = _told(phantom.get_config(), key)
  assert line.startswith(f"config.{key} has no effect: {decides} is ")


@pytest.mark.parametrize(
  ("key", "changed", "why"),
  [
    ("loss.side_target", {"model.preset": "unet"}, "no side outputs"),
    ("loss.side_weights", {"model.preset": "attention_unet"}, "no side out"),
    ("data.label_fraction", {"data.label_count": 20}, "label_count is given"),
    ("data.class_fraction", {"data.class_count": 20}, "class_count is given"),
    ("data.split_seed", {"data.split": "idiap"}, "split is idiap"),
    ("consistency.cutmix_with", {"consistency.cutmix": 0.0}, "cutmix is 0"),
    (
      "data.label_seed",
      {"data.label_fraction": 1.0, "data.class_fraction": 1.0},
      "every training image",
    ),
    (
      "adversarial.unlabelled_weight",
      {"train.unlabelled_in_batch": 0},
      "unlabelled_in_batch is 0",
    ),
    (
      "discriminator.conditional",
      {"discriminator.class_weight": 0.0},
      "class_weight is 0",
    ),
    (
      "eval.temperature_scaling",
      {
        "discriminator.class_weight": 0.0,
        "discriminator.predicted_weight": 0.0,
      },
      "predicted_weight are 0",
    ),
  ],
)
def test_what_another_key_overrules(key, changed, why):
  config = appau_phantom.get_config()
  assert _told(config, key) == []
  for name, value in changed.items():
    room, last = name.split(".")
    config[room][last] = value
  (line,) = _told(config, key)
  assert line.startswith(f"config.{key} has no effect: ")
  assert why in line


def test_what_works_otherwise_than_its_name_says():
  config = appau_phantom.get_config()
  assert _told(config) == []
  config.optim.warmup_epochs = float(config.train.epochs)
  config.optim.ema_decay = 0.0
  warmup, teacher = _told(config)
  assert "the learning rate rises to its last step" in warmup
  assert "the student itself" in teacher


def test_every_one_of_them_counts_in_the_full_game():
  config = appau_phantom.get_config()
  config.consistency.name = "pseudo_label"
  keys = [
    key
    for key in schema.SCHEMA
    if key.startswith(("discriminator.", "adversarial.", "consistency."))
  ]
  assert len(keys) > 20
  assert _told(config, *keys, "loss.kl_eps", "data.class_fraction") == []


def test_a_budget_of_classes_that_nobody_reads():
  config = appau_phantom.get_config()
  config.discriminator.predicted_weight = 0.0
  (line,) = _told(config, "data.class_fraction")
  assert "beyond the images with masks" in line
  config.data.class_fraction = 0.05  # fewer than masks: eq. (6) sees them
  assert _told(config, "data.class_fraction") == []
  config.data.label_count, config.data.class_count = 10, 20
  assert len(_told(config, "data.class_count")) == 1
  config.data.class_count = 10
  assert _told(config, "data.class_count") == []
  config.data.class_count, config.data.class_fraction = 0, 0.5  # or fewer
  assert _told(config, "data.class_fraction") == []
  config.data.class_fraction = 1.0  # all, however many have masks
  (line,) = _told(config, "data.class_fraction")
  assert "beyond the images with masks" in line
  config.discriminator.class_weight = 0.0
  (line,) = _told(config, "data.class_count")
  assert line == (
    "config.data.class_count has no effect: discriminator.class_weight and "
    "predicted_weight are 0"
  )


def test_views_serve_either_player():
  config = appau_phantom.get_config()
  config.consistency.name = "none"
  config.discriminator.consistency_weight = 0.0
  assert len(_told(config, "consistency.gamma", "consistency.weight")) == 2
  config.discriminator.consistency_weight = 1.0
  (line,) = _told(config, "consistency.gamma", "consistency.weight")
  assert line.startswith("config.consistency.weight ")


def test_the_deciding_key_itself_is_never_told():
  keys = ("discriminator.enabled", "consistency.name", "loss.name")
  assert _told(phantom.get_config(), *keys) == []


def test_a_silent_adversary_has_no_weight():
  config = baselines.get_config("dataset=phantom,name=no_adversarial")
  assert len(_told(config, "adversarial.weight", "adversarial.form")) == 1
