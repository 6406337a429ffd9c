"""Which images may be evaluated, and which report is a run's own."""

import types

import pytest

from apppau_jax.datasets import splits
from apppau_jax.errors import ConfigError, DataError
from apppau_jax.experiment import evaluate_run
from configs import base


def _config(dataset):
  config = base.get_config()
  config.data.dataset = dataset
  return config


@pytest.mark.parametrize(
  ("part", "names", "other", "refused"),
  [
    ("test", "a", "phantom+jsrt", False),
    ("validation", "ab", "phantom+jsrt", False),
    ("test", "ab", "phantom+jsrt", True),
    ("test", "ab", "montgomery", False),  # whose ids the phantoms have
  ],
)
def test_no_run_may_have_been_trained_on_the_images(
  tmp_path, part, names, other, refused
):
  """The folds of a cross-validation train on each other's test images."""
  folds = {"a": ("t", "x"), "b": ("x", "t")}
  for name, (train, test) in folds.items():
    split = splits.Split(
      train_labelled=(train,),
      train_unlabelled=(),
      validation=("v",),
      test=(test,),
    )
    (tmp_path / name).mkdir()
    splits.write_splits(tmp_path / name / "splits.json", split)
  datasets = {"a": "phantom", "b": other}
  configs = [_config(datasets[name]) for name in names]
  runs = types.SimpleNamespace(
    workdirs=[tmp_path / name for name in names],
    configs=configs,
    config=configs[0],
  )
  ids = {"test": ["x"], "validation": ["v"]}[part]
  if not refused:
    evaluate_run._check_unused(runs, ids, part=part)
    return
  with pytest.raises(DataError, match=rf"{tmp_path / 'b'} \(x\)"):
    evaluate_run._check_unused(runs, ids, part=part)


def test_validation_images_have_selected_the_checkpoint(tmp_path):
  split = splits.Split(
    train_labelled=("l",), train_unlabelled=("u",), validation=("v",), test=()
  )
  splits.write_splits(tmp_path / "splits.json", split)
  ids = ["x", "v", "u", "l"]
  leaked = evaluate_run.leaked
  assert leaked(tmp_path, ids, part="test") == ["l", "u", "v"]
  assert leaked(tmp_path, ids, part="validation") == ["l", "u"]


def test_several_runs_need_a_folder_of_their_own(tmp_path):
  with pytest.raises(ConfigError, match="--output"):
    evaluate_run.evaluate(tmp_path / "a", tmp_path / "b", part="test")


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
