"""Phantoms prepared once, and the mains as a user calls them."""

import os
import pathlib
import subprocess
import sys

import filelock
import pytest

from apppau_jax.data import phantom_set, prepare

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory, worker_id):
  """24 small phantoms through the real builder; shared by the workers."""
  root = tmp_path_factory.getbasetemp()
  folder = (root if worker_id == "master" else root.parent) / "phantoms"
  folder.mkdir(exist_ok=True)
  with filelock.FileLock(folder / ".lock"):
    raw = phantom_set.draw(folder, count=24, size=128)
    prepare.prepare("phantom", raw_dir=raw, data_dir=folder)
  return folder


@pytest.fixture
def command(data_dir):
  """Returns the argument list and environment of a tiny training."""

  def build(workdir, *more, module="train", config="phantom.py:quick"):
    arguments = [sys.executable, "-m", f"launch.{module}"]
    arguments.append(f"--workdir={workdir}")
    if module == "train":
      arguments += [
        f"--config=configs/{config}",
        f"--config.data.data_dir={data_dir}",
        "--config.model.base_width=1",
        "--config.train.batch_size=4",
        "--config.eval.batch_size=4",
      ]
    # One device: what a user's CPU has; conftest's two are for chex.
    environment = {
      **os.environ,
      "JAX_NUM_CPU_DEVICES": "1",
      # What one run compiled, the next one reads.
      "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    return {"args": [*arguments, *more], "env": environment, "cwd": ROOT}

  return build


@pytest.fixture
def call(command):
  """Runs a main to its end and returns the finished process."""

  def run(*args, **kwargs):
    return subprocess.run(
      **command(*args, **kwargs), capture_output=True, text=True, check=False
    )

  return run
