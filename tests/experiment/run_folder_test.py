"""A run's folder outlives the version of the code that made it."""

import errno
import json
import pathlib
import subprocess
import sys

import pytest

from apppau_jax.errors import CheckpointError, ConfigError
from apppau_jax.experiment import run_files, run_folder
from configs import phantom

HOLD = """
import pathlib, sys
from apppau_jax.experiment import run_folder as workdir
with workdir.locked(pathlib.Path(sys.argv[1])):
  print("held", flush=True)
  sys.stdin.read()
"""


def test_two_processes_do_not_train_in_one_folder(tmp_path):
  """The second is refused; the first one's kill -9 leaves no lock behind."""
  folder = tmp_path / "run"
  with subprocess.Popen(
    [sys.executable, "-c", HOLD, str(folder)],
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    cwd=pathlib.Path(__file__).parents[2],
  ) as other:
    assert other.stdout is not None
    assert other.stdout.readline() == b"held\n"
    with (
      pytest.raises(ConfigError, match="Another process"),
      run_folder.locked(folder),
    ):
      raise AssertionError
    other.kill()
  with run_folder.locked(folder):
    pass
  with run_folder.locked(folder):
    pass


def _older(folder):
  """config.json of a run made before D, and before two single keys."""
  tree = json.loads(json.dumps(phantom.get_config().to_dict()))
  del tree["discriminator"]
  del tree["train"]["select_by"]
  del tree["data"]["class_names"]
  tree["train"]["epochs"] = 7
  (folder / "checkpoints" / "latest" / "5").mkdir(parents=True)
  (folder / "config.json").write_text(json.dumps(tree))


def test_an_older_run_is_read_with_the_defaults_of_newer_keys(tmp_path):
  _older(tmp_path)
  config = run_files.read_config(tmp_path)
  assert config.train.epochs == 7
  assert config.train.select_by == "dice"
  assert config.discriminator.enabled is False


def test_an_older_run_goes_on_and_another_does_not(tmp_path):
  _older(tmp_path)
  config = phantom.get_config()
  config.train.epochs = 7
  run_folder.claim(tmp_path, config.to_dict())
  config.discriminator.enabled = True
  with pytest.raises(ConfigError, match=r"discriminator.enabled: False"):
    run_folder.claim(tmp_path, config.to_dict())


def test_a_key_of_a_later_version_is_named(tmp_path):
  _older(tmp_path)
  path = tmp_path / "config.json"
  tree = json.loads(path.read_text())
  tree["future"] = {"knob": 1}
  path.write_text(json.dumps(tree))
  with pytest.raises(ConfigError, match=r"future.knob is unknown"):
    run_files.read_config(tmp_path)


def test_no_run_says_how_to_make_one(tmp_path):
  with pytest.raises(CheckpointError, match=r"launch.train"):
    run_files.read_config(tmp_path)


@pytest.mark.parametrize("content", ['{"model": {"preset"', "[]", "\0\0"])
def test_a_damaged_record_is_named(tmp_path, content):
  for name, read in (
    ("config.json", run_files.read_config),
    ("manifest.json", run_files.read_manifest),
  ):
    (tmp_path / name).write_text(content)
    with pytest.raises(CheckpointError, match=name):
      read(tmp_path)


@pytest.mark.parametrize(
  ("name", "content", "read"),
  [
    ("manifest.json", {"sessions": "x"}, run_files.read_manifest),
    ("verify.json", {"findings": [{}]}, run_folder.data_remarks),
    ("verify.json", {}, run_folder.data_remarks),
    (
      "eval/test/report.json",
      {"segmentation": {"dice": 0.5}},
      lambda folder: run_files.read_report(folder, "test"),
    ),
    (
      "eval/test/report.json",
      {"classification": {"confusion": [[1, 2]]}},
      lambda folder: run_files.read_report(folder, "test"),
    ),
    (
      "eval/test/report.json",
      {"classification": {"confusion": []}},
      lambda folder: run_files.read_report(folder, "test"),
    ),
  ],
)
def test_a_record_of_another_shape_is_named(tmp_path, name, content, read):
  path = tmp_path / name
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(json.dumps(content))
  with pytest.raises(CheckpointError, match=name):
    read(tmp_path)


def test_a_workdir_that_cannot_hold_a_run(tmp_path, monkeypatch):
  """A file, a folder below a file, and a read-only disk."""
  file = tmp_path / "file"
  file.write_text("")
  for folder in (file, file / "run"):
    with (
      pytest.raises(ConfigError, match="cannot hold a run"),
      run_folder.locked(folder),
    ):
      raise AssertionError
  assert file.read_text() == ""

  def refuse(self, *args, **kwargs):
    raise OSError(errno.EROFS, "Read-only file system", str(self))

  monkeypatch.setattr(pathlib.Path, "mkdir", refuse)
  with (
    pytest.raises(ConfigError, match="Read-only"),
    run_folder.locked(tmp_path / "run"),
  ):
    raise AssertionError


def test_figures_come_with_what_is_wrong_with_their_data(tmp_path):
  """Accepted errors, and patients whom a public list divides; no more."""
  (tmp_path / run_files.FINDINGS).write_text(
    json.dumps(
      {
        "findings": [
          {"level": "error", "check": "twins", "what": "a is b", "ids": []},
          {"level": "warning", "check": "patients", "what": "p", "ids": []},
          {"level": "warning", "check": "components", "what": "c", "ids": []},
        ]
      }
    )
  )
  assert run_folder.data_remarks(tmp_path) == [
    "An error in the data was accepted: a is b.",
    "Parts share a patient: p.",
  ]
  assert run_folder.data_remarks(tmp_path / "of an older version") == []


def test_a_first_save_cut_short_fixes_no_configuration(tmp_path):
  (tmp_path / "checkpoints/latest/9.orbax-checkpoint-tmp").mkdir(parents=True)
  assert not run_folder.is_trained(tmp_path)
  (tmp_path / "checkpoints/latest/9").mkdir()
  assert run_folder.is_trained(tmp_path)


def test_what_came_to_nothing_leaves_no_folder(tmp_path):
  with pytest.raises(ConfigError), run_folder.locked(tmp_path / "run"):
    raise ConfigError("refused before anything was written")
  assert list(tmp_path.iterdir()) == []
  with run_folder.locked(tmp_path / "run"):
    (tmp_path / "run" / "config.json").write_text("{}")
  assert (tmp_path / "run" / "config.json").exists()
