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

from apppau_jax.training import checkpoints, parallel

SCRIPT = pathlib.Path(__file__).with_name("multi_device_worker.py")
ROOT = SCRIPT.parents[2]
GAMES = pytest.mark.parametrize("game", [False, True], ids=["alone", "game"])


@pytest.fixture(scope="module")
def many():
  """The script's functions, for this process's two devices."""
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
  for name in found.keys() - {"read", "held"}:
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


def test_two_devices_with_split_parameters_equal_one(many):
  """Resident and whole on one; on two, split and read row by row."""
  small = {"game": False, "depth": 1}  # compiles in less time
  one = many["train"](jax.devices()[:1], **small)
  two = many["train"](jax.devices()[:2], shard=True, stream=True, **small)
  _assert_alike(two, one)
  # Statistics and arrays that two does not divide stay whole.
  assert 0.5 * one["held"] <= two["held"] < 0.7 * one["held"]


@pytest.mark.parametrize(
  "game", [False, pytest.param(True, marks=pytest.mark.slow)]
)
def test_two_processes_equal_one(many, tmp_path, game):
  flags = ("--stream", *(["--game"] if game else []))
  found = _two_processes(tmp_path, *flags)
  expected = many["train"](jax.devices()[:1], game=game)
  for one in found:
    _assert_alike(one, expected)
  _assert_own_rows_only(found, many["BATCH"])


@pytest.mark.slow
@GAMES
@pytest.mark.parametrize("how", ["whole", "split"])
def test_many_devices_equal_one(many, tmp_path, game, how):
  expected = many["train"](jax.devices()[:1], game=game)
  flags = [*(["--game"] if game else []), *(["--shard"] * (how == "split"))]
  for count in (2, 4, 8):
    out = tmp_path / f"{count}.npz"
    found = _finish(_start(out, f"--devices={count}", *flags), out)
    _assert_alike(found, expected)


@pytest.mark.slow
def test_two_processes_of_two_devices_with_split_parameters(many, tmp_path):
  found = _two_processes(tmp_path, "--game", "--shard", "--devices=2")
  expected = many["train"](jax.devices()[:1], game=True)
  for one in found:
    _assert_alike(one, expected)


def test_parameters_are_split_where_it_helps(many):
  """Over the largest axis that the devices divide; small arrays are whole."""
  mesh = parallel.make_mesh(batch_size=2, devices=jax.devices()[:2])

  def init():
    zeros = jax.numpy.zeros
    return {
      "kernel": zeros((3, 3, 4, 8)),
      "odd": zeros((3, 5, 7)),
      "small": zeros((2,)),
    }

  made = parallel.compile_init(init, mesh, shard=True, small=16)
  held = {k: v.addressable_shards[0].data.shape for k, v in made.items()}
  assert held == {"kernel": (3, 3, 4, 4), "odd": (3, 5, 7), "small": (2,)}


def test_split_state_restores_whole_and_back(tiny, tmp_path, assert_same):
  whole = parallel.compile_init(tiny.init, tiny.mesh(1))
  split = parallel.compile_init(tiny.init, tiny.mesh(2), shard=True, small=1)
  store = checkpoints.Store(tmp_path / "latest")
  store.save(whole, step=1, meta={})
  store.wait()
  restored, _, _ = store.restore(split)
  assert_same(restored, whole)
  kernel = restored.segmentor.params["Conv_0"]["kernel"]
  assert kernel.addressable_shards[0].data.size == kernel.size // 2
  store.save(restored, step=2, meta={})
  store.wait()
  back, _, step = store.restore(whole)
  assert step == 2
  assert_same(back, whole)


_TOPOLOGIES = """
import runpy, sys
import jax, numpy as np
jax.config.update("jax_num_cpu_devices", 8)
from apppau_jax.training import checkpoints, parallel
many = runpy.run_path(sys.argv[1])
init = lambda: many["make_state"](game=True)
store = checkpoints.Store(sys.argv[2])
first = None
for step, (count, shard) in enumerate([(1, False), (8, True), (2, False)]):
  mesh = parallel.make_mesh(batch_size=16, devices=jax.devices()[:count])
  state = parallel.compile_init(init, mesh, shard=shard, small=16)
  if first is None:
    state = jax.tree.map(lambda x: x + 1, state)
    first = jax.device_get(state)
  else:
    state, _, found = store.restore(state)
    assert found == step - 1
  jax.tree.map(np.testing.assert_array_equal, jax.device_get(state), first)
  store.save(state, step=step, meta={})
  store.wait()
print("three topologies")
"""


@pytest.mark.slow
def test_one_device_then_eight_then_two(tmp_path):
  done = subprocess.run(
    [sys.executable, "-c", _TOPOLOGIES, str(SCRIPT), str(tmp_path / "latest")],
    env={**os.environ, "PYTHONPATH": str(ROOT)},
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.stdout.strip() == "three topologies", done.stderr
