"""From the files of a run folder to its weights and its temperature."""

import contextlib
import logging
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

from apppau_jax.config import Config
from apppau_jax.errors import CheckpointError
from apppau_jax.experiment import (
  model_file,
  networks,
  run_files,
  weights_file,
)
from apppau_jax.experiment.model_file import ModelFile
from apppau_jax.metrics import classification
from apppau_jax.training import parallel
from apppau_jax.training.state import CLASSIFIER, TrainState, Variables


def weights(
  config: Config, *, workdir: pathlib.Path
) -> tuple[Mapping[str, Variables], int]:
  """Returns the averaged weights that `eval.checkpoint` names.

  With `config.classifier` they include those of the classifier.

  Returns:
    Weights by network, and the step of the checkpoint.

  Raises:
    CheckpointError: there is no usable checkpoint yet, or no classifier.
  """
  if weights_file.is_alone(workdir):
    kept = _of_file(config, workdir=workdir)
    return kept.variables, kept.step
  variables, step = trained(config, workdir=workdir)
  if not config.classifier.enabled:
    return variables, step
  if not weights_file.path(workdir).is_file():
    raise CheckpointError(
      f"{workdir} has no classifier yet, since its training did not end. Run "
      f"`python -m launch.train --config=... --workdir={workdir}` again."
    )
  kept = _of_file(config, workdir=workdir)
  return {**variables, CLASSIFIER: kept.variables[CLASSIFIER]}, step


def _of_file(config: Config, *, workdir: pathlib.Path) -> ModelFile:
  """Returns the content of the model file of a run folder."""
  # The file of another run may state another network.
  target = {**shapes(config).averages}
  if config.classifier.enabled:
    target[CLASSIFIER] = networks.classifier_shapes(config)
  kept = model_file.read(weights_file.path(workdir), lambda config: target)
  weights_file.check(workdir, kept, checkpoint=config.eval.checkpoint)
  return kept


def trained(
  config: Config, *, workdir: pathlib.Path
) -> tuple[Mapping[str, Variables], int]:
  """Restores the averaged weights of the checkpoint `eval.checkpoint`.

  Returns:
    Weights by network that was trained, and the step of the checkpoint.

  Raises:
    CheckpointError: there is no usable checkpoint yet.
  """
  target = shapes(config)
  name = config.eval.checkpoint
  folder = workdir / "checkpoints" / name
  found: Any = None
  if folder.is_dir():
    from apppau_jax.training import checkpoints  # slow to import

    with _without_warnings("absl"):  # of Orbax, about reading only
      saved = checkpoints.Store(folder, read_only=True)
      found = saved.restore(target.averages if name == "best" else target)
      saved.close()
  if found is None:
    raise CheckpointError(
      f"{workdir} holds no '{name}' checkpoint yet; train with "
      f"`python -m launch.train --config=... --workdir={workdir}` first."
    )
  tree, _, step = found
  return tree if name == "best" else tree.averages, step


@contextlib.contextmanager
def _without_warnings(logger: str) -> Iterator[None]:
  log = logging.getLogger(logger)
  level = log.level
  log.setLevel(logging.ERROR)
  try:
    yield
  finally:
    log.setLevel(level)


def temperature(config: Config, *, workdir: pathlib.Path) -> float:
  """Returns the temperature of a run's validation report; 1 without scaling.

  Raises:
    CheckpointError: it is needed, and the run has no validation report.
  """
  if not config.eval.temperature_scaling:
    return 1.0
  report = run_files.read_report(workdir, "validation")
  if not report:
    raise CheckpointError(
      f"The class probabilities of {workdir} are scaled by a temperature, and "
      "there is no validation report to take it from: run `python -m "
      f"launch.evaluate --workdir={workdir} --split=validation` first."
    )
  value = report.get("classification", {}).get("temperature", 1.0)
  low, high = classification.TEMPERATURES
  if not low <= value <= high:
    raise CheckpointError(
      f"The validation report of {workdir} states the temperature {value}, "
      f"which is not from {low} to {high}. Write it again with `python -m "
      f"launch.evaluate --workdir={workdir} --split=validation`."
    )
  return value


def shapes(config: Config) -> TrainState:
  """Returns the shapes of a saved state, on one device."""
  return parallel.shapes(
    lambda: networks.init(config, seed=0), parallel.own_mesh()
  )
