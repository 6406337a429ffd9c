"""Data sets: their facts, preparation, splits and examples.

Example:
  >>> from apppau_jax import datasets
  >>> {"jsrt", "montgomery", "shenzhen"} <= {*datasets.DATASETS}
  True
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
  from apppau_jax.datasets.builder import builder_class
  from apppau_jax.datasets.dataset import Dataset
  from apppau_jax.datasets.parts import Parts
  from apppau_jax.datasets.registry import DATASETS
  from apppau_jax.datasets.spec import DatasetSpec

__all__ = ["DATASETS", "Dataset", "DatasetSpec", "Parts", "builder_class"]

# Loaded on first use, since importing TFDS takes seconds.
_HOMES = {
  "DATASETS": "registry",
  "Dataset": "dataset",
  "DatasetSpec": "spec",
  "Parts": "parts",
  "builder_class": "builder",
}


def __getattr__(name: str) -> Any:
  if name not in _HOMES:
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
  module = importlib.import_module(f"{__name__}.{_HOMES[name]}")
  return getattr(module, name)
