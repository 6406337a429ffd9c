"""What is set before JAX starts a backend, and that the user's choice wins."""

import os
import platform
import stat
import subprocess
import sys

import jax
import pytest

from apppau_jax import runtime


@pytest.fixture
def bare(monkeypatch, tmp_path):
  """An environment in which nothing was chosen yet, but this process's heap."""
  cache = "jax_compilation_cache_dir"
  seconds = "jax_persistent_cache_min_compile_time_secs"
  before = {name: jax.config.values[name] for name in (cache, seconds)}
  for name in ("XLA_FLAGS", "JAX_COMPILATION_CACHE_DIR"):
    monkeypatch.delenv(name, raising=False)
  monkeypatch.setenv("GLIBC_TUNABLES", "")
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
  yield tmp_path
  for name, value in before.items():
    jax.config.update(name, value)


def test_known_versions_only():
  assert runtime.cpu_flags("0.10.2").startswith("--xla_cpu")
  assert runtime.cpu_flags("9.9.9") == ""


def test_chosen_flags_are_accepted_by_this_jaxlib(bare):
  """An unknown XLA flag ends the process."""
  code = "from apppau_jax import runtime; runtime.set_up(); import jax; "
  code += "print(jax.numpy.ones(3).sum())"
  done = subprocess.run(
    [sys.executable, "-c", code],
    env={**os.environ, "JAX_NUM_CPU_DEVICES": "1"},
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 0, done.stderr
  assert done.stdout.strip() == "3.0"


_AFTER_IMPORT = """
import os, jax
from apppau_jax import runtime
runtime.cpu_flags = lambda version: "--xla_force_host_platform_device_count=3"
runtime.set_up()
assert jax.config.jax_compilation_cache_dir.endswith("apppau_jax/xla")
assert jax.config.jax_persistent_cache_min_compile_time_secs == 0.25
print(jax.device_count())
"""


def test_settings_take_effect_after_jax_was_imported(bare, monkeypatch):
  """Reading a recipe imports JAX; no backend has started by then."""
  monkeypatch.delenv("JAX_NUM_CPU_DEVICES", raising=False)
  name = "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"
  monkeypatch.setenv("JAX_PLATFORMS", "cpu")
  monkeypatch.setenv(name, "0.25")
  done = subprocess.run(
    [sys.executable, "-c", _AFTER_IMPORT],
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 0, done.stderr
  assert done.stdout.strip() == "3"


def test_the_users_choice_wins(bare, monkeypatch, capsys):
  monkeypatch.setenv("XLA_FLAGS", "")
  monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "mine")
  runtime.set_up()
  assert os.environ["XLA_FLAGS"] == ""
  assert os.environ["JAX_COMPILATION_CACHE_DIR"] == "mine"
  assert capsys.readouterr().err == ""


def test_cache_is_the_users_own(bare, monkeypatch):
  runtime.set_up()
  cache = bare / "apppau_jax" / "xla"
  assert os.environ["JAX_COMPILATION_CACHE_DIR"] == str(cache)
  assert stat.S_IMODE(cache.stat().st_mode) == 0o700


def test_a_cache_others_may_write_is_not_used(bare, capsys):
  cache = bare / "apppau_jax" / "xla"
  cache.mkdir(parents=True)
  cache.chmod(0o777)
  runtime.set_up()
  assert "JAX_COMPILATION_CACHE_DIR" not in os.environ
  assert str(cache) in capsys.readouterr().err


@pytest.fixture
def private(tmp_path):
  """A folder of this user's, two levels below another."""
  folder = tmp_path / "above" / "cache"
  folder.mkdir(parents=True, mode=0o700)
  return folder


def test_a_folder_of_ones_own_is_shared_with_nobody(private):
  assert runtime.shared_part(private) is None
  private.parent.chmod(0o1777)  # sticky, as /tmp
  assert runtime.shared_part(private) is None


@pytest.mark.parametrize("mode", [0o770, 0o702, 0o777])
@pytest.mark.parametrize("level", [0, 1])
def test_a_folder_that_others_may_write_to(private, mode, level):
  shared = [private, private.parent][level]
  shared.chmod(mode)
  assert runtime.shared_part(private) == shared


def test_the_sticky_bit_does_not_protect_the_folder_itself(private):
  private.chmod(0o1777)
  assert runtime.shared_part(private) == private


def test_a_folder_that_leads_elsewhere(private, tmp_path):
  link = tmp_path / "link"
  link.symlink_to(private)
  assert runtime.shared_part(link) == link


def test_a_link_above_is_followed(private, tmp_path):
  link = tmp_path / "link"
  link.symlink_to(private.parent)
  assert runtime.shared_part(link / "cache") is None
  private.parent.chmod(0o777)
  assert runtime.shared_part(link / "cache") == private.parent


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives files away")
@pytest.mark.parametrize("level", [0, 1])
def test_a_folder_of_another_owner(private, level):
  foreign = [private, private.parent][level]
  os.chown(foreign, 12345, -1)
  assert runtime.shared_part(private) == foreign


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives files away")
def test_a_link_of_another_owner(private, tmp_path):
  link = tmp_path / "link"
  link.symlink_to(private.parent)
  os.lchown(link, 12345, -1)
  assert runtime.shared_part(link / "cache") == link


_FREE_AND_COUNT = """
import numpy, pathlib
from apppau_jax import runtime
def resident():
  pages = pathlib.Path("/proc/self/statm").read_text().split()[1]
  return int(pages) * 4096 / 2**20
runtime.set_up()
before = resident()
held = numpy.ones(2**27, numpy.uint8)
del held
print(resident() - before, runtime.describe_memory(), sep=";")
"""


@pytest.mark.skipif(
  platform.libc_ver()[0] != "glibc", reason="of glibc's malloc alone"
)
@pytest.mark.parametrize("told_not_to", [False, True])
def test_freed_memory_is_kept_unless_told(bare, monkeypatch, told_not_to):
  if not told_not_to:
    monkeypatch.delenv("GLIBC_TUNABLES")
  done = subprocess.run(
    [sys.executable, "-c", _FREE_AND_COUNT],
    capture_output=True,
    text=True,
    check=True,
  )
  kept, _, words = done.stdout.partition(";")
  kept = float(kept)
  assert (kept < 16) if told_not_to else (kept > 100)  # MiB of 128
  assert ("kept" in words) is not told_not_to
  assert done.stderr == ""


@pytest.mark.parametrize(
  "main",
  [
    *("train", "evaluate", "predict", "plan", "reproduce"),
    *("prepare_data", "verify_data"),
  ],
)
def test_no_main_starts_jax_before_its_settings(main):
  """A backend reads XLA_FLAGS when it starts."""
  code = f"import sys, launch.{main}; xla = 'jax._src.xla_bridge'; "
  code += "sys.exit(xla in sys.modules and "
  code += "sys.modules[xla].backends_are_initialized())"
  done = subprocess.run([sys.executable, "-c", code], check=False)
  assert done.returncode == 0


_IN_TURN = """
from apppau_jax import runtime
runtime.set_up()
runtime.compute_in_turn()
import jax
square = jax.jit(lambda x: x @ x @ x)
x = jax.numpy.ones((1500, 1500))
square.lower(x).compile()
print(square(x).is_ready())
"""


def test_a_program_is_finished_before_the_next(bare, monkeypatch):
  monkeypatch.setenv("JAX_PLATFORMS", "cpu")
  done = subprocess.run(
    [sys.executable, "-c", _IN_TURN], capture_output=True, text=True, check=True
  )
  assert done.stdout == "True\n"


def test_beside_an_accelerator_every_thread_keeps_its_heap(
  bare, monkeypatch, tmp_path
):
  asked = []
  monkeypatch.delenv("GLIBC_TUNABLES")
  monkeypatch.setattr(runtime, "keep_memory", lambda: asked.append(1))
  monkeypatch.setattr(runtime, "_DEVICES", (str(tmp_path / "none"),))
  runtime.set_up()
  assert len(asked) == 1
  monkeypatch.setattr(runtime, "_DEVICES", (str(tmp_path),))
  runtime.set_up()
  assert len(asked) == 1
  monkeypatch.setenv("JAX_PLATFORMS", "cpu,cuda")
  runtime.set_up()
  assert len(asked) == 2
