"""A trained model in one file of safetensors, which holds no code.

The file has the averaged weights of every network and, as text, the
configuration of the run, the temperature of its classes and a model card.
"""

import copy
import dataclasses
import hashlib
import json
import math
import os
import pathlib
from collections.abc import Callable, Mapping
from importlib import resources
from typing import Any

import jax
import numpy as np
import safetensors
import safetensors.numpy

from apppau_jax import files
from apppau_jax.config import Config
from apppau_jax.errors import CheckpointError, UserError
from apppau_jax.training.state import SEGMENTOR, Variables

SUFFIX = ".safetensors"
BOX = "box"  # what names the model that the package carries
_FORMAT = "apppau_jax model 1"
_LONGEST = 1000  # characters of a fault in a message


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelFile:
  """The content of a model file.

  Attributes:
    config: of the run that trained it.
    variables: the averaged weights by network, float32.
    temperature: of the class probabilities.
    step: the number of steps that it was trained.
    card: what a user should know: data, command, commit, measured values.
    sha256: of the file.
  """

  config: Config
  variables: Mapping[str, Variables]
  temperature: float = 1.0
  step: int = 0
  card: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  sha256: str = ""


def box() -> pathlib.Path:
  """Returns the file of the model that the package carries.

  Raises:
    CheckpointError: the package was installed without it.
  """
  path = resources.files("apppau_jax") / "box" / f"box{SUFFIX}"
  found = pathlib.Path(str(path))
  if not found.is_file():
    raise CheckpointError(
      "This installation has no model of its own. Name a trained run."
    )
  return found


def find(name: str | os.PathLike[str]) -> pathlib.Path:
  """Returns the run folder or model file of a name; "box" is `box()`."""
  return box() if name == BOX else pathlib.Path(name).expanduser()


def write(
  path: str | os.PathLike[str], model: ModelFile, *, half: bool = False
) -> None:
  """Writes a model file, completely or not at all.

  Args:
    path: of the file; its name should end in .safetensors.
    model: its content; `sha256` is not used.
    half: store numbers of 16 bits, which halves the file.
  """
  kind = np.float16 if half else np.float32
  arrays = {
    name: np.asarray(leaf, kind) for name, leaf in _flat(model.variables)
  }
  text = {
    "format": _FORMAT,
    "config": json.dumps(_without_paths(model.config).to_dict()),
    "temperature": repr(float(model.temperature)),
    "step": str(int(model.step)),
    "card": json.dumps(dict(model.card)),
  }
  content = safetensors.numpy.save(arrays, metadata=text)
  files.write_bytes(pathlib.Path(path), content)


def _without_paths(config: Config) -> Config:
  """Returns a configuration that names no folder of the machine."""
  config, default = copy.deepcopy(config), Config()
  config.data.data_dir = default.data.data_dir
  if config.train.start_from not in (default.train.start_from, BOX):
    config.train.start_from = default.train.start_from
  return config


def read(
  path: str | os.PathLike[str],
  shapes_of: Callable[[Config], Mapping[str, Variables]] | None = None,
) -> ModelFile:
  """Reads a model file.

  Args:
    path: of the file.
    shapes_of: maps a configuration to the shapes of its networks' weights, a
      tree by network; a file with other arrays is refused. None: not compared.

  Raises:
    CheckpointError: the file is damaged, of another kind or another version.
  """
  path = pathlib.Path(path)
  try:
    content = path.read_bytes()
    with safetensors.safe_open(path, framework="np") as file:
      text = file.metadata() or {}
    if text.get("format") != _FORMAT:
      raise ValueError(f"its format is {text.get('format')!r}")
    config = Config.from_dict(_object(text["config"]))
    variables = _nested(safetensors.numpy.load(content))
    if shapes_of:
      compare(shapes_of(config), variables)
    temperature, step = float(text["temperature"]), int(text["step"])
    if not (0 < temperature < math.inf and step >= 0):
      raise ValueError(f"temperature {temperature} or step {step} is no such")
    return ModelFile(
      config=config,
      variables=variables,
      temperature=temperature,
      step=step,
      card=_object(text["card"]),
      sha256=hashlib.sha256(content).hexdigest(),
    )
  except (
    *(OSError, ValueError, KeyError, TypeError, RecursionError),
    AttributeError,
    *(safetensors.SafetensorError, UserError),
  ) as error:
    reason = str(error)[:_LONGEST]
    raise CheckpointError(
      f"{path} is not a model file of this version ({reason}). Get it again, "
      "or name a trained run."
    ) from error


def _object(text: str) -> dict[str, Any]:
  found = json.loads(text)
  if not isinstance(found, dict):
    raise ValueError("its text is not a JSON object")
  return found


def _flat(variables: Mapping[str, Variables]):
  leaves, _ = jax.tree_util.tree_flatten_with_path(dict(variables))
  for keys, leaf in leaves:
    yield "/".join(str(key.key) for key in keys), leaf


def _nested(arrays: Mapping[str, np.ndarray]) -> dict[str, Variables]:
  """Returns arrays named NETWORK/params/... as a tree by network."""
  found: dict[str, Any] = {}
  for name, value in arrays.items():
    if "/" not in name:
      raise ValueError(f"the array {name!r} belongs to no network")
    if not np.isfinite(value).all():
      raise ValueError(f"{name} has values that are not finite")
    network, *keys, last = name.split("/")
    place = found.setdefault(network, {"params": {}, "batch_stats": {}})
    for key in keys:
      place = place.setdefault(key, {})
    place[last] = np.asarray(value, np.float32)
  if SEGMENTOR not in found:
    raise ValueError(f"it has no arrays of a {SEGMENTOR}")
  return found


def compare(
  shapes: Mapping[str, Variables], found: Mapping[str, Variables]
) -> None:
  """Compares arrays, in trees by network.

  Raises:
    ValueError: the names or shapes differ.
  """
  wanted, arrays = dict(_flat(shapes)), dict(_flat(found))
  if wanted.keys() != arrays.keys():
    differ = sorted(wanted.keys() ^ arrays.keys())
    raise ValueError(f"{len(differ)} arrays differ, such as {differ[0]}")
  for name, leaf in wanted.items():
    if arrays[name].shape != leaf.shape:
      raise ValueError(
        f"{name} has the shape {arrays[name].shape} and not {leaf.shape}"
      )
