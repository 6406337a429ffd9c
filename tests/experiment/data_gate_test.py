"""Training refuses data with errors, unless the configuration accepts them."""

import json

import pytest

from apppau_jax import phantoms as drawing
from apppau_jax.checks import (
  findings,
  prepared_data,
  saved_findings,
  validation,
)
from apppau_jax.config import Config
from apppau_jax.datasets import prepare
from apppau_jax.errors import ConfigError, DataError
from apppau_jax.experiment import assemble, data, data_gate, fitting, run_folder
from configs import phantom as phantom_config


class _ReachedError(Exception):
  """Training would begin here."""


@pytest.fixture
def config(data_dir):
  config = phantom_config.get_config("quick")
  config.data.data_dir = str(data_dir)
  return config


def _check(config):
  dataset = data.open_dataset(config)
  return data_gate.check(config, dataset, parts=data.parts(config, dataset))


@pytest.fixture(scope="module")
def leaking(tmp_path_factory):
  """Six phantoms, of which all normal ones show one person."""
  root = tmp_path_factory.mktemp("leaking")
  drawing.write_montgomery(root / "raw", count=6, seed=2, size=64)
  folder = root / "raw/MontgomerySet"
  for path in folder.rglob("*_0.png"):
    path.write_bytes((path.parent / "MCUCXR_0001_0.png").read_bytes())
  prepare.prepare("phantom", raw_dir=folder, data_dir=root)
  return root


def test_a_clean_set_passes_and_is_not_written_to(config):
  assert _check(config) == []
  assert not saved_findings.path(data.open_dataset(config)).exists()


def test_one_picture_in_two_parts_is_refused(
  config, leaking, tmp_path, monkeypatch, capsys
):
  config.data.data_dir = str(leaking)
  with pytest.raises(DataError) as caught:
    fitting.fit(config, workdir=tmp_path)
  text = str(caught.value)
  assert "(twins)" in text
  assert "equal pixels; split paper has them in " in text
  assert "launch.verify_data --dataset=phantom" in text
  assert not (tmp_path / "splits.json").exists()

  accept = text.split('--config.data.accept="')[1].split('"')[0]
  names = tuple(accept.strip("()").replace("'", "").split(", "))
  assert all(name.startswith("twins:MCUCXR_000") for name in names)

  def stop(*args, **kwargs):
    raise _ReachedError

  monkeypatch.setattr(assemble, "assemble", stop)
  config.data.accept = ("twins",)
  with pytest.raises(_ReachedError):
    fitting.fit(config, workdir=tmp_path, verbose=True)
  assert "accepted errors" in capsys.readouterr().err
  (note, *_) = run_folder.data_remarks(tmp_path)
  assert note.startswith("An error in the data was accepted: MCUCXR_000")


def test_the_named_findings_are_what_is_accepted(config, leaking):
  config.data.data_dir = str(leaking)
  with pytest.raises(DataError) as caught:
    _check(config)
  accept = str(caught.value).split('--config.data.accept="')[1].split('"')[0]
  config.data.accept = tuple(accept.strip("()").replace("'", "").split(", "))
  assert {f.level for f in _check(config)} >= {"error"}


def test_a_verdict_is_read_instead_of_looking_again(
  config, tmp_path, monkeypatch
):
  dataset = data.open_dataset(config)
  chosen = data.parts(config, dataset)
  config.data.label_count = 4
  fewer = data.parts(config, dataset)
  hidden = fewer.train_unlabelled[0]
  validated = validation.Validation(
    findings=(
      findings.error("fraction", "a mask", hidden),
      findings.error("text", "of another image", "stranger"),
    ),
    alike=(),
  )
  monkeypatch.setattr(
    saved_findings, "path", lambda *a, **k: tmp_path / "v.json"
  )
  monkeypatch.setattr(prepared_data, "read", None)
  saved_findings.write(dataset, validated)
  # The mask is hidden from this run, and so is what is wrong with it.
  assert data_gate.check(config, dataset, parts=fewer) == []
  with pytest.raises(DataError, match=r"\(fraction\) a mask"):
    data_gate.check(config, dataset, parts=chosen)


def test_masks_that_the_run_may_not_see_are_not_read(config, monkeypatch):
  asked = []
  read = prepared_data.read

  def record(*args, masks_of, **kwargs):
    asked.append(masks_of)
    return read(*args, masks_of=masks_of, **kwargs)

  monkeypatch.setattr(prepared_data, "read", record)
  config.data.label_count = 4
  _check(config)
  split = data.parts(config, data.open_dataset(config))
  assert asked == [
    {*split.train_labelled, *split.validation, *split.test}
  ]  # fmt: skip


@pytest.mark.parametrize("value", [("twin",), "twins", (1,), ("twin:x",)])
def test_what_can_be_accepted_is_named(value):
  tree = phantom_config.get_config().to_dict()
  tree["data"]["accept"] = ("twins", "patients:MCUCXR_0001_0")
  Config.from_dict(tree)
  tree["data"]["accept"] = value
  with pytest.raises(ConfigError, match=r"data.accept.*readable, size"):
    Config.from_dict(tree)


def test_a_run_without_verdict_has_nothing_accepted(tmp_path):
  assert run_folder.data_remarks(tmp_path) == []
  run_folder.write_findings(tmp_path, [findings.note("counts", "fewer")])
  stored = json.loads((tmp_path / "verify.json").read_text())
  assert stored["findings"][0]["level"] == "note"


def test_who_prepares_keeps_the_verdict(config, leaking, monkeypatch):
  config.data.data_dir = str(leaking)
  config.data.accept = ("twins",)
  looked = _check(config)
  dataset = data.open_dataset(config)
  data_gate.keep_findings(dataset)
  monkeypatch.setattr(prepared_data, "read", None)
  try:
    assert looked
    assert _check(config) == looked
  finally:
    saved_findings.path(dataset).unlink()
