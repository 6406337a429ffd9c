"""Every key has a range and a use, every mistake an explanation, before JAX.

The files of tests/goldens/configs hold the whole configuration of every recipe.
After a change that is meant, write them with `python tests/config_test.py` (and
PYTHONPATH=. where the package is not installed), and read the difference.
"""

import copy
import dataclasses
import importlib
import inspect
import json
import pathlib
import re
import subprocess
import sys
import typing

import pytest

from apppau_jax import losses
from apppau_jax.config import KEYS, REMOVED, Config, defaults, warnings
from apppau_jax.datasets import builder
from apppau_jax.errors import ConfigError
from configs import appau_phantom, base, baselines, paper_table2, phantom

GOLDENS = pathlib.Path(__file__).parent / "goldens" / "configs"
RECIPES = sorted(
  path.stem
  for path in pathlib.Path(base.__file__).parent.glob("*.py")
  if path.stem not in ("__init__", "base")
)
BASELINES = (
  *("supervised", "ceiling", "supervised_ceiling"),
  *("no_adversarial", "no_classification", "no_consistency"),
  *("no_discriminator", "no_pyramid", "no_attention", "no_progressive"),
)
ARGUMENTS = {
  "appau_phantom": ["quick"],
  "baselines": [f"dataset=shenzhen,name={name}" for name in BASELINES],
  "dataset": ["name=siim_acr", "name=chestx_ray14,diagnosis=findings"],
  "few_masks": ["dataset=shenzhen,masks=40,method=supervised,classes=all"],
  "folder": [f"name=clinic,players={players}" for players in ("one", "two")],
  "paper_table1": ["dataset=jsrt,model=unet,loss=tversky"],
  "paper_table2": ["loss=cross_entropy_tversky"],
  "phantom": ["quick"],
}
ASKED = [("base", "")] + [
  (name, arg) for name in RECIPES for arg in ("", *ARGUMENTS.get(name, ()))
]


def _recipe(name, arg=""):
  make = importlib.import_module(f"configs.{name}").get_config
  return make(arg) if arg else make()


def _text(name, arg):
  tree = Config.from_dict(_recipe(name, arg).to_dict()).to_dict()
  return json.dumps(tree, indent=1, sort_keys=True) + "\n"


def _file(name, arg):
  return GOLDENS / f"{'__'.join(filter(None, [name, arg]))}.json"


def _changed(config, **values):
  """The configuration with other values, dots written as __."""
  flat = Config.from_dict(config.to_dict()).flat()
  values = {name.replace("__", "."): value for name, value in values.items()}
  return Config.from_dict({**flat, **values})


@pytest.mark.parametrize(("name", "arg"), ASKED)
def test_a_recipe_is_what_it_was(name, arg):
  assert _text(name, arg) == _file(name, arg).read_text()


def test_every_golden_is_one_of_a_recipe():
  files = {_file(name, arg) for name, arg in ASKED}
  assert {*GOLDENS.glob("*")} == files


@pytest.mark.parametrize("name", RECIPES)
def test_a_quick_recipe_is_valid_and_short(name):
  config = _recipe(name, "quick")
  assert config.to_dict().keys() == defaults().to_dict().keys()
  assert Config.from_dict(config.to_dict()).train.epochs <= 2
  assert importlib.import_module(f"configs.{name}").__doc__


@pytest.mark.parametrize("name", BASELINES)
def test_every_baseline_differs_from_its_recipe(name):
  for dataset, recipe in baselines.RECIPES.items():
    config = baselines.get_config(f"dataset={dataset},name={name}")
    assert config.to_dict() != recipe.get_config().to_dict()
    assert config.data.dataset == dataset


def test_arguments_of_recipes_that_do_not_exist_are_refused():
  for name, arg, says in (
    ("baselines", "name=no_such", "no_such"),
    ("baselines", "dataset=jsrt", "jsrt"),
    ("folder", "players=three", "three"),
    ("paper_table1", "datset=shenzhen", "datset"),
  ):
    with pytest.raises(ValueError, match=says):
      _recipe(name, arg)


