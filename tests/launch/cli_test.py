"""A user's mistake is one paragraph, the right exit status, and no JAX."""

import errno
import pathlib
import signal
import subprocess
import sys

import pytest

from apppau_jax import errors
from launch import cli


def _mistake(call, *flags, code=2, **kwargs):
  done = call(*flags, **kwargs)
  assert done.returncode == code, done.stderr
  assert "Traceback" not in done.stderr
  (line,) = [x for x in done.stderr.splitlines() if x.startswith("error: ")]
  return line


@pytest.mark.parametrize(
  ("flag", "says"),
  [
    ("--config.optim.lr=1", "Did you mean optim.learning_rate?"),
    ("--config.train.accumulate=2", "removed"),
    ("--config.train.batch_size=many", "a whole number from 1 to 65536"),
  ],
)
def test_a_flag_of_the_configuration_that_cannot_be_read(flag, says):
  message = f"unknown or invalid {flag.lstrip('-')}"
  text = cli._explain(message, ["train", "--config=c.py", flag])
  assert flag.partition("=")[0] in text
  assert says in text


@pytest.mark.parametrize(
  ("flag", "message"),
  [
    (
      "--config.train.epochs=3",
      "Unknown command line flag 'config.train.epochs'",
    ),
    ("--config=configs/phantom.py", "Overriding config is not allowed."),
  ],
)
def test_a_trained_run_keeps_its_configuration(flag, message):
  text = cli._explain(message, ["predict", flag])
  assert flag.partition("=")[0] in text
  assert "--config.eval.KEY" in text


def test_mistakes_are_found_before_jax_starts(command, tmp_path):
  """Under a platform that does not exist no backend of JAX can start."""
  started = command(tmp_path / "run", "--config.train.batch_size=0")
  started["env"]["JAX_PLATFORMS"] = "none_such"
  done = subprocess.run(**started, capture_output=True, text=True, check=False)
  assert done.returncode == 2, done.stderr
  assert "train.batch_size=0" in done.stderr
  assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
  ("flag", "says"),
  [
    ("--config.optim.lr=1", "Did you mean optim.learning_rate?"),
    ("--worksdir=x", "worksdir"),
    ("--config=configs/none.py", "configs/none.py"),
    ("stray", "stray"),
  ],
)
def test_wrong_value(call, tmp_path, flag, says):
  assert says in _mistake(call, tmp_path, flag)


@pytest.mark.parametrize("config", ["configs/montgomry.py", "montgomery"])
def test_a_misspelt_config_is_told_with_the_nearest(config, tmp_path):
  """Without any --config.KEY flag, when the file is not asked for at first."""
  done = subprocess.run(
    [
      *(sys.executable, "-m", "launch.train"),
      *(f"--config={config}", f"--workdir={tmp_path / 'run'}"),
    ],
    cwd=pathlib.Path(__file__).parents[2],
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 2
  (line,) = done.stderr.splitlines()
  assert line.endswith("Did you mean configs/montgomery.py?")


def test_evaluate_without_a_run(call, tmp_path):
  line = _mistake(call, tmp_path, module="evaluate", code=4)
  assert "launch.train" in line
  assert not list(tmp_path.iterdir())


def test_unprepared_data_names_the_command(call, tmp_path):
  line = _mistake(
    call,
    tmp_path / "run",
    f"--config.data.data_dir={tmp_path}/nothing",
    config="montgomery.py:quick",
    code=3,
  )
  assert "launch.prepare_data" in line


@pytest.mark.parametrize(
  ("raised", "expected", "code"),
  [
    (OSError(errno.ENOSPC, "No space left"), errors.ResourceError, 6),
    (MemoryError("2 GB"), errors.ResourceError, 6),
    (RuntimeError("RESOURCE_EXHAUSTED: 9 GB"), errors.ResourceError, 6),
    (KeyboardInterrupt(), errors.Interrupted, 128 + signal.SIGINT),
    (OSError(errno.EACCES, "denied", "runs/x"), errors.DataError, 3),
    (OSError(errno.ENOTDIR, "not a folder", "afile/x"), errors.DataError, 3),
    (OSError(errno.EROFS, "read-only", "/mnt/x"), errors.DataError, 3),
    (OSError(errno.EACCES, "of no file"), OSError, None),
    (OSError(errno.EIO, "a dying disk", "x"), OSError, None),
    (RuntimeError("a defect of ours"), RuntimeError, None),
  ],
)
def test_what_the_machine_does_has_its_status(raised, expected, code):
  with pytest.raises(expected) as error, cli.translated():
    raise raised
  assert getattr(error.value, "exit_code", None) == code


def _full_disk():
  try:
    raise OSError(errno.ENOSPC, "no space left")
  except OSError as error:
    raise errors.ResourceError("The disk is full.") from error


def _stopped_and_not_saved():
  try:
    raise errors.NumericError("Training stopped at step 3.")
  finally:
    _full_disk()


def test_what_ended_a_run_is_told_with_what_then_went_wrong(capsys):
  with pytest.raises(errors.ResourceError) as caught:
    _stopped_and_not_saved()
  assert cli._complain(caught.value) == 6
  assert capsys.readouterr().err.splitlines() == [
    "error: The disk is full.",
    "before that: Training stopped at step 3.",
  ]


def _in_other_words():
  try:
    raise errors.DataError("no such shard")
  except errors.DataError as error:
    raise errors.CheckpointError("The run cannot go on.") from error


def test_an_error_told_in_other_words_is_told_once(capsys):
  with pytest.raises(errors.CheckpointError) as caught:
    _in_other_words()
  assert cli._complain(caught.value) == 4
  assert capsys.readouterr().err == "error: The run cannot go on.\n"
