"""What a number was measured with: code, libraries, machine, command."""

import importlib.metadata
import os
import pathlib
import platform
import shlex
import subprocess
import sys

import jax

from apppau_jax import __version__, runtime

_LIBRARIES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")


def commit() -> str:
  """Returns the commit of the code, "unknown" outside a git checkout."""
  here = pathlib.Path(__file__).parent
  command = ["git", "-C", str(here), "describe", "--always", "--dirty"]
  try:
    done = subprocess.run(command, capture_output=True, text=True, check=True)
  except (OSError, subprocess.CalledProcessError):
    return "unknown"
  return done.stdout.strip()


def devices() -> str:
  """Returns the number and the kind of JAX's devices, such as `1 x cpu`."""
  found = jax.devices()
  return f"{len(found)} x {found[0].device_kind}"


def environment() -> dict[str, str]:
  """Returns versions, devices and the command of this process."""
  module = pathlib.Path(sys.argv[0]).stem
  return {
    "command": shlex.join(["python", "-m", f"launch.{module}", *sys.argv[1:]]),
    "apppau_jax": __version__,
    "commit": commit(),
    "python": platform.python_version(),
    **{name: importlib.metadata.version(name) for name in _LIBRARIES},
    "devices": devices(),
    "processes": str(jax.process_count()),
    "machine": f"{platform.machine()}, {os.cpu_count()} cores",
    "malloc": runtime.describe_memory(),
    "XLA_FLAGS": os.environ.get("XLA_FLAGS", ""),
  }
