"""Which images may be evaluated, and which report is a run's own."""

import contextlib
import types

import numpy as np
import pytest

from apppau_jax import files
from apppau_jax.config import Config
from apppau_jax.datasets.parts import Parts
from apppau_jax.errors import ConfigError, DataError
from apppau_jax.experiment import evaluate_run
from apppau_jax.metrics import classification


@pytest.mark.parametrize(
  ("part", "names", "refused"),
  [("test", "a", False), ("validation", "ab", False), ("test", "ab", True)],
)
def test_no_run_may_have_been_trained_on_the_images(
  tmp_path, part, names, refused
):
  """The folds of a cross-validation train on each other's test images."""
  for name, (train, test) in {"a": ("t", "x"), "b": ("x", "t")}.items():
    split = {"train_labelled": [train], "train_unlabelled": []}
    split |= {"validation": ["v"], "test": [test]}
    files.write_json(tmp_path / name / "splits.json", split)
  config = Config()
  runs = types.SimpleNamespace(
    workdirs=[tmp_path / name for name in names],
    configs=[config for _ in names],
    config=config,
  )
  ids = {"test": ["x"], "validation": ["v"]}[part]
  expected = contextlib.nullcontext()
  if refused:
    expected = pytest.raises(DataError, match=rf"{tmp_path / 'b'} \(x\)")
  with expected:
    evaluate_run._check_unused(runs, ids, part=part)


def test_several_runs_need_a_folder_of_their_own(tmp_path):
  with pytest.raises(ConfigError, match="--output"):
    evaluate_run.evaluate(tmp_path / "a", tmp_path / "b", part="test")


@pytest.mark.parametrize("workdir", ["one.safetensors", "one"])
def test_another_data_set_and_a_file_need_a_folder(tmp_path, workdir):
  (tmp_path / "one.safetensors").touch()
  other = None if workdir.endswith("safetensors") else ("montgomery", "paper")
  with pytest.raises(ConfigError, match="--output"):
    evaluate_run.evaluate(tmp_path / workdir, part="test", other=other)


def test_the_test_report_comes_before_the_validation_report(tmp_path):
  """Evaluating validation again must not hide it."""
  for part in ("validation", "test"):
    (tmp_path / "eval" / part).mkdir(parents=True)
    (tmp_path / "eval" / part / "report.html").write_text(part)
    evaluate_run.show(tmp_path)
    assert (tmp_path / "report.html").read_text() == part
  (tmp_path / "eval/validation/report.html").write_text("again")
  evaluate_run.show(tmp_path)
  assert (tmp_path / "report.html").read_text() == "test"


@pytest.mark.parametrize(("more", "is_one"), [(-1, True), (0, False)])
def test_few_validation_images_do_not_set_a_temperature(
  monkeypatch, more, is_one
):
  """Images without a class do not count."""
  count = classification.LEAST_CALIBRATED + more
  label = np.array([-1, *np.arange(count) % 2])
  right = np.where(np.arange(count + 1) % 5, label, 1 - label)
  logits = 4.0 * np.eye(3)[right]
  source = types.SimpleNamespace(label=label)
  monkeypatch.setattr(evaluate_run.data, "load", lambda *_, **__: source)
  parts = Parts((), (), ("a",), ())
  config = Config()
  config.eval.temperature_scaling = True
  runs = types.SimpleNamespace(
    config=config,
    is_ensemble=False,
    model=types.SimpleNamespace(
      multi_label=False,
      batches=lambda _: [types.SimpleNamespace(logits=logits)],
    ),
  )
  found = evaluate_run._temperature(runs, None, parts=parts)
  assert (found == 1.0) == is_one
