"""Traced programs in files, so that the next process need not trace.

Tracing a network and lowering what was traced takes most of the time between
the start of a process and its first mask; reading the program takes a tenth of
it. A program is StableHLO with the weights as arguments, written and read by
`jax.export`, and lies in JAX's compilation cache: who may write there decides
what code runs in any case. Without a compilation cache nothing is kept.
"""

import contextlib
import dataclasses
import functools
import hashlib
import pathlib
from collections.abc import Callable
from typing import Any

import flax
import flax.linen as nn
import jax
import numpy as np
from jax import export

from apppau_jax import files

FOLDER = "apppau_jax-programs"  # within the compilation cache
_MAX_BYTES = 2**26  # of a program, which holds no weights
_DIGEST = hashlib.sha256().digest_size
# Settings of JAX that change what is traced.
_SETTINGS = ("jax_enable_x64", "jax_default_matmul_precision")
_OURS = ("apppau_jax.", "jax.")  # modules whose code is part of a file's name


class Kept:
  """A function that is compiled like `jax.jit`, and whose programs are kept.

  Programs for more than one row are not kept: they may call oneDNN, and
  compiling them takes so much longer that tracing hardly counts. Neither are
  programs within another one that is being traced.
  """

  def __init__(
    self,
    function: Callable,
    *,
    of: tuple[Any, ...],
    finish: Callable[[Any], Any] = lambda outputs: outputs,
  ):
    """Compiles nothing yet.

    Args:
      function: maps variables and arrays of b rows each to a tree of arrays
        that consists of dicts and tuples.
      of: what the function closes over: networks of this package and plain
        values. Anything else means that programs are not kept.
      finish: makes the result of that tree.
    """
    self._plain, self._of, self._finish = jax.jit(function), of, finish
    self._found: dict[str, tuple[export.Exported, Callable]] = {}

  def __call__(self, variables: Any, *rows: Any) -> Any:
    """Calls the function."""
    found = self._program((variables, *rows))
    call = found[1] if found else self._plain
    return self._finish(call(variables, *rows))

  def shapes(self, variables: Any, *rows: Any) -> Any:
    """Returns what a call would return, as `jax.eval_shape` does.

    A call need not trace again.
    """
    found = self._program((variables, *rows))
    if found is None:
      return self._finish(jax.eval_shape(self._plain, variables, *rows))
    shapes = [
      jax.ShapeDtypeStruct(one.shape, one.dtype) for one in found[0].out_avals
    ]
    return self._finish(jax.tree.unflatten(found[0].out_tree, shapes))

  def _program(self, arguments: Any) -> tuple[export.Exported, Callable] | None:
    """Returns the program for arguments of these shapes, if it is kept."""
    folder = _setting("jax_compilation_cache_dir")
    leaves = jax.tree.leaves(arguments)
    is_traced = any(isinstance(leaf, jax.core.Tracer) for leaf in leaves)
    is_here = folder and "://" not in folder  # and not in a cloud's storage
    # Programs are for JAX's own choice of a device.
    is_elsewhere = _setting("jax_default_device") is not None
    several = arguments[1].shape[0] > 1
    if not is_here or is_elsewhere or several or is_traced:
      return None
    try:
      name = _name(self._of, arguments)
    except ValueError:
      return None
    if name not in self._found:
      path = pathlib.Path(folder) / FOLDER / name
      program = _obtain(self._plain, path, arguments)
      self._found[name] = program, jax.jit(program.call)
    return self._found[name]


def _obtain(plain: Any, path: pathlib.Path, arguments: Any) -> export.Exported:
  """Reads a program, or traces it and writes it."""
  if program := _read(path):
    return program
  shapes = jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), arguments
  )
  program = export.export(plain)(*shapes)
  with contextlib.suppress(OSError):  # it need not be kept
    content = bytes(program.serialize())
    files.write_bytes(path, hashlib.sha256(content).digest() + content)
  return program


def _read(path: pathlib.Path) -> export.Exported | None:
  """Reads a program; None if there is none or it is damaged."""
  try:
    if path.stat().st_size > _MAX_BYTES:
      return None
    content = path.read_bytes()
  except OSError:
    return None
  stated, program = content[:_DIGEST], content[_DIGEST:]
  if hashlib.sha256(program).digest() != stated:
    return None
  try:
    return export.deserialize(bytearray(program))
  except Exception:  # whatever JAX raises at another version's file
    return None


def _name(of: tuple[Any, ...], arguments: Any) -> str:
  """Returns the name of the file: a digest of all that a program depends on.

  Raises:
    ValueError: it depends on more than is known.
  """
  leaves, tree = jax.tree.flatten(arguments)
  shapes = [(np.shape(leaf), str(leaf.dtype)) for leaf in leaves]
  where = jax.default_backend(), [*map(_setting, _SETTINGS)]
  text = repr((_code(), _described(of), str(tree), shapes, where))
  return hashlib.sha256(text.encode()).hexdigest()


def _setting(name: str) -> Any:
  return getattr(jax.config, name)


def _described(value: Any) -> Any:
  """Returns networks, functions and plain values as every process would.

  Raises:
    ValueError: something else.
  """
  if isinstance(value, tuple):
    return tuple(map(_described, value))
  if value is None or isinstance(value, bool | int | float | str | np.dtype):
    return str(value)
  is_network = isinstance(value, nn.Module)
  kind = type(value) if is_network else value
  parts = (getattr(kind, n, "<>") for n in ("__module__", "__qualname__"))
  name = ".".join(parts)
  if not name.startswith(_OURS) or "<" in name:
    raise ValueError(f"{name} is not of this package")
  if not is_network:
    return name
  fields = [f.name for f in dataclasses.fields(value) if f.name != "parent"]
  return name, [(f, _described(getattr(value, f))) for f in fields]


@functools.cache
def _code() -> str:
  """Returns a digest of this package's source, and the libraries' versions."""
  digest = hashlib.sha256()
  root = pathlib.Path(__file__).parents[1]
  for path in sorted(root.rglob("*.py")):
    digest.update(path.read_bytes())
  versions = (jax.__version__, jax.lib.__version__, flax.__version__)
  return " ".join((digest.hexdigest(), *versions))
