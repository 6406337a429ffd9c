"""Dataclasses that programs kept on disk may return."""

import json
from typing import TypeVar

from jax import export

_T = TypeVar("_T")


def exportable(cls: type[_T]) -> type[_T]:
  """Decorates a `chex.dataclass`: `jax.export` can then name it in a file."""
  return export.register_pytree_node_serialization(
    cls,
    serialized_name=f"{cls.__module__}.{cls.__qualname__}",
    serialize_auxdata=lambda fields: json.dumps(fields).encode(),
    deserialize_auxdata=lambda text: tuple(json.loads(text)),
  )
