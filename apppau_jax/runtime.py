"""Settings that must be in place before JAX starts a backend."""

import ctypes
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
# Parameters of glibc's `mallopt` (malloc.h) and what they are set to.
_KEEP_MEMORY = (
  (-8, 1),  # M_ARENA_MAX: one heap, which only grows
  (-4, 0),  # M_MMAP_MAX: no array is a mapping of its own, gone when freed
  (-1, -1),  # M_TRIM_THRESHOLD: the heap's end is not given back
  (-2, 2**26),  # M_TOP_PAD: it grows by 64 MiB at least
)


# Of NVIDIA's driver, AMD's, and TPUs.
_DEVICES = ("/dev/nvidiactl", "/dev/kfd", "/dev/accel0", "/dev/vfio/0")


def cpu_flags(version: str) -> str:
  """XLA flags that make CPU training fast under this jaxlib, or ''."""
  return _CPU_FLAGS.get(".".join(version.split(".")[:2]), "")


def _cache_dir() -> pathlib.Path:
  """The user's own compilation cache; it holds code, so nobody else writes."""
  base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
  return pathlib.Path(base) / "apppau_jax" / "xla"


def keep_memory() -> bool:
  """Has this process keep the memory it frees, for its next use of it.

  A step on the CPU takes and frees the same gigabyte again and again; glibc
  hands it back to the kernel each time, and to be given it anew, page by page,
  is an eighth of a step's processor time or more. Before threads start, for
  each would get a heap; that compiling threads share one makes them a third
  slower with two of them, and doubles their processor time with sixteen.

  Returns:
    Whether it does; False where the C library is not glibc.
  """
  mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
  return mallopt is not None and all(
    mallopt(which, value) for which, value in _KEEP_MEMORY
  )


def has_accelerator() -> bool:
  """Whether JAX will find a GPU or TPU here, by its device file.

  Asked before JAX starts; `JAX_PLATFORMS=cpu` hides it.
  """
  if os.environ.get("JAX_PLATFORMS", "").split(",")[0] == "cpu":
    return False
  return any(pathlib.Path(path).exists() for path in _DEVICES)


def wants_memory() -> bool:
  """Whether `set_up` has freed memory kept: training on a CPU gains by it."""
  return "GLIBC_TUNABLES" not in os.environ and not has_accelerator()


def set_up() -> None:
  """Choose XLA flags, malloc's options and the compilation cache.

  JAX may be imported already, but no backend may have started: the first one
  reads `XLA_FLAGS`. The user's own choice wins: `XLA_FLAGS`, `GLIBC_TUNABLES`
  or `JAX_COMPILATION_CACHE_DIR` in the environment (even empty) turn the
  respective one off.
  """
  if not has_accelerator():
    # oneDNN's threads, waiting, leave the cores to XLA's.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
  if wants_memory() and keep_memory():
    print(
      "for speed freed memory is kept (GLIBC_TUNABLES= in the environment "
      "returns it)",
      file=sys.stderr,
    )
  flags = cpu_flags(importlib.metadata.version("jaxlib"))
  if flags and "XLA_FLAGS" not in os.environ:
    os.environ["XLA_FLAGS"] = flags
    print(
      f"for speed XLA_FLAGS={flags} (XLA_FLAGS= turns it off)", file=sys.stderr
    )
  if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    cache = _cache_dir()
    try:
      cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:  # no home to write to: nothing is kept
      return
    if not cache.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
      _use_cache(cache)


def _use_cache(folder: pathlib.Path) -> None:
  """Keep compiled programs in `folder`, whether JAX is imported or not."""
  os.environ["JAX_COMPILATION_CACHE_DIR"] = str(folder)
  seconds = os.environ.setdefault(
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.5"
  )
  if "jax" in sys.modules:  # it read its environment when it was imported
    jax = sys.modules["jax"]
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update(
      "jax_persistent_cache_min_compile_time_secs", float(seconds)
    )
