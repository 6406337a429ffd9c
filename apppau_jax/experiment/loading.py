"""From run folders to models that predict."""

import collections
import dataclasses
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from apppau_jax.deploy import artefact
from apppau_jax.errors import CheckpointError, ConfigError
from apppau_jax.experiment import (
  model_file,
  networks,
  restoring,
  run_files,
  run_folder,
)
from apppau_jax.experiment.model_file import ModelFile
from apppau_jax.experiment.networks import Config
from apppau_jax.inference import steps
from apppau_jax.inference.member import Member
from apppau_jax.inference.model import Model
from apppau_jax.models import feature_classifier
from apppau_jax.training import compile_notice, parallel
from apppau_jax.training.state import (
  CLASSIFIER,
  DISCRIMINATOR,
  SEGMENTOR,
  Variables,
  parameter_count,
)

PathLike = str | os.PathLike[str]
# What the runs of an ensemble must share for their means to be meaningful.
_SHARED = ("resolution", "bits")


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoadedRuns:
  """A trained run, or several whose predictions are averaged.

  Attributes:
    workdirs: the runs' folders.
    configs: their configurations. Of several the first one decides which data
      are evaluated and how probabilities become masks.
    steps: of the checkpoints.
    parameters: number of each network's, of all runs together.
    model: what predicts.
    evaluated: the first configuration with another data set to evaluate on.
    changes: values of keys that differ from those of the training.
  """

  workdirs: tuple[pathlib.Path, ...]
  configs: tuple[Config, ...]
  steps: tuple[int, ...]
  parameters: Mapping[str, int]
  model: Model
  evaluated: Config | None = None
  changes: Mapping[str, Any] = dataclasses.field(default_factory=dict)

  @property
  def config(self) -> Config:
    """The configuration of the run, or of the first."""
    return self.evaluated or self.configs[0]

  @property
  def is_ensemble(self) -> bool:
    """Whether there are several runs."""
    return len(self.workdirs) > 1

  def facts(self) -> dict[str, Any]:
    """What a report states of them: values of one run, lists of several."""
    each = {
      "model": [c.model.preset for c in self.configs],
      "loss": [c.loss.name for c in self.configs],
      "checkpoint": [c.eval.checkpoint for c in self.configs],
      "checkpoint_step": [*self.steps],
      "seed": [c.seed for c in self.configs],
    }
    values = {k: v if self.is_ensemble else v[0] for k, v in each.items()}
    return values | {"parameters": dict(self.parameters)}

  def identity(self) -> dict[str, Any]:
    """What distinguishes the model from every other, in JSON's types."""
    facts = self.facts()
    return run_folder.identity(self.workdirs) | {
      "checkpoint": facts["checkpoint"],
      "step": facts["checkpoint_step"],
      **({"changed": dict(self.changes)} if self.changes else {}),
    }


def load(workdirs: PathLike | Sequence[PathLike] | None = None) -> Model:
  """Loads a trained run, several as an ensemble, or the model in the box.

  Args:
    workdirs: the folder of a run, a model file (see `model_file`) or "box", or
      several of these; or a folder of launch.export. An ensemble averages their
      probabilities; the settings of the first one decide how these become
      masks. "box" or None: the model that the package carries, which was
      trained on phantoms alone.

  Returns:
    A model whose class probabilities are calibrated as in the runs' reports.

  Raises:
    CheckpointError: a folder without a trained run, or a temperature that was
      never fitted.
    ConfigError: a folder named twice, or runs that predict different things.
  """
  if workdirs is None:
    workdirs = model_file.BOX
  one = isinstance(workdirs, str | os.PathLike)
  if one and artefact.is_one(workdirs):
    return artefact.load(workdirs)
  return load_runs([workdirs] if one else workdirs).model


def load_runs(
  workdirs: Sequence[PathLike],
  *,
  calibrated: bool = True,
  changes: Mapping[str, Any] | None = None,
) -> LoadedRuns:
  """Loads runs with what their reports state of them; see `load`.

  Args:
    workdirs: the runs' folders.
    calibrated: whether to apply the runs' temperatures; False where that of a
      single run is about to be fitted.
    changes: values of keys such as `eval.threshold` to use instead of those of
      the training.
  """
  compile_notice.announce(minutes=1)
  folders = [model_file.find(folder) for folder in workdirs]
  if len({folder.resolve() for folder in folders}) < len(folders):
    raise ConfigError(
      "The same --workdir is named twice; name each run of an ensemble once."
    )
  trained = [
    read(folder, calibrated=calibrated, changes=changes) for folder in folders
  ]
  configs = [one.config for one in trained]
  _check_shared(folders, configs)
  parameters = collections.Counter[str]()
  for one in trained:
    for name, tree in one.variables.items():
      if name != CLASSIFIER or one.config.classifier.enabled:
        parameters[name] += parameter_count(tree["params"])
  members = [
    member(one.config, one.variables, final=True, temperature=one.temperature)
    for one in trained
  ]
  for folder, one in zip(folders, members):
    if folder.is_file():
      _check_arrays(folder, one, configs[0])
  return LoadedRuns(
    workdirs=tuple(folders),
    configs=tuple(configs),
    steps=tuple(one.step for one in trained),
    parameters=parameters,
    model=model(configs[0], members),
    changes=changes or {},
  )


