"""Settings that JAX must hear before it starts, for every test."""

import atexit
import importlib.metadata
import os
import shutil
import tempfile

import jax
import numpy as np
import pytest

pytest_plugins = [
  "fixtures.commands",
  "fixtures.finished_reports",
  "fixtures.raw_sets",
  "fixtures.tiny_network",
]

# Compiling is most of what the suite does: a third less with little of LLVM's
# optimisation, which no assertion is about, and half of the rest without the
# fusion emitters, and a quarter of that without wide vectors. Level 0 gives
# wrong gradients (jaxlib 0.10.2). jaxlib 0.12 does not know the second flag.
# Child processes inherit them.
_FAST = ["--xla_backend_optimization_level=1"]
if importlib.metadata.version("jaxlib").startswith("0.10."):
  _FAST.append("--xla_cpu_use_fusion_emitters=false")
  _FAST.append("--xla_cpu_prefer_vector_width=128")
os.environ.setdefault("XLA_FLAGS", " ".join(_FAST))
# And threads that compile are faster with malloc's own habits.
os.environ.setdefault("GLIBC_TUNABLES", "")

# Without a second device chex skips its pmap variants silently.
jax.config.update("jax_num_cpu_devices", 2)
jax.config.update("jax_numpy_rank_promotion", "raise")

# One compilation cache a session: xdist workers and child processes inherit
# the variable and share it. Set it yourself to keep the cache across sessions.
_CACHE = "JAX_COMPILATION_CACHE_DIR"
if _CACHE not in os.environ:
  os.environ[_CACHE] = tempfile.mkdtemp(prefix="apppau_jax-tests-")
  atexit.register(shutil.rmtree, os.environ[_CACHE], ignore_errors=True)
jax.config.update("jax_compilation_cache_dir", os.environ[_CACHE])
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


def assert_same(a, b):
  """Bitwise equality of two trees."""
  jax.tree.map(
    lambda x, y: np.testing.assert_array_equal(np.asarray(x), np.asarray(y)),
    a,
    b,
  )


@pytest.fixture(name="assert_same")
def _assert_same():
  return assert_same
