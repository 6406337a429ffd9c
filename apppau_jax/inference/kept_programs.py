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


def compile_kept(function: Callable, *, of: tuple[Any, ...]) -> Callable:
  """Compiles a function like `jax.jit`, and keeps its traced programs.

  Programs for more than one row are not kept: they may call oneDNN, and
  compiling them takes so much longer that tracing hardly counts.

  Args:
    function: maps variables and arrays of b rows each to a tree of arrays that
      consists of dicts and tuples.
    of: what the function closes over: networks of this package and plain
      values. Anything else means that programs are not kept.
  """
  plain = jax.jit(function)
  found: dict[str, Callable] = {}

  def call(variables: Any, *rows: Any) -> Any:
    folder = _setting("jax_compilation_cache_dir")
    if not folder or len(rows[0]) > 1:
      return plain(variables, *rows)
    try:
      name = _name(of, (variables, *rows))
    except ValueError:
      return plain(variables, *rows)
    if name not in found:
      path = pathlib.Path(folder) / FOLDER / name
      found[name] = jax.jit(_obtain(plain, path, (variables, *rows)).call)
    return found[name](variables, *rows)

  return call


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
