"""Traced programs kept on disk, beside the compiled ones.

To trace a step through Flax, differentiation and the optimisers is seconds of
Python at every start, however warm JAX's compilation cache: that one is asked
only for what has been traced and lowered. What tracing yields is decided by
the sources, the libraries, JAX's settings, the configuration and the shapes;
under a hash of all of them `jax.export` keeps it. Whoever edits a library in
place, its version unchanged, empties the folder.
"""

import contextlib
import functools
import hashlib
import importlib.metadata
import importlib.util
import json
import pathlib
import sys
import zlib
from collections.abc import Callable
from typing import Any

import jax
from jax import export

import apppau_jax
from apppau_jax import files
from apppau_jax.onednn import convolutions

_LIBRARIES = ("jax", "jaxlib", "flax", "optax", "chex", "numpy")
# Registered by name in every process that asks for them.
_ALLOWED = [
  export.DisabledSafetyCheck.custom_call(n) for n in convolutions.CALLS
]
_PACKAGE = pathlib.Path(apppau_jax.__file__).parent


def keep(function: Callable[..., Any], *, name: Any) -> Callable[..., Any]:
  """Returns `function`, traced once on this machine; for use under `jit`.

  Kept where JAX keeps compiled programs (`jax_compilation_cache_dir`, a folder
  of this machine); nowhere, and so without effect, where it keeps none, and
  with several devices or processes.

  Args:
    function: pure. Its results are nests of tuples, lists, dicts and types
      registered with `jax.export`.
    name: what tells it from the others of the same sources and shapes; as
      JSON, or with a `repr` that says all. None keeps nothing.
  """
  if name is None:
    return function

  @functools.wraps(function)
  def call(*args):
    folder, sources = _folder(), _sources()
    if folder is None or sources is None:
      return function(*args)
    leaves, tree = jax.tree.flatten(args)
    given = [_shape(x) for x in leaves]
    path = folder / f"{_digest(name, sources, tree, given)}.z"
    program = _read(path)
    if program is None:
      try:
        flat = jax.jit(lambda *leaves: function(*tree.unflatten(leaves)))
        program = export.export(flat, disabled_checks=_ALLOWED)(*given)
        _write(path, program)
      except (ValueError, NotImplementedError):
        # Nothing that `jax.export` takes, or an error of the function's own,
        # which this raises once more.
        return function(*args)
    return program.call(*leaves)

  return call


def mark(name: Any) -> pathlib.Path | None:
  """Where to note that all programs of `name` are kept on this machine.

  Args:
    name: as JSON, or with a `repr` that says all.

  Returns:
    A file that may not be there yet, in a folder that is; None where nothing
    is kept.
  """
  folder, sources = _folder(), _sources()
  if folder is None or sources is None:
    return None
  return folder / f"{_digest(name, sources, None, [])}.all"


def _shape(x) -> jax.ShapeDtypeStruct:
  kind: Any = jax.typeof(x)
  return jax.ShapeDtypeStruct(kind.shape, kind.dtype, weak_type=kind.weak_type)


def _folder() -> pathlib.Path | None:
  cache = jax.config.values["jax_compilation_cache_dir"]
  if not cache or "://" in cache or jax.device_count() > 1:
    return None
  if importlib.util.find_spec("flatbuffers") is None:  # jax.export writes by it
    return None
  return pathlib.Path(cache) / "traced"


def _read(path: pathlib.Path) -> export.Exported | None:
  """The program there; None if there is none, or half of one."""
  try:
    content = zlib.decompress(path.read_bytes())
  except (OSError, zlib.error):
    return None
  return export.deserialize(bytearray(content))


def _write(path: pathlib.Path, program: export.Exported) -> None:
  content = bytes(program.serialize())
  with contextlib.suppress(OSError):  # then it is traced the next time too
    files.write_bytes(path, zlib.compress(content, level=1))


def _digest(
  name: Any, sources: str, tree: Any, given: list[jax.ShapeDtypeStruct]
) -> str:
  device = jax.devices()[0]
  told = {
    "name": name,
    "arguments": [str(tree), *map(repr, given)],
    "sources": sources,
    "without_onednn": convolutions.why_not(),
    "libraries": [importlib.metadata.version(name) for name in _LIBRARIES],
    "python": sys.version_info[:2],
    "settings": {  # as they are here: a context manager changes only the first
      key: getattr(jax.config, key, value)
      for key, value in jax.config.values.items()
    },
    "device": [device.platform, device.device_kind],
  }
  text = json.dumps(told, sort_keys=True, default=repr)
  return hashlib.sha256(text.encode()).hexdigest()


@functools.cache
def _sources() -> str | None:
  """A hash of what may shape a program: the package, and who assembles it.

  None if a file was edited since this process began to read them: what it runs
  is then perhaps not what lies there.
  """
  found = hashlib.sha256()
  assemble = _PACKAGE / "experiment"
  for root in (_PACKAGE, assemble):
    for path in sorted(root.rglob("*.py")):
      if path.stat().st_mtime >= apppau_jax.LOADED_AT:
        return None
      found.update(path.relative_to(root.parent).as_posix().encode())
      found.update(path.read_bytes())
  return found.hexdigest()
