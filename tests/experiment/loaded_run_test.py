"""Which runs may be averaged, and what is told of them together."""

import dataclasses
import json

import pytest

from apppau_jax.datasets import splits
from apppau_jax.errors import ConfigError, DataError
from apppau_jax.experiment import evaluate_run, loaded_run, run_folder
from apppau_jax.inference import batched_inference
from configs import appau_phantom, base, phantom


def _run(config, name="run", *, tmp_path):
  players = batched_inference.Players(
    predict=lambda *_: None,
    diagnose=(lambda *_: None) if config.discriminator.enabled else None,
  )
  return loaded_run.Finished(
    workdirs=(tmp_path / name,),
    configs=(config,),
    players=players,
    variables={"segmentor": name, "discriminator": name},
    steps=(len(name),),
    parameters={"segmentor": 10, "discriminator": 5},
  )


@pytest.fixture
def load(tmp_path, monkeypatch):
  """Loads runs of given configurations, by name, without any weights."""

  def load(**configs):
    monkeypatch.setattr(
      loaded_run,
      "_load",
      lambda folder: _run(configs[folder.name], folder.name, tmp_path=tmp_path),
    )
    return loaded_run.load([tmp_path / name for name in configs])

  return load


def _changed(config, **changes):
  for key, value in changes.items():
    room, _, name = key.partition("__")
    config[room][name] = value
  return config


def test_networks_and_seeds_may_differ(load):
  one = _changed(phantom.get_config(), model__preset="unet")
  two = phantom.get_config()
  two.seed = 7
  both = load(a=one, second=two)
  assert both.is_ensemble
  assert both.facts() == {
    "model": ["unet", "ppau_unet"],
    "loss": [one.loss.name, two.loss.name],
    "checkpoint": ["best", "best"],
    "checkpoint_step": [1, 6],
    "seed": [0, 7],
    "parameters": {"segmentor": 20},
  }
  assert both.variables == {"segmentor": ["a", "second"]}
  assert both.players.diagnose is None
  assert load(a=one).facts() == {
    "model": "unet",
    "loss": one.loss.name,
    "checkpoint": "best",
    "checkpoint_step": 1,
    "seed": 0,
    "parameters": {"segmentor": 10, "discriminator": 5},
  }


@pytest.mark.parametrize(
  ("other", "told"),
  [
    ({"data__resolution": 256}, "data.resolution 128 and 256"),
    ({"data__bits": 16}, "data.bits 8 and 16"),
    ({"data__class_names": ("a", "b", "c")}, "classes .* and"),
    ({"discriminator__enabled": False}, r"classes \('normal', 'tb'\) and \(\)"),
  ],
)
def test_what_means_other_things_is_not_averaged(load, other, told):
  changed = _changed(appau_phantom.get_config(), **other)
  with pytest.raises(ConfigError, match=f"cannot be averaged: .*{told}"):
    load(one=appau_phantom.get_config(), two=changed)


def test_each_members_temperature_is_its_own(load, tmp_path):
  config = _changed(appau_phantom.get_config(), eval__temperature_scaling=True)
  for name, temperature in (("a", 2.0), ("b", 3.0)):
    folder = tmp_path / name / "eval" / "validation"
    folder.mkdir(parents=True)
    report = {"classification": {"temperature": temperature}}
    (folder / "report.json").write_text(json.dumps(report))
  asked = {}

  def diagnose(judges, *, temperatures):
    asked.update(judges=len(judges), temperatures=temperatures)

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(loaded_run.ensemble, "diagnose", diagnose)
    load(a=config, b=config)
  assert asked == {"judges": 2, "temperatures": [2.0, 3.0]}


def test_several_runs_are_told_from_each_alone(tmp_path):
  for name in "ab":
    (tmp_path / name).mkdir()
    run_folder.write_manifest(
      tmp_path / name, status="done", config={"of": name}, data_sha256="d"
    )
  a, b = (
    run_folder.identity([tmp_path / "a"]),
    run_folder.identity([tmp_path / "b"]),
  )
  both = run_folder.identity([tmp_path / "a", tmp_path / "b"])
  assert a["data_sha256"] == "d"
  assert both == {
    "config_sha256": [a["config_sha256"], b["config_sha256"]],
    "data_sha256": ["d", "d"],
  }


def test_no_member_may_have_seen_the_images(tmp_path):
  """The folds of a cross-validation train on each other's test images."""
  split = splits.Parts(
    train_labelled=("t",), train_unlabelled=(), validation=("v",), test=("x",)
  )
  other = splits.Parts(
    train_labelled=("x",), train_unlabelled=(), validation=("v",), test=("t",)
  )
  for name, part in (("a", split), ("b", other)):
    (tmp_path / name).mkdir()
    path = tmp_path / name / "splits.json"
    path.write_text(json.dumps(part.as_dict()))
  of = {"a": "phantom", "b": "phantom+jsrt"}

  def load(part, names):
    runs = [
      _run(
        _changed(base.get_config(), data__dataset=of[name]),
        name,
        tmp_path=tmp_path,
      )
      for name in names
    ]
    several = dataclasses.replace(
      runs[0],
      workdirs=tuple(run.workdirs[0] for run in runs),
      configs=tuple(run.config for run in runs),
    )
    evaluate_run._check_unused(several, getattr(split, part), part=part)

  load("test", "a")
  load("validation", "ab")
  with pytest.raises(DataError, match=r"the run .*b \(x\)"):
    load("test", "ab")
  of["b"] = "montgomery"  # whose names the phantoms bear
  load("test", "ab")


def test_a_run_is_not_averaged_with_itself(load, tmp_path):
  one = tmp_path / "a"
  with pytest.raises(ConfigError, match="named twice"):
    loaded_run.load([one, tmp_path / "b" / ".." / "a"])


def test_several_runs_need_a_folder_of_their_own(tmp_path):
  with pytest.raises(ConfigError, match="--output"):
    evaluate_run.measure(tmp_path / "a", tmp_path / "b", part="test")
