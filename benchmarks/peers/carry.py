"""Conversion of our parameters to PyTorch's, by their common names."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

_STATISTICS = {"mean": "running_mean", "var": "running_var"}


def state_dict(variables: Mapping[str, Any]) -> dict[str, torch.Tensor]:
  """Convert Flax variables `{"params", "batch_stats"}` to a state dict."""
  found = {}
  for path, leaf in _leaves(variables["params"]):
    *modules, name = path
    value = np.asarray(leaf, np.float32)
    if name == "kernel":
      value = _kernel(value, transposed=modules[0].startswith("up"))
    name = {"kernel": "weight", "scale": "weight"}.get(name, name)
    found[".".join((*modules, name))] = torch.from_numpy(np.array(value))
  for path, leaf in _leaves(variables.get("batch_stats", {})):
    name = ".".join((*path[:-1], _STATISTICS[path[-1]]))
    found[name] = torch.from_numpy(np.array(leaf))
  return found


def load(module: nn.Module, variables: Mapping[str, Any]) -> nn.Module:
  """Load all of our variables into a torch module.

  Raises:
    ValueError: A parameter has no counterpart, on either side.
  """
  keys = module.load_state_dict(state_dict(variables), strict=False)
  missing = [k for k in keys.missing_keys if "num_batches" not in k]
  if missing or keys.unexpected_keys:
    raise ValueError(f"no counterpart: {missing}, {keys.unexpected_keys}")
  return module


def _leaves(tree: Any, path: tuple[str, ...] = ()) -> Iterator[tuple]:
  if isinstance(tree, Mapping):
    for name, child in tree.items():
      yield from _leaves(child, (*path, name))
  else:
    yield path, tree


def _kernel(value: np.ndarray, *, transposed: bool) -> np.ndarray:
  if value.ndim == 2:
    return value.T
  if not transposed:
    return value.transpose(3, 2, 0, 1)
  # Ours is a 1x1 convolution to 4 x width, then depth-to-space.
  entering, width = value.shape[2], value.shape[3] // 4
  return value.reshape(entering, 2, 2, width).transpose(0, 3, 1, 2)
