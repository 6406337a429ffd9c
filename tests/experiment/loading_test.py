"""From run folders to models: alone, averaged, and refused."""

import dataclasses
import json
import shutil

import jax
import numpy as np
import pytest
from fixtures.stub_member import StubMember

from apppau_jax.config import Config
from apppau_jax.errors import CheckpointError, ConfigError
from apppau_jax.experiment import (
  loading,
  model_file,
  networks,
  restoring,
  run_folder,
  weights_file,
)
from apppau_jax.inference.model import Model
from apppau_jax.phantoms import make_phantom
from apppau_jax.training import checkpoints
from configs import appau_phantom, phantom


def _changed(config, **changes):
  for key, value in changes.items():
    room, _, name = key.partition("__")
    config[room][name] = value
  return config


def _small():
  config = phantom.get_config("quick")
  return _changed(config, model__preset="unet", model__base_width=1)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
  """Two run folders as training leaves them, with weights of other seeds."""
  root, config = tmp_path_factory.mktemp("runs"), _small()
  init = jax.jit(lambda seed: networks.init(config, seed=seed))
  for seed, name in enumerate("ab"):
    run_folder.claim(root / name, config.to_dict())
    store = checkpoints.Store(root / name / "checkpoints" / "best")
    store.save(init(seed).averages, step=7 + seed, meta={})
    store.close()
  return root


def test_a_run_becomes_a_model_and_several_their_mean(trained):
  image = np.random.default_rng(0).integers(0, 256, (48, 40)).astype(np.uint8)
  models = [loading.load(trained / "a"), loading.load([str(trained / "b")])]
  assert all(isinstance(model, Model) for model in models)
  assert models[0].resolution == 128
  one, other = (model.predict(image).probability for model in models)
  assert np.abs(one - other).max() > 1e-3
  both = loading.load([trained / "a", trained / "b"]).predict(image)
  np.testing.assert_allclose(both.probability, (one + other) / 2, atol=1e-5)
  assert both.mask.shape == image.shape


def test_facts_of_one_run_are_values_and_of_several_lists(trained):
  one = loading.load_runs([trained / "a"])
  both = loading.load_runs([trained / "a", trained / "b"])
  assert both.is_ensemble
  assert not one.is_ensemble
  facts, others = one.facts(), both.facts()
  assert (facts["checkpoint"], facts["checkpoint_step"]) == ("best", 7)
  assert (facts["model"], facts["seed"]) == ("unet", 0)
  assert others["checkpoint_step"] == [7, 8]
  assert others["model"] == ["unet", "unet"]
  count = facts["parameters"]["segmentor"]
  assert others["parameters"] == {"segmentor": 2 * count}
  assert one.identity()["step"] == 7
  assert both.identity()["step"] == [7, 8]


def test_a_folder_without_a_trained_run_is_named(trained, tmp_path):
  with pytest.raises(CheckpointError, match=str(tmp_path)):
    loading.load(tmp_path)
  run_folder.claim(tmp_path, _small().to_dict())
  with pytest.raises(CheckpointError, match="best"):
    loading.load(tmp_path)
  with pytest.raises(ConfigError, match="twice"):
    loading.load([trained / "a", trained / "b" / ".." / "a"])


@pytest.fixture
def load(tmp_path, monkeypatch):
  """Loads runs of given configurations, by name, with placeholder weights."""
  variables = {key: {"params": {}} for key in ("segmentor", "discriminator")}
  monkeypatch.setattr(restoring, "weights", lambda *_, **__: (variables, 1))

  def load(**configs):
    for name, config in configs.items():
      run_folder.claim(tmp_path / name, config.to_dict())
    return loading.load([tmp_path / name for name in configs])

  return load


@pytest.mark.parametrize(
  ("other", "named"),
  [
    ({"data__resolution": 256}, "data.resolution 128 and 256"),
    ({"data__bits": 16}, "data.bits 8 and 16"),
    ({"data__class_names": ("a", "b", "c")}, "classes"),
    ({"discriminator__enabled": False}, "classes"),
  ],
)
def test_runs_that_predict_other_things_are_not_averaged(load, other, named):
  changed = _changed(appau_phantom.get_config(), **other)
  with pytest.raises(ConfigError, match=named):
    load(one=appau_phantom.get_config(), two=changed)


def test_the_first_run_decides_how_probabilities_become_masks(load):
  one = _changed(
    appau_phantom.get_config(), eval__threshold=0.25,
    eval__largest_components=2, eval__test_time_augmentation=True,
  )  # fmt: skip
  model = load(a=one, b=appau_phantom.get_config())
  assert (model.threshold, model.largest_components) == (0.25, 2)
  assert model.class_names == ("normal", "tb")
  assert [bool(member.views) for member in model.members] == [True, False]


