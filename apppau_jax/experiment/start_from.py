"""Start a run from the weights of another one (`train.start_from`)."""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from apppau_jax import progress
from apppau_jax.errors import ConfigError
from apppau_jax.experiment import loading, model_file, run_folder
from apppau_jax.experiment.networks import Config
from apppau_jax.training.state import SEGMENTOR, Player, TrainState

NOTHING = "none"


def source(config: Config) -> pathlib.Path | None:
  """Returns the run folder or model file to start from; None for none."""
  name = config.train.start_from
  return None if name == NOTHING else model_file.find(name)


def identity(config: Config) -> Mapping[str, Any]:
  """Returns what the manifest states of the weights that a run began with."""
  path = source(config)
  if path is None:
    return {}
  return {"start_from": {"name": config.train.start_from}
          | run_folder.identity([path])}  # fmt: skip


def start(config: Config, state: TrainState) -> TrainState:
  """Returns the first state of a run, with weights where names and shapes fit.

  The weights and the running statistics of each network come from the network
  of the same name; further segmentors start from random weights, since they
  must differ. Arrays that do not fit keep their random start, and a message
  says which.

  Args:
    config: of the run.
    state: random weights, at step 0.

  Raises:
    ConfigError: no array of the segmentor fits.
    CheckpointError: there is nothing to start from.
  """
  path = source(config)
  if path is None:
    return state
  other = loading.read(path, calibrated=False).variables
  players = dict(state.players)
  for name in players.keys() & other.keys():
    players[name], missed = _taken(players[name], other[name])
    total = len(jax.tree.leaves(players[name].variables))
    progress.LOG.info(
      "start_from=%s: %d of %d arrays of the %s%s",
      config.train.start_from,
      total - len(missed),
      total,
      name,
      f"; random as before: {', '.join(missed)}" if missed else "",
    )
    if name == SEGMENTOR and len(missed) == total:
      raise ConfigError(
        f"config.train.start_from={config.train.start_from}: no array of its "
        "segmentor has the name and shape that this network needs. Choose the "
        "same model.preset and model.base_width, or start from none."
      )
  return dataclasses.replace(state, players=players)


def _taken(
  player: Player, other: Mapping[str, Any]
) -> tuple[Player, list[str]]:
  """Returns a player with the arrays that fit, and the names of the others."""
  found = dict(jax.tree_util.tree_flatten_with_path(dict(other))[0])
  missed = []

  def pick(path, leaf):
    value = found.get(path)
    if value is None or value.shape != leaf.shape:
      missed.append("/".join(str(key.key) for key in path[1:]))
      return leaf
    return jax.device_put(np.asarray(value, leaf.dtype), leaf.sharding)

  variables = jax.tree_util.tree_map_with_path(pick, dict(player.variables))
  average = jax.tree.map(lambda leaf: leaf.copy(), variables)
  return dataclasses.replace(player, **variables, ema=average), missed
