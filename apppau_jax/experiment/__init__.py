"""Runs from a configuration: the only package, with paper, that reads one.

assemble, networks, input_pipeline  from a configuration to a training step
data, data_gate                     its data set, split and validation
fitting, validation, evaluate_run   training, validation and evaluation
loading                             from run folders to models
run_folder, provenance              the run folder, and how it was made
cost                                what a run would take
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
  from apppau_jax.experiment.fitting import Run, fit
  from apppau_jax.experiment.loading import load

__all__ = ["Run", "fit", "load"]
_HOMES = {"Run": "fitting", "fit": "fitting", "load": "loading"}


def __getattr__(name: str) -> Any:
  """Loads a name when it is first used: prediction needs no training."""
  if name not in _HOMES:
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
  home = importlib.import_module(f"{__name__}.{_HOMES[name]}")
  return getattr(home, name)
