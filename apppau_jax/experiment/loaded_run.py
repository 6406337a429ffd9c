"""Finished runs, one or the mean of several, ready to look at images."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from apppau_jax.errors import ConfigError
from apppau_jax.experiment import networks, predictors, restore
from apppau_jax.experiment import run_folder as workdir_lib
from apppau_jax.experiment.networks import Config
from apppau_jax.inference import batched_inference, ensemble, predict_files
from apppau_jax.metrics import classification
from apppau_jax.training import state as state_lib

# What runs must share for their probabilities to be of the same things.
_ALIKE = ("resolution", "bits", "structures")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finished:
  """A run's networks and weights, or those of several runs.

  Attributes:
    workdirs: the runs' folders.
    configs: their configurations. Of several the first says which data are
      measured, and how probabilities become masks.
    players: the networks.
    variables: the weights, as `players` takes them.
    steps: of the checkpoints.
    parameters: how many each player has, of all runs together.
  """

  workdirs: tuple[pathlib.Path, ...]
  configs: tuple[Config, ...]
  players: batched_inference.Players
  variables: Mapping[str, Any]
  steps: tuple[int, ...]
  parameters: Mapping[str, int]

  @property
  def config(self) -> Config:
    """That of the run, or of the first."""
    return self.configs[0]

  @property
  def is_ensemble(self) -> bool:
    """Whether there are several."""
    return len(self.workdirs) > 1

  def facts(self) -> dict[str, Any]:
    """What a report says of them: of one run values, of several lists."""
    each = {
      "model": [c.model.preset for c in self.configs],
      "loss": [c.loss.name for c in self.configs],
      "checkpoint": [c.eval.checkpoint for c in self.configs],
      "checkpoint_step": [*self.steps],
      "seed": [c.seed for c in self.configs],
    }
    told = {k: v if self.is_ensemble else v[0] for k, v in each.items()}
    return told | {"parameters": dict(self.parameters)}


def load(workdirs: Sequence[pathlib.Path]) -> Finished:
  """One run, or several as one: the mean of their probabilities.

  Raises:
    CheckpointError: a folder without a trained run.
    ConfigError: a folder named twice, or runs that do not say the same things
      of the same images.
  """
  if len({folder.resolve() for folder in workdirs}) < len(workdirs):
    raise ConfigError(
      "The same --workdir is named twice: the mean of a run with itself says "
      "nothing. Name each run once."
    )
  found = [_load(folder) for folder in workdirs]
  if len(found) == 1:
    return found[0]
  _check_alike(found)
  roles = ("segmentor", "discriminator")
  judges = [run.players.diagnose for run in found]
  judges = [judge for judge in judges if judge is not None]
  played = roles if judges else roles[:1]
  return Finished(
    workdirs=tuple(workdirs),
    configs=tuple(run.config for run in found),
    players=batched_inference.Players(
      predict=ensemble.predict([run.players.predict for run in found]),
      diagnose=ensemble.diagnose(
        judges,
        temperatures=[
          restore.temperature(run.config, workdir=run.workdirs[0])
          for run in found
        ],
      )
      if judges
      else None,
    ),
    variables={role: [run.variables[role] for run in found] for role in played},
    steps=tuple(run.steps[0] for run in found),
    parameters={
      role: sum(run.parameters[role] for run in found) for role in played
    },
  )


def _load(workdir: pathlib.Path) -> Finished:
  config = workdir_lib.read_config(workdir)
  variables, step = restore.weights(config, workdir=workdir)
  return Finished(
    workdirs=(workdir,),
    configs=(config,),
    players=predictors.players(config, final=True),
    variables=variables,
    steps=(step,),
    parameters={
      player: state_lib.parameter_count(tree["params"])
      for player, tree in variables.items()
    },
  )


def _check_alike(runs: Sequence[Finished]) -> None:
  first = _told(runs[0])
  for run in runs[1:]:
    told = _told(run)
    differ = [
      f"{key} {first[key]!r} and {told[key]!r}"
      for key in first
      if first[key] != told[key]
    ]
    if differ:
      raise ConfigError(
        f"--workdir={runs[0].workdirs[0]} and --workdir={run.workdirs[0]} "
        f"cannot be averaged: they have {'; '.join(differ)}. Name runs that "
        "say the same things of the same images."
      )


def _told(run: Finished) -> dict[str, Any]:
  config = run.config
  taught = networks.learns_classes(config)
  told = {f"data.{key}": getattr(config.data, key) for key in _ALIKE}
  return told | {"classes": networks.class_names(config) if taught else ()}


@dataclasses.dataclass(frozen=True, kw_only=True)
class ForPictures:
  """Networks for pictures without a data set.

  Attributes:
    infer: levels `[m, r, r, 1]` to probabilities `[m, r, r, k]` and class
      probabilities `[m, n]`, or None where no class was taught. The temperature
      is the one that the run's reports have; of several runs each has its own.
    class_names: the classes; none where no class was taught.
  """

  infer: predict_files.Infer
  class_names: tuple[str, ...]


def for_pictures(run: Finished, *, count: int) -> ForPictures:
  """A run's networks for a user's own pictures.

  Args:
    run: the run, or several.
    count: pictures there will be; a batch is no larger, so that a single one
      does not cost as much as a full batch.

  Raises:
    CheckpointError: a temperature was asked for, and never fitted.
  """
  config, players = run.config, run.players
  temperature = 1.0
  if players.diagnose is not None and not run.is_ensemble:
    temperature = restore.temperature(config, workdir=run.workdirs[0])
  batch_size = min(config.eval.batch_size, count)

  def infer(image: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    prob = batched_inference.predict_probs(
      players.predict, run.variables["segmentor"], image, batch_size=batch_size
    )
    if players.diagnose is None:
      return prob, None
    logits = batched_inference.diagnose_logits(
      players.diagnose,
      run.variables["discriminator"],
      image,
      prob,
      batch_size=batch_size,
    )
    return prob, classification.posterior(logits, temperature=temperature)

  taught = players.diagnose is not None
  names = networks.class_names(config) if taught else ()
  return ForPictures(infer=infer, class_names=names)
