"""A key without effect is told; one with effect is not."""

import pytest

from configs import appau_phantom, baselines, phantom
from launch import schema
from launch.unused import unused


def _told(config, *given):
  return unused(schema.flatten(config.to_dict()), given=given)


@pytest.mark.parametrize(
  ("key", "decides"),
  [
    ("discriminator.learning_rate", "discriminator.enabled"),
    ("adversarial.form", "discriminator.enabled"),
    ("data.class_count", "discriminator.enabled"),
    ("consistency.weight", "consistency.name"),
    ("loss.cross_entropy_weight", "loss.name"),
  ],
)
def test_without_a_second_player(key, decides):
  (line,) = _told(phantom.get_config(), key)
  assert line.startswith(f"config.{key} has no effect: {decides} is ")


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
