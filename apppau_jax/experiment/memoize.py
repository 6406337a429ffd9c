"""Compiled functions that the runs of one process share.

A sweep's runs differ in seeds, losses and data; what they have in common is
traced and compiled once. A builder sees only the keys that it names, so that
two configurations which agree on them get the same function.
"""

import functools
import json
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import ml_collections

from apppau_jax.experiment.networks import Config

_KEPT = 64  # programs of one kind: those of a whole table
_T = TypeVar("_T")


def shared(*keys: str) -> Callable[[Callable[..., _T]], Callable[..., _T]]:
  """Decorates `build(config, **more)`: one call for equal arguments.

  Args:
    *keys: what `build` may read of the configuration, as `model` or
      `data.dataset`; reading anything else is an AttributeError.
  """

  def decorate(build: Callable[..., _T]) -> Callable[..., _T]:
    @functools.lru_cache(maxsize=_KEPT)
    def cached(text: str, more: tuple[tuple[str, Hashable], ...]) -> _T:
      return build(ml_collections.ConfigDict(json.loads(text)), **dict(more))

    @functools.wraps(build)
    def call(config: Config, **more: Hashable) -> _T:
      text = json.dumps(_only(config.to_dict(), keys), sort_keys=True)
      return cached(text, tuple(sorted(more.items())))

    return call

  return decorate


def _only(tree: dict[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
  """The named rooms and keys of a configuration, nested as they are."""
  kept: dict[str, Any] = {}
  for key in keys:
    room, dot, name = key.partition(".")
    if dot:
      kept.setdefault(room, {})[name] = tree[room][name]
    else:
      kept[room] = tree[room]
  return kept
