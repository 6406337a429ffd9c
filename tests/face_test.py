"""The public interface: what `import apppau_jax` offers, and what it costs."""

import json
import subprocess
import sys

import pytest

import apppau_jax

HEAVY = ("jax", "flax", "numpy", "tensorflow_datasets", "ml_collections")


def test_every_public_name_is_there():
  for name in apppau_jax.__all__:
    assert getattr(apppau_jax, name) is not None
    assert name in dir(apppau_jax)


def test_an_unknown_name_is_an_attribute_error():
  with pytest.raises(AttributeError, match="no_such_name"):
    apppau_jax.no_such_name  # noqa: B018


def test_importing_it_loads_nothing_and_takes_a_fifth_of_a_second():
  code = (
    "import time; began = time.perf_counter(); import apppau_jax; "
    "took = time.perf_counter() - began; import sys, json; "
    f"print(json.dumps([took, [m for m in {HEAVY} if m in sys.modules]]))"
  )
  done = subprocess.run(
    [sys.executable, "-c", code], capture_output=True, text=True, check=True
  )
  took, loaded = json.loads(done.stdout)
  assert loaded == []
  assert took < 0.2


def test_the_whole_interface_starts_no_backend():
  code = (
    "import apppau_jax as ap\n"
    "for name in ap.__all__: getattr(ap, name)\n"
    "from jax._src import xla_bridge\n"
    "print(xla_bridge.backends_are_initialized())\n"
  )
  done = subprocess.run(
    [sys.executable, "-c", code], capture_output=True, text=True, check=True
  )
  assert done.stdout == "False\n"
