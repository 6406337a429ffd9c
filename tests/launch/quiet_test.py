"""Signals while Python is busy elsewhere, and what threads do not print."""

import asyncio
import gc
import logging
import pathlib
import signal
import subprocess
import sys
import threading
import time
import types

import pytest

from launch import quiet

ROOT = pathlib.Path(__file__).parents[2]
# PBKDF2 is one call of C that takes minutes and, like XLA's compiler, lets
# other threads run but no handler of a signal.
BUSY = """
import hashlib
from launch import quiet
with quiet.second_signal_ends():
  print("busy", flush=True)
  hashlib.pbkdf2_hmac("sha256", b"x", b"y", 10**9)
"""
SAVE = """
import pathlib, resource, sys
import jax.numpy as jnp
from apppau_jax.training import checkpoints
from launch import cli

def main():
  store = checkpoints.Store(FOLDER)
  resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
  store.save({f"a{i}": jnp.full(9999, i) for i in range(9)}, step=1, meta={})
  store.wait()

FOLDER = pathlib.Path(sys.argv.pop())
cli.run(main)
"""


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_the_second_signal_ends_at_once(signum):
  """Exit status 128 + signal, though no handler in Python can run."""
  code = f"import signal; signal.signal({int(signum)}, print)\n{BUSY}"
  with subprocess.Popen(
    [sys.executable, "-c", code],
    cwd=ROOT,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  ) as busy:
    assert busy.stdout is not None
    assert busy.stderr is not None
    assert busy.stdout.readline() == "busy\n"
    busy.send_signal(signum)
    time.sleep(0.3)
    assert busy.poll() is None
    busy.send_signal(signum)
    assert busy.wait(timeout=10) == 128 + signum
    assert busy.stderr.read().count("\n") == 1


def test_two_signals_of_one_key_count_once():
  """A wrapper passes on what the terminal has sent to the process too."""
  handled = []
  before = signal.signal(signal.SIGINT, lambda *_: handled.append(1))
  try:
    with quiet.second_signal_ends():
      signal.raise_signal(signal.SIGINT)
      signal.raise_signal(signal.SIGINT)
      time.sleep(0.05)
  finally:
    signal.signal(signal.SIGINT, before)
  assert handled == [1, 1]


@pytest.fixture
def silent():
  hook, log = sys.unraisablehook, logging.getLogger("absl")
  filters = list(log.filters)
  quiet.silence_threads()
  yield log
  sys.unraisablehook, log.filters = hook, filters


def test_threads_print_no_traceback_and_the_main_thread_does(
  silent, monkeypatch
):
  printed = []
  error = RuntimeError("Event loop is closed")
  of_cpp = types.SimpleNamespace(
    exc_type=RuntimeError, exc_value=error, exc_traceback=None, err_msg=None,
    object=None,
  )  # fmt: skip
  monkeypatch.setattr(sys, "__unraisablehook__", printed.append)
  thread = threading.Thread(target=sys.unraisablehook, args=[of_cpp])
  thread.start()
  thread.join()
  assert printed == []
  sys.unraisablehook(of_cpp)
  assert printed == [of_cpp]


@pytest.mark.usefixtures("silent")
def test_a_coroutine_that_is_left_unfinished_prints_nothing(capsys):
  """As Orbax leaves those of all arrays after the first that it cannot read."""

  async def read():
    try:
      await asyncio.sleep(0)
    finally:
      raise RuntimeError("Encountered error while reading array index")

  unfinished = read()
  unfinished.send(None)
  del unfinished
  gc.collect()
  assert capsys.readouterr().err == ""


def test_a_log_without_traceback_is_kept(silent):
  record = logging.LogRecord("absl", logging.ERROR, "", 0, "x", (), None)
  assert silent.filter(record)
  record.exc_info = (ValueError, ValueError("full"), None)
  assert not silent.filter(record)


@pytest.mark.slow
def test_a_full_disk_is_one_paragraph(tmp_path):
  """Many threads of Orbax fail at once; files may have 1,000 bytes."""
  done = subprocess.run(
    [sys.executable, "-c", SAVE, str(tmp_path)],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 6, done.stderr
  assert len(done.stderr.splitlines()) == 1, done.stderr
  line = done.stderr
  assert line.startswith("error: ")
  assert str(tmp_path) in line


# Imports every command; two may have flags of one name.
IMPORTS = """
import importlib, pathlib, sys
from absl import flags
import launch.cli
common = {*flags.FLAGS}
for path in sorted(pathlib.Path("launch").glob("*.py")):
  importlib.import_module(f"launch.{path.stem}")
  for name in {*flags.FLAGS} - common:
    delattr(flags.FLAGS, name)
  assert "jaxlib" not in sys.modules, path
"""


def test_no_command_imports_jax_before_the_compiler_is_silenced():
  """XLA reads the environment when jaxlib is imported."""
  command = [sys.executable, "-c", IMPORTS]
  done = subprocess.run(
    command, cwd=ROOT, capture_output=True, text=True, check=False
  )
  assert done.returncode == 0, done.stderr
