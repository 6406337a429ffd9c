"""model.safetensors of a run folder: its evaluated weights in one file.

It is what remains of a run whose checkpoints are cleared
(`train.keep_checkpoints=False`); such a run can be evaluated, predict and be
started from, but not be lengthened.
"""

import pathlib
import shutil

from apppau_jax.errors import CheckpointError
from apppau_jax.experiment.model_file import SUFFIX, ModelFile

_CHECKPOINT = "checkpoint"  # in the card: which weights these are


def path(workdir: pathlib.Path) -> pathlib.Path:
  """Returns the file of a run folder."""
  return workdir / f"model{SUFFIX}"


def is_alone(workdir: pathlib.Path) -> bool:
  """Returns whether the file is all that remains of the weights."""
  return path(workdir).is_file() and not (workdir / "checkpoints").is_dir()


def card(checkpoint: str) -> dict[str, str]:
  """Returns what the card of the file states: "best" or "latest" weights."""
  return {_CHECKPOINT: checkpoint}


def check(workdir: pathlib.Path, found: ModelFile, *, checkpoint: str) -> None:
  """Makes sure that the file holds the weights that are asked for.

  Raises:
    CheckpointError: it holds others, and the checkpoints were cleared.
  """
  has = found.card.get(_CHECKPOINT)
  if has != checkpoint:
    raise CheckpointError(
      f"{path(workdir)} holds the {has!r} weights, and the checkpoints of "
      f"{workdir} were cleared, so that its {checkpoint!r} weights are gone."
    )


def clear(workdir: pathlib.Path) -> None:
  """Deletes the checkpoints once the file is there."""
  if path(workdir).is_file():
    gone = workdir / ".checkpoints-cleared"
    (workdir / "checkpoints").rename(gone)  # all of them or none
    shutil.rmtree(gone)
