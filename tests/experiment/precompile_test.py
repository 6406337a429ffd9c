"""Programs compiled by another process, and when that is worth it."""

import json
import subprocess
import types

import pytest

from apppau_jax import runtime
from apppau_jax.datasets import splits
from apppau_jax.experiment import precompile
from apppau_jax.training import trace_cache
from configs import montgomery


@pytest.fixture
def started(monkeypatch, tmp_path):
  """What was asked to compile, with a cache and memory to keep."""
  found = []

  def run(command, **more):
    found.append((command, more))
    return types.SimpleNamespace(returncode=found_code[0])

  found_code = [0]
  fake = types.SimpleNamespace(run=run, DEVNULL=subprocess.DEVNULL)
  monkeypatch.setattr(precompile, "subprocess", fake)
  monkeypatch.setattr(runtime, "wants_memory", lambda: True)
  monkeypatch.setattr(
    trace_cache,
    "mark",
    lambda name: tmp_path / str(abs(hash(json.dumps(name)))),
  )
  return found, found_code


def _chosen(labelled=("a", "b")):
  return splits.Parts(
    train_labelled=labelled,
    train_unlabelled=(),
    validation=("v",),
    test=(),
    classes=labelled,
  )


def test_a_long_run_is_compiled_once_for_all_seeds(started):
  found, _ = started
  config = montgomery.get_config()
  precompile.rehearse(config, _chosen(), steps=200)
  config.seed = config.data.label_seed = 7
  precompile.rehearse(config, _chosen(("c", "d")), steps=200)
  assert len(found) == 1
  command, more = found[0]
  assert command[-2:] == ["-m", "apppau_jax.experiment.precompile"]
  assert json.loads(more["input"]) == json.loads(
    json.dumps(montgomery.get_config().to_dict())
  )
  assert more["env"]["GLIBC_TUNABLES"] == ""
  precompile.rehearse(config, _chosen(("c", "d", "e")), steps=200)
  config.model.base_width = 8
  precompile.rehearse(config, _chosen(("c", "d")), steps=200)
  assert len(found) == 3


def test_what_failed_is_tried_again(started):
  found, code = started
  code[0] = 1
  for _ in range(2):
    precompile.rehearse(montgomery.get_config(), _chosen(), steps=200)
  assert len(found) == 2


def test_short_runs_accelerators_and_no_cache_compile_for_themselves(
  started, monkeypatch
):
  found, _ = started
  config = montgomery.get_config()
  precompile.rehearse(config, _chosen(), steps=99)
  monkeypatch.setattr(runtime, "wants_memory", lambda: False)
  precompile.rehearse(config, _chosen(), steps=200)
  monkeypatch.setattr(runtime, "wants_memory", lambda: True)
  monkeypatch.setattr(trace_cache, "mark", lambda name: None)
  precompile.rehearse(config, _chosen(), steps=200)
  assert found == []


def test_nothing_is_marked_where_nothing_is_kept(monkeypatch):
  monkeypatch.setattr(trace_cache, "_folder", lambda: None)
  assert trace_cache.mark("a run") is None


@pytest.mark.slow
def test_the_run_itself_traces_nothing(command, tmp_path):
  made = command(
    tmp_path / "run",
    "--config.train.epochs=30",
    "--config.train.eval_every_epochs=30",
  )
  del made["args"][made["args"].index("--config.train.batch_size=4")]
  made["args"].append("--config.train.batch_size=2")
  made["env"] |= {"XDG_CACHE_HOME": str(tmp_path)}
  for name in ("GLIBC_TUNABLES", "JAX_COMPILATION_CACHE_DIR"):
    made["env"].pop(name, None)
  done = subprocess.run(**made, capture_output=True, text=True, check=False)
  assert done.returncode == 0, done.stderr
  assert done.stderr.count("compiling, once") == 1
  kept_there = tmp_path / "apppau_jax" / "xla" / "traced"
  (mark,) = kept_there.glob("*.all")
  traced = [path.stat().st_mtime for path in kept_there.glob("*.z")]
  assert len(traced) >= 3
  assert max(traced) <= mark.stat().st_mtime