def test_the_protocol_of_table_2_is_the_printed_one():
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


def test_a_config_goes_through_json_and_config_dict():
  config = Config.from_dict({"data.structures": ["a", "b"], "loss.smooth": 1})
  assert config.data.structures == ("a", "b")
  assert isinstance(config.loss.smooth, float)
  assert Config.from_dict(json.loads(json.dumps(config.to_dict()))) == config
  again = config.to_config_dict()
  again.data.structures = ("a",)
  assert Config.from_dict(again.to_dict()).data.structures == ("a",)
  other = copy.deepcopy(config)
  other.optim.learning_rate = 3.0
  assert config.optim.learning_rate == KEYS["optim.learning_rate"].default
  other.check()
  other.optim.learning_rate = 30.0
  with pytest.raises(ConfigError, match=r"optim\.learning_rate=30"):
    other.check()
  with pytest.raises(AttributeError):
    config.optim.lr = 1.0


def test_declarations_agree_with_themselves():
  for key in KEYS.values():
    assert key.fault(key.default) == "", key.name
    kind = type(key.default)
    assert kind is key.type or kind is typing.get_origin(key.type), key.name
    for term in re.split(" or | and ", " and ".join(key.used_by)):
      name, _, values = term.replace("!=", "=").partition("=")
      assert not term or name in KEYS, key.name
      for value in re.findall(r"[a-z_]+", values):
        assert re.search(rf"\b{value}\b", str(KEYS[name])), term
  assert KEYS["data.resolution"].choices == builder.RESOLUTIONS


def test_losses_use_keys_of_their_own_and_their_defaults():
  used = set()
  for loss in losses.LOSSES.values():
    for parameter in inspect.signature(loss).parameters.values():
      if parameter.kind is parameter.KEYWORD_ONLY:
        key = KEYS[f"loss.{parameter.name}"]
        assert key.default == parameter.default
        used.add(key.name)
  declared = {f"loss.{f.name}" for f in dataclasses.fields(Config().loss)}
  assert declared - used == {
    "loss.name",
    "loss.side_weights",
    "loss.side_target",
  }


@pytest.mark.parametrize(
  ("key", "value", "says"),
  [
    ("train.batch_size", 0, "a whole number from 1 to 65536"),
    ("train.batch_size", 10**9, "to 65536"),
    ("train.batch_size", "16", "a whole number"),
    ("train.batch_size", 1.5, "a whole number"),
    ("train.epochs", True, "a whole number"),
    ("seed", None, "a whole number"),
    ("model.remat", 1, "True or False"),
    ("data.data_dir", "", "text"),
    ("data.label_fraction", 1.5, "greater than 0 to 1"),
    ("data.label_fraction", 0, "greater than 0 to 1"),
    ("loss.fp_weight", float("nan"), "a number from 0"),
    ("loss.fp_weight", float("inf"), "a number from 0"),
    ("loss.name", "tverski", "Did you mean tversky?"),
    ("model.preset", "ppau", "Did you mean ppau_unet?"),
    ("data.dataset", "montgomry", "Did you mean montgomery?"),
    ("data.dataset", "folder:A B", "folder:NAME"),
    ("data.split", "fold-1", "fold-K-of-N"),
    ("data.resolution", 100, "one of 128, 256, 512"),
    ("data.structures", "heart", "a sequence"),
    ("data.structures", ("heart", "heart"), "different names"),
    ("data.accept", ("twin",), "twins"),
    ("loss.side_weights", (1.0, -1.0), "numbers from 0, one positive"),
    ("loss.side_weights", (0.0, 0.0), "numbers from 0, one positive"),
    ("data.normalize", "zscore", "removed"),
    ("adversarial.form", "feature_matching", "removed"),
  ],
)
def test_a_value_that_cannot_be_used_names_key_and_range(key, value, says):
  with pytest.raises(ConfigError) as error:
    Config.from_dict({key: value})
  assert f"config.{key}=" in str(error.value)
  assert says in str(error.value)


