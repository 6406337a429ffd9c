"""Every knob has a range, every mistake an explanation, before JAX starts."""

import copy
import importlib
import pathlib

import numpy as np
import pytest

from apppau_jax.errors import ConfigError
from apppau_jax.experiment import loading, networks, objectives, schema
from apppau_jax.models import segmentor
from configs import appau_phantom, base, baselines, paper_table2

CONFIGS = pathlib.Path(base.__file__).parent
NAMES = sorted(p.stem for p in CONFIGS.glob("[!_]*.py") if p.stem != "base")


BASELINES = (
  "supervised",
  "ceiling",
  "supervised_ceiling",
  "no_adversarial",
  "no_classification",
  "no_consistency",
  "no_pyramid",
  "no_attention",
  "no_progressive",
)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("arg", [None, "quick"])
def test_every_config_is_valid(name, arg):
  config = importlib.import_module(f"configs.{name}").get_config(arg)
  tree = config.to_dict()
  schema.check(tree)
  assert schema.flatten(tree).keys() == schema.SCHEMA.keys()
  steps = config.train.epochs
  assert steps <= 2 if arg == "quick" else steps > 2
  assert importlib.import_module(f"configs.{name}").__doc__


@pytest.mark.parametrize("dataset", baselines.RECIPES)
@pytest.mark.parametrize("name", BASELINES)
def test_every_baseline_differs_from_its_recipe(dataset, name):
  recipe = baselines.RECIPES[dataset].get_config()
  arg = f"dataset={dataset},name={name}"
  config = baselines.get_config(arg)
  schema.check(config.to_dict())
  objectives.check_players(config, unlabelled=9)
  assert config.to_dict() != recipe.to_dict()
  assert config.data.dataset == dataset


def test_a_baseline_that_does_not_exist_is_refused():
  with pytest.raises(ValueError, match="no_such"):
    baselines.get_config("name=no_such")
  with pytest.raises(ValueError, match="jsrt"):
    baselines.get_config("dataset=jsrt")


def _changed(**rooms):
  config = appau_phantom.get_config()
  for room, values in rooms.items():
    config[room].update(values)
  return config


@pytest.mark.parametrize(
  ("rooms", "unlabelled", "says"),
  [
    ({}, 0, "every training image is labelled"),
    ({"train": {"unlabelled_in_batch": 16}}, 9, "no labelled row"),
    (
      {
        "train": {"unlabelled_in_batch": 0},
        "consistency": {"name": "mean_teacher"},
      },
      9,
      "unlabelled_in_batch is 0",
    ),
    (
      {
        "train": {"select_by": "auroc", "unlabelled_in_batch": 0},
        "discriminator": {"enabled": False},
      },
      9,
      "select by dice",
    ),
    (
      {
        "train": {"select_by": "auroc"},
        "discriminator": {"class_weight": 0.0, "predicted_weight": 0.0},
      },
      9,
      "taught no class",
    ),
    (
      {
        "discriminator": {"enabled": False},
        "consistency": {"name": "none"},
      },
      9,
      "nothing learns from unlabelled",
    ),
    (
      {
        "data": {"unmasked_images": True},
        "train": {"unlabelled_in_batch": 0},
      },
      9,
      "no batch would hold one",
    ),
  ],
)
def test_players_that_cannot_play_are_refused(rooms, unlabelled, says):
  with pytest.raises(ConfigError, match=says):
    objectives.check_players(_changed(**rooms), unlabelled=unlabelled)


def test_a_class_that_nobody_shows_is_refused():
  config = appau_phantom.get_config()
  with pytest.raises(ConfigError, match="no training image of class tb"):
    objectives.check_classes(config, known=np.array([0, -1, 0]))
  objectives.check_classes(config, known=np.array([0, 1, -1]))
  config.discriminator.class_weight = 0.0
  config.discriminator.predicted_weight = 0.0
  objectives.check_classes(config, known=np.array([-1]))


