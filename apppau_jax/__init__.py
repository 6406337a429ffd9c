"""APPAU-Net in JAX: lung segmentation and diagnosis from few labelled X-rays.

The public interface. Importing this package loads neither JAX nor any of the
modules below; each is loaded when it is first used.

    import apppau_jax as ap

    model = ap.load("runs/mc")
    prediction = model.predict("radiograph.png")

Names:
  load: the model of a trained run, or the ensemble of several runs.
  Model: networks with weights; predicts masks and classes of images.
  Dataset: a prepared data set: its images, classes, patients and splits.
  fit: trains a configuration in a run folder and evaluates it.
  Config: the typed configuration of a run.
  losses, semi: loss functions, and methods of semi-supervised learning.
  models, metrics, datasets, phantoms: networks, metrics, sets, the simulator.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
  from apppau_jax import (
    datasets,
    losses,
    metrics,
    models,
    phantoms,
    semi,
  )
  from apppau_jax.config import Config
  from apppau_jax.datasets import Dataset
  from apppau_jax.experiment import fit, load
  from apppau_jax.inference import Model

__version__ = "0.2.0"
__all__ = [
  "Config",
  "Dataset",
  "Model",
  "datasets",
  "fit",
  "load",
  "losses",
  "metrics",
  "models",
  "phantoms",
  "semi",
]
# Where each name that is no module of this package is defined.
_HOMES = {
  "Config": "config",
  "Dataset": "datasets",
  "Model": "inference",
  "fit": "experiment",
  "load": "experiment",
}


def __getattr__(name: str) -> Any:
  """Loads a public name when it is first used (PEP 562)."""
  if name not in __all__:
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
  module = importlib.import_module(f"{__name__}.{_HOMES.get(name, name)}")
  value = getattr(module, name) if name in _HOMES else module
  globals()[name] = value
  return value


def __dir__() -> list[str]:
  return sorted([*globals(), *__all__])