def test_values_at_the_edges_of_their_ranges_can_be_used():
  Config.from_dict(
    {
      "data.label_fraction": 1.0,
      "data.accept": ["twins", "patients:MCUCXR_0001_0"],
      "data.dataset": "montgomery+folder:clinic",
      "data.split": "fold-0-of-5",
      "eval.threshold": 0,
      "loss.side_weights": [0.0, 0.2, 0.3, 0.4],
    }
  )


def test_every_fault_is_listed_in_one_paragraph():
  tree = {"optim": {"lr": 1.0, "b1": 2}, "seed": -1, "model": 3}
  with pytest.raises(ConfigError) as error:
    Config.from_dict(tree)
  (text,) = str(error.value).splitlines()
  for part in (
    "config.optim.lr is unknown. Did you mean optim.learning_rate?",
    "config.optim.b1=",
    "config.seed=-1",
    "config.model is unknown",
  ):
    assert part in text


@pytest.mark.parametrize("name", REMOVED)
def test_a_removed_option_is_read_at_its_old_default_only(name):
  assert Config.from_dict({name: REMOVED[name]}) == Config()
  other = "group" if isinstance(REMOVED[name], str) else REMOVED[name] + 1
  with pytest.raises(ConfigError, match=rf"{name}=.*removed"):
    Config.from_dict({name: other})


def test_importing_the_configuration_starts_no_backend():
  code = (
    "import jax\nfrom jax._src import xla_bridge\n"
    "before = dict(jax.config.values)\n"
    "import apppau_jax.config, configs.phantom\n"
    "assert dict(jax.config.values) == before\n"
    "assert not xla_bridge.backends_are_initialized()\n"
  )
  subprocess.run([sys.executable, "-c", code], check=True)


def test_the_reference_is_a_markdown_table():
  rows = str(Config()).splitlines()[2:]
  cells = [re.split(r"(?<!\\)\|", row) for row in rows]
  assert [row[1].strip() for row in cells] == list(KEYS)
  assert {len(row) for row in cells} == {9}


def _lines(config, *given, **changed):
  return warnings(_changed(config, **changed), given=given)


@pytest.mark.parametrize(
  ("key", "decides"),
  [
    ("discriminator.learning_rate", "discriminator.enabled"),
    ("adversarial.form", "discriminator.enabled"),
    ("data.class_count", "discriminator.enabled"),
    ("data.class_names", "discriminator.enabled"),
    ("eval.temperature_scaling", "discriminator.enabled"),
    ("consistency.weight", "consistency.name"),
    ("consistency.noise", "consistency.name"),
    ("consistency.cutmix_with", "consistency.name"),
    ("loss.cross_entropy_weight", "loss.name"),
  ],
)
def test_keys_without_effect_where_s_trains_alone(key, decides):
  (line,) = _lines(phantom.get_config(), key)
  assert line.startswith(f"config.{key} has no effect: {decides} is ")


