"""Compute elements ahead of their use, in order, in threads of Grain."""

import importlib
from collections.abc import Callable, Generator
from typing import Any, Generic, TypeVar

from apppau_jax.errors import ConfigError

_THREADS = 4  # decoding PNGs leaves the interpreter to the others
_AHEAD = 8  # elements in memory besides those being made

_T = TypeVar("_T")


class _Elements(Generic[_T]):
  """A source of Grain: random access by index."""

  def __init__(self, make: Callable[[int], _T], *, count: int):
    self._make, self._count = make, count

  def __len__(self) -> int:
    return self._count

  def __getitem__(self, index: int) -> _T:
    return self._make(index)


def ahead(
  make: Callable[[int], _T], *, stop: int, start: int = 0
) -> Generator[_T, None, None]:
  """Yields make(start), ..., make(stop - 1), a bounded number of them ahead.

  Each element depends on its index alone, so that a resumed run begins at
  another `start`. Close the iterator to end the threads.

  Args:
    make: returns the element of an index; called from several threads.
    stop: one past the last index.
    start: the first index.

  Raises:
    ConfigError: Grain is not installed.
  """
  if start >= stop:
    return
  grain = _grain()
  wanted = grain.MapDataset.source(_Elements(make, count=stop))[start:]
  elements = iter(
    wanted.to_iter_dataset(
      grain.ReadOptions(num_threads=_THREADS, prefetch_buffer_size=_AHEAD)
    )
  )
  try:
    yield from elements
  finally:
    elements.close()


def _grain() -> Any:
  try:
    return importlib.import_module("grain")
  except ImportError as error:
    raise ConfigError(
      "config.data.streaming=True reads through Grain, which is not installed "
      f"({error}): run `python -m pip install -e '.[streaming]'`, or set "
      "it to False if the images fit into memory."
    ) from error
