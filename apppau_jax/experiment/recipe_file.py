"""A configuration from whatever names one: a recipe file, a dict, a Config."""

import importlib.util
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from apppau_jax.config import Config
from apppau_jax.errors import ConfigError


def to_config(source: Any) -> Config:
  """Returns the configuration that `source` stands for.

  Args:
    source: a `Config`; nested mappings or an `ml_collections.ConfigDict` with
      its keys; or the path of a recipe, with the recipe's arguments behind a
      colon, as in "configs/phantom.py:quick". A recipe is Python code and is
      executed.

  Raises:
    ConfigError: no such file, or a recipe that cannot be used.
  """
  if isinstance(source, Config):
    return Config.from_dict(source.to_dict())
  if isinstance(source, str | os.PathLike):
    source = _run_recipe(os.fspath(source))
  if hasattr(source, "to_dict"):
    source = source.to_dict()
  if not isinstance(source, Mapping):
    raise ConfigError(
      f"A configuration is a Config, nested mappings or the path of a recipe, "
      f"not {type(source).__name__}."
    )
  return Config.from_dict(source)


def _run_recipe(text: str) -> Any:
  name, _, argument = text.partition(":")
  path = pathlib.Path(name).expanduser()
  if not path.is_file():
    raise ConfigError(
      f"There is no recipe {name}, seen from {pathlib.Path.cwd()}. Name a file "
      "such as configs/phantom.py, or configs/phantom.py:quick."
    )
  spec = importlib.util.spec_from_file_location(path.stem, path)
  if spec is None or spec.loader is None:
    raise ConfigError(f"The recipe {name} is not a Python file.")
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  try:
    return module.get_config(argument or None)
  except ValueError as error:
    raise ConfigError(f"The recipe {text} cannot be used: {error}") from error
