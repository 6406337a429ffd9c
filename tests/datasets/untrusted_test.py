"""A prepared folder of unknown origin is read as data: none of it is code."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from array_record.python import array_record_module

from apppau_jax import errors
from apppau_jax.datasets import prepared as prepared_lib
from apppau_jax.datasets import spec
from apppau_jax.datasets.dataset import Dataset
from apppau_jax.datasets.prepare import prepare
from apppau_jax.errors import DataError
from apppau_jax.experiment import data, run_files, run_folder
from apppau_jax.imaging import decode
from configs import phantom as phantom_config

ROOT = Path(__file__).parents[2]
IDS = ("MCUCXR_0001_0", "MCUCXR_0002_0", "MCUCXR_0113_1")


@pytest.fixture(scope="module")
def prepared(raw_sets, tmp_path_factory):
  raw = raw_sets.montgomery(tmp_path_factory.mktemp("raw"), IDS)
  root = tmp_path_factory.mktemp("data")
  prepare("phantom", raw_dir=raw, data_dir=root)
  return root


@pytest.fixture
def data_dir(prepared, tmp_path):
  return shutil.copytree(prepared, tmp_path / "data")


def _folder(data_dir):
  (found,) = data_dir.glob("phantom/128/*/prepare.json")
  return found.parent


def _seal(folder):
  """Gives the files, whatever they are now, their checksums."""
  facts = json.loads((folder / prepared_lib.RECORD).read_text())
  facts["files"] = prepared_lib.checksums(folder)
  (folder / prepared_lib.RECORD).write_text(json.dumps(facts))


@pytest.fixture
def planted(data_dir, tmp_path):
  """A data_dir whose features.json names a class of a module that attacks."""
  marker = tmp_path / "marker"
  modules = tmp_path / "modules"
  modules.mkdir()
  (modules / "planted_features.py").write_text(
    f"open({str(marker)!r}, 'w').close()\n"
    "from tensorflow_datasets.core.features.text_feature import Text\n"
    "class Planted(Text): pass\n"
  )
  path = _folder(data_dir) / "features.json"
  features = json.loads(path.read_text())
  finding = features["featuresDict"]["features"]["finding"]
  finding["pythonClassName"] = "planted_features.Planted"
  path.write_text(json.dumps(features))
  _seal(path.parent)
  return data_dir, modules, marker


def test_a_class_that_a_folder_names_is_not_imported(planted, monkeypatch):
  data_dir, modules, marker = planted
  monkeypatch.syspath_prepend(str(modules))
  with pytest.raises(DataError, match=r"features\.json") as caught:
    _ = Dataset("phantom", data_dir=data_dir).entries
  assert caught.value.exit_code == 3
  assert not marker.exists()
  assert "planted_features" not in sys.modules
  # The plant works: TFDS's own reader imports the module.
  tfds.builder_from_directory(_folder(data_dir))
  assert marker.exists()
  sys.modules.pop("planted_features")


def test_nor_if_a_runs_configuration_leads_to_it(
  planted, monkeypatch, tmp_path
):
  data_dir, modules, marker = planted
  monkeypatch.syspath_prepend(str(modules))
  tree = phantom_config.get_config("quick").to_dict()
  tree["data"]["data_dir"] = str(data_dir)
  run_folder.claim(tmp_path / "run", json.loads(json.dumps(tree)))
  config = run_files.read_config(tmp_path / "run")
  with pytest.raises(DataError, match=r"features\.json"):
    data.open_dataset(config)
  assert not marker.exists()


def test_a_main_ends_with_status_3_and_one_paragraph(planted):
  data_dir, modules, marker = planted
  path = os.pathsep.join([str(modules), os.environ.get("PYTHONPATH", "")])
  done = subprocess.run(
    [sys.executable, "-m", "launch.verify_data", "--dataset=phantom",
     f"--data_dir={data_dir}"],
    env={**os.environ, "PYTHONPATH": path}, cwd=ROOT,
    capture_output=True, text=True, check=False,
  )  # fmt: skip
  assert done.returncode == 3
  assert "features.json" in done.stderr
  assert "Traceback" not in done.stderr
  assert not marker.exists()


def _other_classes(folder):
  (folder / "label.labels.txt").write_text("normal\nflu\n")


def _no_classes(folder):
  (folder / "label.labels.txt").unlink()


def _deep_json(folder):
  (folder / "features.json").write_text("[" * 100_000)


def _no_shard(folder):
  (shard,) = folder.glob("*.array_record-*")
  shard.unlink()


def _other_shard(folder):
  (shard,) = folder.glob("*.array_record-*")
  shard.write_bytes(b"no array_record at all")


def _write_record(folder, record):
  (shard,) = folder.glob("*.array_record-*")
  writer = array_record_module.ArrayRecordWriter(str(shard), "group_size:1")
  writer.write(record)
  writer.close()


def _other_records(folder):
  _write_record(folder, b"\xff\xff not an example")


def _numbers_for_text(folder):
  built = tfds.builder_from_directory(folder)
  numbers = {name: np.int64(0) for name in built.info.features}
  spec = {
    name: tfds.features.Tensor(shape=(), dtype=np.int64) for name in numbers
  }
  features = tfds.features.FeaturesDict(spec)
  _write_record(folder, features.serialize_example(numbers))


@pytest.mark.parametrize(
  ("spoil", "says"),
  [
    (_other_classes, "normal, flu, not normal, tb"),
    (_no_classes, r"label\.labels\.txt"),
    (_deep_json, r"features\.json"),
    (_no_shard, "shards are incomplete"),
    (_other_shard, "not an array_record|cannot be read"),
    (_other_records, "a record cannot be read"),
    (_numbers_for_text, "a record cannot be read"),
  ],
)
def test_what_is_not_as_the_code_states_is_refused(data_dir, spoil, says):
  spoil(_folder(data_dir))
  _seal(_folder(data_dir))
  with pytest.raises(DataError, match=says):
    _ = Dataset("phantom", data_dir=data_dir).entries


@pytest.mark.parametrize("content", ["[]", "[" * 100_000, '{"files": []}'])
def test_a_manifest_that_is_none(data_dir, content):
  (_folder(data_dir) / prepared_lib.RECORD).write_text(content)
  with pytest.raises(DataError, match="not prepared"):
    _ = Dataset("phantom", data_dir=data_dir).entries


def test_a_pipe_for_a_manifest_does_not_block(data_dir):
  path = _folder(data_dir) / prepared_lib.RECORD
  path.unlink()
  os.mkfifo(path)
  with pytest.raises(DataError, match="not prepared"):
    Dataset("phantom", data_dir=data_dir)


@pytest.mark.parametrize("name", ["features.json", "label.labels.txt"])
def test_a_pipe_for_another_file_does_not_block(data_dir, name):
  """A manifest need not name the file, so that its checksum is not taken."""
  folder = _folder(data_dir)
  (folder / name).unlink()
  _seal(folder)
  os.mkfifo(folder / name)
  with pytest.raises(DataError, match=re.escape(name)):
    Dataset("phantom", data_dir=data_dir)


def _attacked(folder, good, seed):
  """Damages one file of a prepared folder and gives it its checksum."""
  rng = np.random.default_rng(seed)
  for name, content in good.items():
    (folder / name).write_bytes(content)
  name = str(rng.choice([*good, *(n for n in good if "array_record" in n)]))
  data = bytearray(good[name])
  for _ in range(rng.integers(1, 4)):
    at = int(rng.integers(max(1, len(data))))
    change = rng.integers(4)
    if change == 0 and data:
      data[at] ^= 1 << int(rng.integers(8))
    elif change == 1:
      data[at : at + 8] = b"\xff" * 8
    elif change == 2:
      data[at : at + 4] = b"\0" * 4
    else:
      del data[at:]
  (folder / name).write_bytes(data)
  if name != prepared_lib.RECORD:
    (folder / prepared_lib.RECORD).write_bytes(good[prepared_lib.RECORD])
    _seal(folder)
  return name


@pytest.mark.parametrize(
  "seeds", [range(40), pytest.param(range(40, 4000), marks=pytest.mark.slow)]
)
def test_damage_with_the_right_checksums_is_read_or_refused(data_dir, seeds):
  folder = _folder(data_dir)
  good = {path.name: path.read_bytes() for path in folder.iterdir()}
  for seed in seeds:
    name = _attacked(folder, good, seed)
    try:
      opened = Dataset("phantom", data_dir=data_dir)
      opened.open(opened.ids)
    except DataError:
      pass
    except Exception as error:
      raise AssertionError(f"{name}, seed {seed}: {error!r}") from error


def test_a_set_that_lies_where_another_is_built_is_not_taken(
  planted, monkeypatch, raw_sets, tmp_path
):
  """A link cannot be removed as a folder is, and TFDS reuses what it finds."""
  data_dir, modules, marker = planted
  monkeypatch.syspath_prepend(str(modules))
  folder = _folder(data_dir)
  before = {path.name: path.read_bytes() for path in folder.iterdir()}
  raw = raw_sets.montgomery(tmp_path / "raw", IDS[:2])
  mine = tmp_path / "mine"
  (mine / "phantom/128").mkdir(parents=True)
  (mine / "phantom/128/.building").symlink_to(data_dir)
  made = prepare("phantom", raw_dir=raw, data_dir=mine)
  assert made["counts"]["images"] == 2
  assert Dataset("phantom", data_dir=mine).ids == IDS[:2]
  assert {p.name: p.read_bytes() for p in folder.iterdir()} == before
  assert not marker.exists()


def test_a_lock_that_is_a_link_empties_no_file(raw_sets, tmp_path):
  precious = tmp_path / "precious"
  precious.write_text("mine")
  raw = raw_sets.montgomery(tmp_path / "raw", IDS[:1])
  (tmp_path / "data/phantom/128").mkdir(parents=True)
  (tmp_path / "data/phantom/128/.lock").symlink_to(precious)
  with pytest.raises(DataError):
    prepare("phantom", raw_dir=raw, data_dir=tmp_path / "data")
  assert precious.read_text() == "mine"


@pytest.mark.parametrize(
  ("key", "value"),
  [
    *(
      ("data.dataset", name)
      for name in (
        *("folder:../../x", "folder:/etc", "folder:a/b", "folder:..", "../x"),
        *("folder:", "folder:a\0b", "folder:a\x1b[2J", "/etc"),
      )
    ),
    ("data.resolution", 2**40),
    ("data.bits", 2**40),
    ("model.base_width", 2**40),
    ("train.batch_size", 10**12),
    ("eval.batch_size", 10**12),
    ("eval.checkpoint", "../../x"),
    ("model.preset", "os.system"),
    ("loss.name", "os.system"),
  ],
)
def test_values_of_a_runs_configuration_are_not_believed(
  data_dir, tmp_path, key, value
):
  tree = phantom_config.get_config("quick").to_dict()
  tree["data"]["data_dir"] = str(data_dir)
  section, name = key.split(".")
  assert name in tree[section]
  tree[section][name] = value
  run_folder.claim(tmp_path / "run", json.loads(json.dumps(tree)))
  with pytest.raises(errors.ConfigError) as caught:
    data.open_dataset(run_files.read_config(tmp_path / "run"))
  assert "\x1b" not in str(caught.value)


@pytest.mark.slow
def test_train_and_evaluate_run_no_code_of_the_data(planted, tmp_path):
  data_dir, modules, marker = planted
  path = os.pathsep.join([str(modules), os.environ.get("PYTHONPATH", "")])
  run = tmp_path / "run"
  tree = phantom_config.get_config("quick").to_dict()
  tree["data"]["data_dir"] = str(data_dir)
  run_folder.claim(run, json.loads(json.dumps(tree)))
  for flags, status in (
    (["train", "--config=configs/phantom.py:quick", f"--workdir={run}-2",
      f"--config.data.data_dir={data_dir}"], 3),
    (["evaluate", f"--workdir={run}"], 4),  # without a checkpoint
    (["verify_data", "--dataset=phantom", f"--data_dir={data_dir}"], 3),
  ):  # fmt: skip
    done = subprocess.run(
      [sys.executable, "-m", f"launch.{flags[0]}", *flags[1:]],
      env={**os.environ, "PYTHONPATH": path}, cwd=ROOT,
      capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    assert not marker.exists()


@pytest.mark.parametrize(
  "pixels",
  [
    np.zeros((64, 64), np.uint8),
    np.zeros((128, 128), np.uint16),
    np.zeros((128, 128, 3), np.uint8),
  ],
)
def test_pictures_of_another_form_are_refused(pixels):
  png = decode.encode_png(pixels)
  with pytest.raises(DataError, match="prepared set"):
    decode.read_prepared(png, side=128, dtype=np.uint8)
  with pytest.raises(DataError, match="prepared set"):
    decode.read_prepared(png[:40], side=128)


def test_a_set_has_sixteen_structures_at_most():
  fields = {"name": "x", "title": "", "masks": lambda i: ()}
  names = tuple("abcdefghijklmnopq")
  assert spec.DatasetSpec(**fields, structures=names[:16]).structures
  with pytest.raises(ValueError, match="at most 16"):
    spec.DatasetSpec(**fields, structures=names)