def test_only_a_taught_classifier_is_asked():
  """An untrained head's classes must not be reported as a diagnosis."""
  config = baselines.get_config("dataset=phantom,name=no_classification")
  assert networks.discriminator(config) is not None
  variables = {"segmentor": {}, "discriminator": {}}
  assert loading.member(config, variables, final=True).discriminator is None
  for key in ("class_weight", "predicted_weight"):
    taught = copy.deepcopy(config)
    taught.discriminator[key] = 0.5
    assert loading.member(taught, variables, final=True).discriminator


def test_the_literal_protocol_is_literal():
  config = paper_table2.get_config()
  assert config.optim.learning_rate == 1e-5
  assert config.discriminator.learning_rate == 1e-4
  assert config.optim.b1 == config.discriminator.b1 == 0.9
  assert (config.train.batch_size, config.train.epochs) == (16, 300)
  assert config.data.label_fraction == 0.1
  assert config.discriminator.dropout == 0.4
  assert not config.discriminator.conditional
  assert config.adversarial.form == "nonsaturating"
  spec = config.augment.to_dict()
  assert not any(v for k, v in spec.items() if k != "geometry_probability")


def test_presets_and_losses_are_those_of_the_package():
  assert set(schema.PRESETS) == set(segmentor.PRESETS)
  for name in schema.LOSSES:
    config = base.get_config()
    config.loss.name = name
    assert callable(objectives.loss(config))


@pytest.mark.parametrize(
  ("key", "value", "says"),
  [
    ("train.batch_size", 0, "a whole number from 1 to 65536"),
    ("train.batch_size", -1, "a whole number from 1"),
    ("train.batch_size", 10**9, "to 65536"),
    ("train.batch_size", "16", "a whole number"),
    ("train.batch_size", 1.5, "a whole number"),
    ("train.epochs", True, "a whole number"),
    ("data.label_fraction", 1.5, "greater than 0 to 1"),
    ("data.label_fraction", 0, "greater than 0 to 1"),
    ("loss.fp_weight", float("nan"), "a number from 0"),
    ("loss.name", "tverski", "Did you mean tversky?"),
    ("model.preset", "ppau", "Did you mean ppau_unet?"),
    ("data.split", "fold-1", "fold-K-of-N"),
    ("data.resolution", 100, "one of 128, 256, 512"),
    ("loss.side_weights", (1.0, -1.0), "numbers from 0, one positive"),
    ("loss.side_weights", (0.0, 0.0), "numbers from 0, one positive"),
  ],
)
def test_value_out_of_range_names_key_and_range(key, value, says):
  tree = base.get_config().to_dict()
  *rooms, last = key.split(".")
  place = tree
  for room in rooms:
    place = place[room]
  place[last] = value
  with pytest.raises(ConfigError) as error:
    schema.check(tree)
  assert f"config.{key}=" in str(error.value)
  assert says in str(error.value)


def test_all_faults_at_once_and_unknown_keys():
  tree = base.get_config().to_dict()
  tree["optim"]["lerning_rate"] = 1.0
  tree["seed"] = -1
  del tree["eval"]["threshold"]
  with pytest.raises(ConfigError) as error:
    schema.check(tree)
  text = str(error.value)
  assert "optim.lerning_rate is unknown. Did you mean optim.learning_rate" in (
    text
  )
  assert "config.seed=-1" in text
  assert "config.eval.threshold is missing" in text


def test_edges_of_ranges():
  tree = base.get_config().to_dict()
  tree["data"]["label_fraction"] = 1.0
  tree["eval"]["threshold"] = 0
  tree["loss"]["side_weights"] = (0.0, 0.2, 0.3, 0.4)
  schema.check(tree)


def test_config_arguments():
  module = importlib.import_module("configs.paper_table1")
  config = module.get_config("dataset=shenzhen,loss=tversky,model=unet,quick")
  assert config.data.dataset == "shenzhen"
  assert (config.loss.name, config.model.preset) == ("tversky", "unet")
  assert config.train.epochs == 2
  with pytest.raises(ValueError, match="datset"):
    module.get_config("datset=shenzhen")
