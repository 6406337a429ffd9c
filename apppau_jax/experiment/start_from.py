"""Start a run from the weights of another one (`train.start_from`)."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from apppau_jax import progress
from apppau_jax.errors import CheckpointError, ConfigError
from apppau_jax.experiment import loading, model_file, networks, run_folder
from apppau_jax.experiment.networks import Config
from apppau_jax.training.state import (
  CLASSIFIER,
  SEGMENTOR,
  Player,
  TrainState,
  Variables,
)

NOTHING = "none"
_LUNGS = ("left_lung", "right_lung")
# Minus the logit of one lung inside the other one, by the model in the package
# (median on training films of Montgomery).
_ELSEWHERE = 12.0


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
  must differ. One mask of both lungs starts from the masks of each, see
  `united`. Arrays that do not fit keep their random start, and a message says
  which.

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
  source_run = loading.read(path, calibrated=False)
  other = dict(source_run.variables)
  if not config.data.structures and SEGMENTOR in other:
    structures = source_run.config.data.structures
    other[SEGMENTOR] = united(other[SEGMENTOR], structures)
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


def classifier(config: Config) -> Variables | None:
  """Returns the classifier of S's features that the source has, if any.

  Raises:
    CheckpointError: there is nothing to start from, or its classifier is not
      that of its network.
  """
  path = source(config)
  if path is None:
    return None
  found = loading.read(path, calibrated=False)
  if CLASSIFIER not in found.variables:
    return None
  own = {CLASSIFIER: found.variables[CLASSIFIER]}
  try:
    model_file.compare(
      {CLASSIFIER: networks.classifier_shapes(found.config)}, own
    )
  except ValueError as error:
    raise CheckpointError(
      f"The classifier of {path} is not that of its network ({error}). Get the "
      "file again, or start from another one."
    ) from error
  return own[CLASSIFIER]


def united(variables: Variables, structures: Sequence[str]) -> Variables:
  """Returns a segmentor with one mask of both lungs in place of several.

  Where the logit of one lung is 0 that of the other is about -`_ELSEWHERE`.
  Their mean plus half of that is therefore a logit of the union, and since the
  side outputs are sums of heads, it is one of every side output if the constant
  is added to the coarsest head.

  Args:
    variables: of a segmentor whose heads are named head1 (finest), head2, ...
    structures: names of its masks; unless both lungs are among them, the
      variables are returned as they are.
  """
  if not {*_LUNGS} <= {*structures}:
    return variables
  both = [structures.index(name) for name in _LUNGS]
  params = dict(variables["params"])
  heads = sorted(name for name in params if name.startswith("head"))
  for name in heads:
    params[name] = {
      key: np.asarray(value)[..., both].mean(axis=-1, keepdims=True)
      for key, value in params[name].items()
    }
  if heads:
    params[heads[-1]]["bias"] += _ELSEWHERE / 2
  return {**variables, "params": params}


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