@pytest.mark.parametrize(
  ("key", "changed", "why"),
  [
    ("loss.side_target", {"model__preset": "unet"}, "preset is unet"),
    ("loss.side_weights", {"model__preset": "attention_unet"}, "preset is"),
    ("loss.smooth", {"loss__name": "cross_entropy"}, "name is cross_entropy"),
    ("data.label_fraction", {"data__label_count": 20}, "label_count is 20"),
    ("data.class_fraction", {"data__class_count": 20}, "class_count is 20"),
    ("data.split_seed", {"data__split": "idiap"}, "split is idiap"),
    ("consistency.cutmix_with", {"consistency__cutmix": 0.0}, "cutmix is 0"),
    (
      "consistency.threshold",
      {"consistency__name": "mean_teacher"},
      "name is mean_teacher",
    ),
    (
      "data.label_seed",
      {"data__label_fraction": 1.0, "data__class_fraction": 1.0},
      "label_fraction is 1.0",
    ),
    (
      "adversarial.unlabelled_weight",
      {"train__unlabelled_in_batch": 0},
      "unlabelled_in_batch is 0",
    ),
    ("adversarial.weight", {"adversarial__form": "none"}, "form is none"),
    (
      "discriminator.conditional",
      {"discriminator__class_weight": 0.0},
      "class_weight is 0",
    ),
    (
      "eval.temperature_scaling",
      {
        "discriminator__class_weight": 0.0,
        "discriminator__predicted_weight": 0.0,
      },
      "predicted_weight is 0",
    ),
    (
      "augment.geometry_probability",
      {
        "augment__rotate_degrees": 0.0,
        "augment__scale": 0.0,
        "augment__shift": 0.0,
      },
      "rotate_degrees is 0",
    ),
  ],
)
def test_a_key_that_another_one_overrules(key, changed, why):
  config = appau_phantom.get_config()
  assert _lines(config, key) == []
  (line,) = _lines(config, key, **changed)
  assert line.startswith(f"config.{key} has no effect: ")
  assert why in line


def test_settings_with_a_surprising_effect():
  config = appau_phantom.get_config()
  assert _lines(config) == []
  epochs = float(config.train.epochs)
  warmup, teacher = _lines(
    config, optim__warmup_epochs=epochs, optim__ema_decay=0.0
  )
  assert "optim.warmup_epochs=50" in warmup
  assert "optim.ema_decay=0" in teacher


def test_every_key_of_two_players_has_an_effect_in_their_game():
  sections = ("discriminator.", "adversarial.", "consistency.")
  keys = [key for key in KEYS if key.startswith(sections)]
  assert len(keys) > 20
  config = appau_phantom.get_config()
  assert _lines(config, *keys, "loss.kl_eps", "data.class_fraction") == []


def test_a_class_budget_beyond_the_images_with_masks():
  config = _changed(
    appau_phantom.get_config(), discriminator__predicted_weight=0.0
  )
  key = "data.class_fraction"
  (line,) = _lines(config, key)
  assert "predicted_weight" in line
  # Fewer classes than masks: eq. (6) sees them.
  assert _lines(config, key, data__class_fraction=0.05) == []
  count = {"data__label_count": 10, "data__class_count": 20}
  assert len(_lines(config, "data.class_count", **count)) == 1
  count = {"data__label_count": 10, "data__class_count": 10}
  assert _lines(config, "data.class_count", **count) == []
  # A part of all images may be fewer than ten; all of them are not.
  part = {"data__label_count": 10, "data__class_fraction": 0.5}
  assert _lines(config, key, **part) == []
  assert len(_lines(config, key, data__label_count=10)) == 1
  (line,) = _lines(config, key, discriminator__class_weight=0.0)
  assert "class_weight is 0" in line


def test_strong_views_serve_either_player():
  config = appau_phantom.get_config()
  given = ("consistency.gamma", "consistency.weight")
  off = {"consistency__name": "none", "discriminator__consistency_weight": 0.0}
  assert len(_lines(config, *given, **off)) == 2
  (line,) = _lines(
    config,
    *given,
    consistency__name="none",
    discriminator__consistency_weight=1.0,
  )
  assert line.startswith("config.consistency.weight ")


def test_the_deciding_key_itself_always_counts():
  keys = ("discriminator.enabled", "consistency.name", "loss.name")
  assert _lines(phantom.get_config(), *keys) == []


def test_a_silent_adversary_has_no_weight():
  config = baselines.get_config("dataset=phantom,name=no_adversarial")
  assert len(_lines(config, "adversarial.weight", "adversarial.form")) == 1


if __name__ == "__main__":
  for asked in ASKED:
    _file(*asked).write_text(_text(*asked))
