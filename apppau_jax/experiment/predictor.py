"""What launch.predict and launch.pacs need of runs or of an exported model."""

import hashlib
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from apppau_jax.deploy import artefact
from apppau_jax.errors import ConfigError
from apppau_jax.experiment import loading
from apppau_jax.inference.model import Model


class Predictor(NamedTuple):
  """A model, and what distinguishes it from every other in JSON's types."""

  model: Model
  identity: Mapping[str, Any]


def load(
  workdirs: Sequence[str | os.PathLike[str]],
  *,
  changes: Mapping[str, Any] | None = None,
) -> Predictor:
  """Loads runs as `loading.load_runs` does, or one folder of launch.export.

  Args:
    workdirs: run folders or model files, or one exported model.
    changes: values of keys to use instead of those of the training.

  Raises:
    CheckpointError: a folder without a model, or a damaged one.
    ConfigError: an exported model beside others, or with changes.
  """
  exported = [*filter(artefact.is_one, workdirs)]
  if not exported:
    runs = loading.load_runs(workdirs, changes=changes)
    return Predictor(runs.model, runs.identity())
  if len(workdirs) > 1 or changes:
    what = "averaged with others" if len(workdirs) > 1 else "changed by keys"
    raise ConfigError(
      f"--workdir={exported[0]} is an exported model, which cannot be {what}. "
      "Name the run that it was exported from."
    )
  folder = pathlib.Path(exported[0]).expanduser()
  facts = (folder / artefact.FACTS).read_bytes()
  return Predictor(
    artefact.load(folder), {"export_sha256": hashlib.sha256(facts).hexdigest()}
  )
