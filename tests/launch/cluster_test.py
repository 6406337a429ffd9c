"""Several processes of one run: they find, stop and lose each other."""

import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import pytest
from absl import flags
from absl.testing import flagsaver

from apppau_jax.errors import ConfigError
from launch import cluster

ROOT = pathlib.Path(__file__).parents[2]
UNET = "--config.model.preset=unet"  # compiles in half the time


@pytest.fixture
def given():
  """Returns a context manager that sets flags of `launch.cluster`."""
  if not flags.FLAGS.is_parsed():
    flags.FLAGS.mark_as_parsed()
  return flagsaver.flagsaver


def test_without_flags_a_process_is_alone(given):
  with given():
    assert not cluster.wanted()
    with cluster.joined():
      pass


@pytest.mark.parametrize(
  ("values", "says"),
  [
    ({"coordinator": "h:1"}, "belong together"),
    ({"num_processes": 2, "process_id": 0}, "belong together"),
    ({"distributed": True, "process_id": 0}, "by itself"),
    (
      {"coordinator": "h:1", "num_processes": 2, "process_id": 2},
      "--process_id=2 must be from 0 to 1",
    ),
  ],
)
def test_flags_that_contradict_each_other(given, values, says):
  with given(**values), pytest.raises(ConfigError, match=says):
    cluster.wanted()


@pytest.mark.parametrize(
  "values",
  [
    {"distributed": True},
    {"coordinator": "h:1", "num_processes": 1, "process_id": 0},
  ],
)
def test_either_way_will_do(given, values):
  with given(**values):
    assert cluster.wanted()


_WAITING = """
import sys, time
from absl import flags
from launch import cluster
flags.FLAGS(sys.argv)
with cluster.joined():
  from apppau_jax.training import distributed
  me = "first" if distributed.is_first() else "second"
  with distributed.first_goes_first("turn"):
    print(me, "goes", flush=True)
  print(me, "hears", distributed.agree("word", me), flush=True)
  time.sleep(600)
"""


def _free_port() -> int:
  with socket.socket() as at:
    at.bind(("127.0.0.1", 0))
    return at.getsockname()[1]


def _of_two(number, port):
  return (
    f"--coordinator=127.0.0.1:{port}",
    "--num_processes=2",
    f"--process_id={number}",
    "--peer_timeout=10",
  )


def _word(process):
  """The next line of its own; Gloo tells there of its connections."""
  lines = iter(process.stdout.readline, "")
  return next(x.strip() for x in lines if not x.startswith("[Gloo]"))


@pytest.mark.parametrize("victim", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_killed_process_ends_the_one_that_waits(victim):
  """Without a word through the devices, as on a GPU or TPU."""
  port = _free_port()
  started = [
    subprocess.Popen(
      [sys.executable, "-c", _WAITING, *_of_two(number, port)],
      cwd=ROOT,
      env={**os.environ, "JAX_NUM_CPU_DEVICES": "1"},
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      text=True,
    )
    for number in (0, 1)
  ]
  first, second = started
  assert [_word(first), _word(first)] == ["first goes", "first hears first"]
  assert _word(second) == "second goes"
  assert _word(second) == "second hears first"
  started[victim].kill()
  _, said = started[1 - victim].communicate(timeout=300)
  assert started[1 - victim].returncode == 6
  assert "error: Another process of this run ended" in said
  started[victim].communicate()


@contextlib.contextmanager
def _pair(command, workdir, *more):
  """Two processes of one run, and what each says."""
  port = _free_port()
  started, said = [], []
  for number in (0, 1):
    said.append(workdir.parent / f"{workdir.name}-{number}.log")
    parts = command(
      workdir,
      *more,
      UNET,
      *_of_two(number, port),
    )
    with said[-1].open("w") as log:
      started.append(subprocess.Popen(**parts, stderr=log))
  try:
    yield started, said
  finally:
    for process in started:
      process.kill()


def _wait_for(text, path, started):
  deadline = time.monotonic() + 900
  while text not in path.read_text():
    assert time.monotonic() < deadline, path.read_text()
    assert all(p.poll() is None for p in started), path.read_text()
    time.sleep(0.1)


def _codes(started):
  return [process.wait(timeout=900) for process in started]


@pytest.mark.slow
def test_a_run_of_two_is_a_run(command, call, tmp_path):
  """One writer; rows read from disk; one process finds nothing left to do."""
  run = tmp_path / "run"
  with _pair(command, run, "--config.data.streaming=true") as (started, said):
    assert _codes(started) == [0, 0], said[1].read_text()
  manifest = json.loads((run / "manifest.json").read_text())
  assert manifest["status"] == "done"
  assert manifest["sessions"][0]["environment"]["processes"] == "2"
  lines = (run / "metrics.jsonl").read_text().splitlines()
  steps = [(v["kind"], v["step"]) for v in map(json.loads, lines)]
  assert len(set(steps)) == len(steps)
  assert "report:" not in said[1].read_text()
  assert (run / "eval/test/report.json").exists()
  again = call(run, UNET)  # one process, one device: nothing is left to do
  assert again.returncode == 0, again.stderr


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 1])
def test_preempted_in_one_saves_in_both(command, call, tmp_path, number):
  run = tmp_path / "run"
  with _pair(command, run, "--config.train.epochs=500") as (started, said):
    _wait_for("epoch 1/", said[0], started)
    started[number].send_signal(signal.SIGTERM)
    assert _codes(started) == [143, 143], said[number].read_text()
  error = json.loads((run / "manifest.json").read_text())["error"]
  steps = [
    int(p.name)
    for p in (run / "checkpoints/latest").iterdir()
    if p.name.isdigit()
  ]
  assert f"after step {max(steps)} of" in error


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 1])
def test_one_killed_ends_the_other(command, tmp_path, number):
  run = tmp_path / "run"
  with _pair(command, run, "--config.train.epochs=500") as (started, said):
    _wait_for("epoch 1/", said[0], started)
    started[number].kill()
    assert _codes(started)[1 - number] == 6
    assert "Another process of this run ended" in said[1 - number].read_text()


@pytest.mark.slow
def test_other_data_in_one_process_are_noticed(command, tmp_path):
  """The other one, left alone, does not wait for ever either."""
  run = tmp_path / "run"
  port = _free_port()
  started = []
  for number in (0, 1):
    parts = command(
      run,
      f"--config.optim.learning_rate={0.1 + number}",
      *_of_two(number, port),
    )
    started.append(subprocess.Popen(**parts, stderr=subprocess.PIPE, text=True))
  said = [process.communicate(timeout=900)[1] for process in started]
  assert "another configuration than process 0" in said[1]
  assert [process.returncode for process in started] == [6, 2], said[0]
  assert "Another process of this run ended" in said[0]