def test_every_run_has_the_temperature_of_its_own_report(load, tmp_path):
  config = _changed(appau_phantom.get_config(), eval__temperature_scaling=True)
  with pytest.raises(CheckpointError, match="--split=validation"):
    load(a=config)
  for name, temperature in (("a", 2.0), ("b", 3.0)):
    folder = tmp_path / name / "eval" / "validation"
    folder.mkdir(parents=True)
    report = {"classification": {"temperature": temperature}}
    (folder / "report.json").write_text(json.dumps(report))
  both = load(a=config, b=config)
  assert [member.temperature for member in both.members] == [2.0, 3.0]


def test_the_identity_holds_the_digests_of_every_run(tmp_path):
  for name in "ab":
    (tmp_path / name).mkdir()
    run_folder.write_manifest(
      tmp_path / name, status="done", config={"of": name}, data_sha256="d"
    )
  a, b = (run_folder.identity([tmp_path / name]) for name in "ab")
  both = run_folder.identity([tmp_path / "a", tmp_path / "b"])
  assert a["data_sha256"] == "d"
  assert both["config_sha256"] == [a["config_sha256"], b["config_sha256"]]


def test_a_run_is_read_from_its_one_file_once_its_checkpoints_are_gone(
  trained, tmp_path
):
  folder = tmp_path / "a"
  shutil.copytree(trained / "a", folder)
  before = loading.read(folder)
  card = weights_file.card("best")
  model_file.write(
    weights_file.path(folder), dataclasses.replace(before, card=card)
  )
  weights_file.clear(folder)
  assert sorted(p.name for p in folder.iterdir()) == [
    "config.json",
    "model.safetensors",
  ]
  assert run_folder.is_trained(folder)
  after = loading.read(folder)
  assert after.step == before.step
  jax.tree.map(
    np.testing.assert_array_equal,
    dict(after.variables),
    dict(before.variables),
  )
  with pytest.raises(CheckpointError, match="'latest' weights are gone"):
    loading.read(folder, changes={"eval.checkpoint": "latest"})


def test_the_file_of_another_network_is_refused(trained, tmp_path):
  folder = tmp_path / "a"
  folder.mkdir()
  shutil.copy(trained / "a/config.json", folder)
  config = _small()
  config.model.base_width += 1
  variables = jax.tree.map(
    lambda leaf: np.ones(leaf.shape, np.float32),
    restoring.shapes(config).averages,
  )
  foreign = model_file.ModelFile(
    config=config, variables=variables, card=weights_file.card("best")
  )
  model_file.write(weights_file.path(folder), foreign)
  with pytest.raises(CheckpointError, match=r"model\.safetensors .* shape"):
    loading.read(folder)


def test_settings_of_the_evaluation_can_be_changed(trained):
  plain = loading.load_runs([trained / "a"])
  runs = loading.load_runs([trained / "a"], changes={"eval.threshold": 0.25})
  assert runs.model.threshold == 0.25
  assert plain.model.threshold == 0.5
  assert runs.identity() != plain.identity()  # other masks, another model
  with pytest.raises(ConfigError, match=r"eval\.threshold"):
    loading.load_runs([trained / "a"], changes={"eval.threshold": 2.0})


def test_only_a_finished_run_is_lengthened(trained, tmp_path):
  folder = tmp_path / "a"
  shutil.copytree(trained / "a", folder)
  longer = _changed(_small(), train__epochs=9).to_dict()
  with pytest.raises(ConfigError, match=r"train\.epochs"):
    run_folder.claim(folder, longer, may_lengthen=True)
  run_folder.write_manifest(folder, status="done", config={})
  with pytest.raises(ConfigError, match=r"train\.epochs"):  # not by a sweep
    run_folder.claim(folder, longer)
  assert run_folder.claim(folder, longer, may_lengthen=True) == 2
  assert run_folder.claim(folder, longer) is None  # from here on it is that
  with pytest.raises(ConfigError, match=r"train\.epochs"):  # never shorter
    run_folder.claim(folder, _small().to_dict(), may_lengthen=True)


@pytest.mark.parametrize(
  ("dataset", "structures", "named"),
  [
    ("montgomery", (), ()),
    ("siim_acr", (), ("pneumothorax",)),
    ("covid_qu_ex_infection", ("infection",), ("infection",)),
  ],
)
def test_masks_are_named_by_what_they_outline(dataset, structures, named):
  config = Config()
  config.data.dataset, config.data.structures = dataset, structures
  assert networks.structures(config) == named
  assert networks.masks(config) == 1


def test_there_are_no_remarks_about_lungs_on_other_masks():
  side = 64
  black = np.full((side, side), -9.0)  # an empty mask
  member = StubMember(
    lambda image: np.broadcast_to(black[..., None], image.shape)
  )
  film = make_phantom(seed=0, index=0, size=(256, 256)).image
  for structures, mentioned in (((), True), (("pneumothorax",), False)):
    model = Model([member], resolution=side, structures=structures)
    text = " ".join(model.predict(film).remarks).lower()
    assert ("lung" in text) == mentioned