def read(
  folder: pathlib.Path,
  *,
  calibrated: bool = True,
  changes: Mapping[str, Any] | None = None,
) -> ModelFile:
  """Reads the weights of a run folder or of a model file, see `load_runs`."""
  if folder.is_file():
    found = model_file.read(folder)
    if found.config.classifier.enabled and CLASSIFIER not in found.variables:
      raise CheckpointError(
        f"{folder} states a classifier and has no arrays of it. Get it again, "
        "or name a trained run."
      )
    return dataclasses.replace(found, config=changed(found.config, changes))
  config = changed(run_files.read_config(folder), changes)
  variables, step = restoring.weights(config, workdir=folder)
  scale = restoring.temperature(config, workdir=folder) if calibrated else 1.0
  return ModelFile(
    config=config, variables=variables, step=step, temperature=scale
  )


def _check_arrays(folder: pathlib.Path, one: Member, config: Config) -> None:
  """Refuses a model file whose arrays are not those of its networks.

  Comparing them with `shapes` would take seconds.
  """
  try:
    one.check(config.data.resolution, bits=config.data.bits)
  except ValueError as error:
    raise CheckpointError(
      f"{folder} does not have the arrays of the networks that it describes "
      f"({error}). Get it again, or name a trained run."
    ) from error


def changed(config: Config, changes: Mapping[str, Any] | None) -> Config:
  """Returns a configuration with other values of some keys.

  Raises:
    ConfigError: a value out of range.
  """
  return Config.from_dict({**config.flat(), **(changes or {})})


def model(
  config: Config,
  members: Sequence[Member],
  *,
  mesh: parallel.Mesh | None = None,
) -> Model:
  """The model of trained networks, with a configuration's settings."""
  classify = all(one.discriminator is not None for one in members)
  return Model(
    members,
    resolution=config.data.resolution,
    bits=config.data.bits,
    structures=networks.structures(config),
    class_names=_class_names(config) if classify else (),
    multi_label=networks.is_multi_label(config),
    threshold=config.eval.threshold,
    largest_components=config.eval.largest_components,
    batch_size=config.eval.batch_size,
    mesh=mesh,
  )


def member(
  config: Config,
  variables: Mapping[str, Variables],
  *,
  final: bool,
  temperature: float = 1.0,
) -> Member:
  """The networks of a run with their weights.

  Args:
    config: of the run.
    variables: weights by network.
    final: whether test-time augmentation, where it is on, applies.
    temperature: of the class probabilities.
  """
  augmented = final and config.eval.test_time_augmentation
  classifier, weights_of_it = None, None
  if config.classifier.enabled and CLASSIFIER in variables:
    classifier = networks.feature_classifier(config)
    weights_of_it = feature_classifier.joined(
      variables[CLASSIFIER], variables[SEGMENTOR]
    )
  elif networks.learns_classes(config):
    classifier = networks.discriminator(config)
    weights_of_it = variables.get(DISCRIMINATOR)  # None is refused later
  return Member(
    networks.segmentor(config),
    variables[SEGMENTOR],
    discriminator=classifier,
    discriminator_variables=weights_of_it,
    normalization=config.data.normalize,
    views=steps.VIEWS if augmented else (),
    temperature=temperature,
  )


def restore(config: Config, *, workdir: pathlib.Path) -> Model:
  """The model of one run, its class probabilities not calibrated."""
  variables, _ = restoring.weights(config, workdir=workdir)
  return model(config, [member(config, variables, final=True)])


def _check_shared(
  workdirs: Sequence[pathlib.Path], configs: Sequence[Config]
) -> None:
  """Refuses to average runs that predict different things."""

  def shared(config: Config) -> dict[str, Any]:
    values = {f"data.{key}": getattr(config.data, key) for key in _SHARED}
    return values | {
      "classes": _class_names(config),
      "data.diagnosis": config.data.diagnosis,
      "masks": networks.structures(config) or ("lungs",),
    }

  first = shared(configs[0])
  for workdir, config in zip(workdirs, configs):
    differ = [
      f"{key} {first[key]!r} and {value!r}"
      for key, value in shared(config).items()
      if first[key] != value
    ]
    if differ:
      raise ConfigError(
        f"--workdir={workdirs[0]} and --workdir={workdir} cannot be averaged: "
        f"they have {'; '.join(differ)}."
      )


def _class_names(config: Config) -> tuple[str, ...]:
  """The classes that the discriminator learnt."""
  classifies = networks.has_classes(config)
  return networks.class_names(config) if classifies else ()
