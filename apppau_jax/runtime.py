"""Settings that must be in place before JAX starts a backend."""

import ctypes
import importlib.metadata
import os
import pathlib
import stat
import sys

from apppau_jax import progress

# XLA:CPU of jaxlib 0.10 passes single convolutions to a library that computes
# wide ones on one core. Without that library a U-Net step takes 3/4 of the
# time. XLA exits on an unknown flag, so flags are listed by version.
_CPU_FLAGS = {
  "0.10": "--xla_cpu_experimental_ynn_fusion_type=-individual_convolution"
}
# Parameters of glibc's `mallopt` (malloc.h) and their values.
_KEEP_MEMORY = (
  (-8, 1),  # M_ARENA_MAX: one heap for all threads
  (-4, 0),  # M_MMAP_MAX: no array has a mapping of its own
  (-1, -1),  # M_TRIM_THRESHOLD: the end of the heap is not returned
  (-2, 2**26),  # M_TOP_PAD: the heap grows by 64 MiB or more
)
_KEPT: list[bool] = []  # one entry once `set_up` changed malloc's options
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
# Device files of NVIDIA's driver, AMD's driver and TPUs.
_DEVICES = ("/dev/nvidiactl", "/dev/kfd", "/dev/accel0", "/dev/vfio/0")


def cpu_flags(version: str) -> str:
  """Returns XLA flags for fast training on CPUs with this jaxlib, or ''."""
  return _CPU_FLAGS.get(".".join(version.split(".")[:2]), "")


def _cache_dir() -> pathlib.Path:
  """Returns the compilation cache of the user, which contains code."""
  base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
  return pathlib.Path(base) / "apppau_jax" / "xla"


def keep_memory() -> bool:
  """Makes malloc keep freed memory for the next allocation.

  A training step on a CPU allocates and frees the same gigabyte each time. By
  default glibc returns it to the kernel, and mapping the pages again takes an
  eighth or more of the processor time of a step.

  Call this before threads start, because every thread would otherwise get its
  own heap. The shared heap makes compilation slower: by a third with two
  threads, and with sixteen it doubles the processor time.

  Returns:
    Whether the settings were accepted; False if the C library is not glibc.
  """
  mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
  return mallopt is not None and all(
    mallopt(which, value) for which, value in _KEEP_MEMORY
  )


def describe_memory() -> str:
  """Returns what `set_up` made of malloc, for the record of a run."""
  return "freed memory is kept" if _KEPT else "by malloc's defaults"


def has_accelerator() -> bool:
  """Returns whether JAX will use a GPU or a TPU, without importing JAX.

  The device files decide, unless `JAX_PLATFORMS` starts with `cpu`.
  """
  if os.environ.get("JAX_PLATFORMS", "").split(",")[0] == "cpu":
    return False
  return any(pathlib.Path(path).exists() for path in _DEVICES)


def wants_memory() -> bool:
  """Returns whether `set_up` calls `keep_memory`: on CPUs, unless disabled."""
  return "GLIBC_TUNABLES" not in os.environ and not has_accelerator()


def set_up() -> None:
  """Choose XLA flags, malloc's options and the compilation cache.

  JAX may be imported already, but no backend may have started: the first one
  to start reads `XLA_FLAGS`. The user's own choice wins: `XLA_FLAGS`,
  `GLIBC_TUNABLES` or `JAX_COMPILATION_CACHE_DIR` in the environment, even if
  empty, turns the respective setting off.
  """
  if not has_accelerator():
    # oneDNN's threads, waiting, leave the cores to XLA's.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
  if wants_memory() and keep_memory():
    _KEPT[:] = [True]
    progress.LOG.debug(
      "for speed freed memory is kept (GLIBC_TUNABLES= in the environment "
      "returns it)"
    )
  flags = cpu_flags(importlib.metadata.version("jaxlib"))
  if flags and "XLA_FLAGS" not in os.environ:
    os.environ["XLA_FLAGS"] = flags
    progress.LOG.debug(
      "for speed XLA_FLAGS=%s (XLA_FLAGS= turns it off)", flags
    )
  if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    cache = _cache_dir()
    try:
      cache.mkdir(mode=0o700, parents=True, exist_ok=True)
      unsafe = shared_part(cache)
    except OSError:  # no home to write to: nothing is kept
      return
    if unsafe is None:
      _use_cache(cache)
    else:
      progress.say(
        f"compiled programs are not kept in {cache}: others may change "
        f"{unsafe} (JAX_COMPILATION_CACHE_DIR chooses another folder)",
        error=True,
      )


def compute_in_turn() -> None:
  """Lets a CPU finish each program before the next one starts.

  Otherwise a step allocates its temporary memory while the step before still
  uses its own. It imports JAX; call it after `set_up`, before a backend starts.
  Nothing is changed on a machine with an accelerator.
  """
  if has_accelerator():
    return
  import jax

  jax.config.update("jax_cpu_enable_async_dispatch", False)


def shared_part(folder: pathlib.Path) -> pathlib.Path | None:
  """Returns what lets other users change the content of a folder, or None.

  That is the folder itself if it is a link, belongs to another user or may be
  written by others; or a folder above it that belongs to neither this user nor
  root, or that others may write to unless its sticky bit keeps them from
  replacing what is in it. Links above it are followed.

  Args:
    folder: an existing folder.

  Raises:
    OSError: it cannot be examined.
  """
  folder = folder.absolute()
  itself = folder.lstat()
  if not stat.S_ISDIR(itself.st_mode) or itself.st_uid != os.getuid():
    return folder
  if itself.st_mode & _OTHERS_WRITE:
    return folder
  for above in (*folder.parents, *folder.resolve().parents):
    if _is_shared(above.lstat()):
      return above
  return None


def _is_shared(above: os.stat_result) -> bool:
  """Returns whether others may replace what is in a folder, or a link."""
  if above.st_uid not in (os.getuid(), 0):
    return True
  open_to_others = above.st_mode & _OTHERS_WRITE
  is_link = stat.S_ISLNK(above.st_mode)  # a link's own mode has no meaning
  is_sticky = above.st_mode & stat.S_ISVTX
  return bool(open_to_others and not is_sticky and not is_link)


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
