"""What a run's folder keeps of its training: weights, and a temperature."""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

from apppau_jax.errors import CheckpointError
from apppau_jax.experiment import networks
from apppau_jax.experiment.networks import Config
from apppau_jax.training import checkpoints, parallel
from apppau_jax.training import state as state_lib


def weights(
  config: Config, *, workdir: pathlib.Path
) -> tuple[Mapping[str, state_lib.Variables], int]:
  """The averaged weights that `eval.checkpoint` names, and their step.

  Returns:
    Weights by player, `segmentor` and, where there is one, `discriminator`.

  Raises:
    CheckpointError: nothing usable was saved there yet.
  """
  target = _shapes(config)
  name = config.eval.checkpoint
  folder = workdir / "checkpoints" / name
  if not folder.is_dir():
    raise _untrained(workdir, name)
  saved = checkpoints.Store(folder, read_only=True)
  found: Any = saved.restore(target.averages if name == "best" else target)
  saved.close()
  if found is None:
    raise _untrained(workdir, name)
  tree, _, step = found
  return tree if name == "best" else tree.averages, step


def temperature(config: Config, *, workdir: pathlib.Path) -> float:
  """What was fitted when the run was measured; 1 without scaling."""
  if not config.eval.temperature_scaling:
    return 1.0
  path = workdir / "eval" / "validation" / "report.json"
  if not path.exists():
    raise CheckpointError(
      f"Class probabilities of {workdir} are to be scaled, and it has no "
      "validation report to take the temperature from: run `python -m "
      f"launch.evaluate --workdir={workdir} --split=validation` first."
    )
  report = json.loads(path.read_text())
  return report.get("classification", {}).get("temperature", 1.0)


def _shapes(config: Config) -> state_lib.TrainState:
  """What a saved state looks like, on one device."""
  return parallel.shapes(
    lambda: networks.init(config, seed=0), parallel.own_mesh()
  )


def _untrained(workdir: pathlib.Path, name: str) -> CheckpointError:
  return CheckpointError(
    f"{workdir} holds no '{name}' checkpoint yet; train with "
    f"`python -m launch.train --config=... --workdir={workdir}` first."
  )
