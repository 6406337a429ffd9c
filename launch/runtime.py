"""Settings that must be in place before JAX starts."""

import importlib.metadata
import os
import pathlib
import stat
import sys

# XLA:CPU of jaxlib 0.10 hands single convolutions to a library that runs
# wide ones on one core; without it a U-Net step takes 3/4 of the time. An
# unknown flag is fatal, so each version lists what it knows.
_CPU_FLAGS = {
  "0.10": "--xla_cpu_experimental_ynn_fusion_type=-individual_convolution"
}


def cpu_flags(version: str) -> str:
  """XLA flags that make CPU training fast under this jaxlib, or ''."""
  return _CPU_FLAGS.get(".".join(version.split(".")[:2]), "")


def _cache_dir() -> pathlib.Path:
  """The user's own compilation cache; it holds code, so nobody else writes."""
  base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
  return pathlib.Path(base) / "apppau_jax" / "xla"


def set_up() -> None:
  """Chooses XLA flags and the compilation cache; the user's own win.

  `XLA_FLAGS` or `JAX_COMPILATION_CACHE_DIR` in the environment (even empty)
  turn the respective choice off.
  """
  flags = cpu_flags(importlib.metadata.version("jaxlib"))
  if flags and "XLA_FLAGS" not in os.environ:
    os.environ["XLA_FLAGS"] = flags
    print(f"XLA_FLAGS={flags}", file=sys.stderr)
  if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    cache = _cache_dir()
    try:
      cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:  # no home to write to: compile anew each time
      return
    if not cache.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
      os.environ["JAX_COMPILATION_CACHE_DIR"] = str(cache)
      os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.5")
