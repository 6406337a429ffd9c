"""Combinations of players that would silently do nothing are refused."""

import copy
import re

import numpy as np
import pytest

from apppau_jax.config import Config
from apppau_jax.errors import ConfigError
from apppau_jax.experiment import networks, step_checks
from configs import appau_phantom, baselines, folder


def _changed(values):
  flat = Config.from_dict(appau_phantom.get_config().to_dict()).flat()
  return Config.from_dict({**flat, **values})


@pytest.mark.parametrize(
  ("values", "unlabelled", "says"),
  [
    ({}, 0, "every training image is labelled"),
    ({"train.unlabelled_in_batch": 16}, 9, "no labelled row"),
    (
      {"train.unlabelled_in_batch": 0, "consistency.name": "mean_teacher"},
      9,
      "unlabelled_in_batch is 0",
    ),
    (
      {
        "train.select_by": "auroc",
        "train.unlabelled_in_batch": 0,
        "discriminator.enabled": False,
      },
      9,
      "Select by dice",
    ),
    (
      {
        "train.select_by": "auroc",
        "discriminator.class_weight": 0.0,
        "discriminator.predicted_weight": 0.0,
      },
      9,
      "learns no class",
    ),
    (
      {"discriminator.enabled": False, "consistency.name": "none"},
      9,
      "nothing learns from unlabelled",
    ),
    (
      {"data.unmasked_images": True, "train.unlabelled_in_batch": 0},
      9,
      "no batch would hold one",
    ),
  ],
)
def test_players_that_cannot_play_are_refused(values, unlabelled, says):
  with pytest.raises(ConfigError, match=says):
    step_checks.check_players(_changed(values), unlabelled=unlabelled)


def test_all_that_is_to_be_changed_is_said_at_once():
  """A folder with all masks, by players=two, and a class without images."""
  config = Config.from_dict(folder.get_config("name=a,players=two").to_dict())
  config.data.class_names = ("normal", "tb")
  labels = np.array([0, 0, -1])
  with pytest.raises(ConfigError) as caught:
    step_checks.check(config, unlabelled=0, labels=labels)
  message = str(caught.value)
  assert "2 settings" in message
  assert "of class tb" in message
  flags = re.findall(r"--config\.(\S+?)=(\w+)", message)
  values = {"None": None, "False": False}
  flat = config.flat() | {
    key: values.get(text, type(config.flat()[key])(text)) for key, text in flags
  }
  changed = Config.from_dict(flat)
  step_checks.check(changed, unlabelled=0, labels=labels)
  changed.train.unlabelled_in_batch = 8
  with pytest.raises(ConfigError, match="every training image is labelled"):
    step_checks.check_players(changed, unlabelled=0)


@pytest.mark.parametrize("dataset", baselines.RECIPES)
@pytest.mark.parametrize("name", ["ceiling", "no_adversarial", "no_pyramid"])
def test_the_players_of_baselines_can_play(dataset, name):
  config = baselines.get_config(f"dataset={dataset},name={name}")
  step_checks.check_players(config, unlabelled=9)


def test_a_class_that_nobody_shows_is_refused():
  config = _changed({})
  with pytest.raises(ConfigError, match="of class tb"):
    step_checks.check_classes(config, labels=np.array([0, -1, 0]))
  step_checks.check_classes(config, labels=np.array([0, 1, -1]))
  config.discriminator.class_weight = 0.0
  config.discriminator.predicted_weight = 0.0
  step_checks.check_classes(config, labels=np.array([-1]))


def test_only_a_trained_classifier_classifies():
  """The classes of an untrained head must not be reported."""
  config = baselines.get_config("dataset=phantom,name=no_classification")
  config = Config.from_dict(config.to_dict())
  assert networks.discriminator(config) is not None
  assert not networks.learns_classes(config)
  for key in ("class_weight", "predicted_weight"):
    trained = copy.deepcopy(config)
    setattr(trained.discriminator, key, 0.5)
    assert networks.learns_classes(trained)
