"""One device, many, and two processes: the same numbers, the same order."""

import os
import pathlib
import runpy
import socket
import subprocess
import sys

import jax
import numpy as np
import pytest

SCRIPT = pathlib.Path(__file__).with_name("multi_device_worker.py")
ROOT = SCRIPT.parents[2]


@pytest.fixture(scope="module")
def worker():
  """The functions of the script, for the two devices of this process."""
  return runpy.run_path(str(SCRIPT))


def _free_port() -> int:
  with socket.socket() as at:
    at.bind(("127.0.0.1", 0))
    return at.getsockname()[1]


def _start(out, *flags):
  environment = {
    **os.environ,
    "PYTHONPATH": str(ROOT),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
  }
  return subprocess.Popen(
    [sys.executable, str(SCRIPT), f"--out={out}", *flags],
    env=environment,
    stderr=subprocess.PIPE,
    text=True,
  )


def _finish(process, out):
  _, words = process.communicate(timeout=1800)
  assert process.returncode == 0, words
  with np.load(out) as found:
    return dict(found)


def _two_processes(folder, *flags):
  port = _free_port()
  started = {}
  for number in (0, 1):
    out = folder / f"process-{number}.npz"
    started[out] = _start(
      out,
      *flags,
      f"--coordinator=127.0.0.1:{port}",
      "--processes=2",
      f"--process={number}",
    )
  return [_finish(process, out) for out, process in started.items()]


def _assert_alike(found, expected):
  assert found.keys() == expected.keys()
  for name in found.keys() - {"read"}:
    np.testing.assert_allclose(
      found[name], expected[name], rtol=1e-5, atol=1e-5, err_msg=name
    )
  np.testing.assert_array_equal(found["rows"], expected["rows"])
  losses = expected["losses"]
  assert len(losses) == 20
  assert np.abs(losses[-1] - losses[0]).min() > 1e-3  # something was learnt


def _assert_own_rows_only(processes, batch_size):
  """Each read half of every minibatch, and together they read it all."""
  rows = processes[0]["rows"]
  rows = rows.reshape(len(rows), -1, batch_size)
  for number, found in enumerate(processes):
    half = np.split(rows, 2, axis=2)[number]
    np.testing.assert_array_equal(
      found["read"].reshape(half.shape), half, err_msg=str(number)
    )


def test_two_devices_equal_one(worker):
  """Resident on one; on two, read row by row."""
  small = {"game": False, "depth": 1, "preset": "unet"}  # compiles in less time
  one = worker["train"](jax.devices()[:1], **small)
  two = worker["train"](jax.devices()[:2], stream=True, **small)
  _assert_alike(two, one)


@pytest.mark.slow
@pytest.mark.parametrize("game", [False, True], ids=["alone", "game"])
def test_two_processes_equal_one(worker, tmp_path, game):
  flags = ("--stream", *(["--game"] if game else []))
  found = _two_processes(tmp_path, *flags)
  expected = worker["train"](jax.devices()[:1], game=game)
  for one in found:
    _assert_alike(one, expected)
  _assert_own_rows_only(found, worker["BATCH"])


@pytest.mark.slow
@pytest.mark.parametrize("game", [False, True], ids=["alone", "game"])
def test_many_devices_equal_one(worker, tmp_path, game):
  expected = worker["train"](jax.devices()[:1], game=game)
  for count in (2, 4, 8):
    out = tmp_path / f"{count}.npz"
    flags = ["--game"] if game else []
    found = _finish(_start(out, f"--devices={count}", *flags), out)
    _assert_alike(found, expected)
