"""One run from prepared data to its reports: `fit`."""

import contextlib
import dataclasses
import os
import pathlib
from typing import Any

from apppau_jax import progress
from apppau_jax.config import Config
from apppau_jax.errors import CheckpointError
from apppau_jax.experiment import (
  beginning,
  classifier,
  evaluate_run,
  loading,
  model_file,
  networks,
  provenance,
  recipe_file,
  run_files,
  run_folder,
  small_parts,
  weights_file,
)
from apppau_jax.inference import Model
from apppau_jax.training import compile_notice, distributed, loop, writer
from apppau_jax.training.state import parameter_count

PARTS = ("validation", "test")
_SHORT = 50  # steps, of a recipe's `:quick`


@dataclasses.dataclass(frozen=True)
class Run:
  """A run folder.

  Attributes:
    workdir: the folder.
  """

  workdir: pathlib.Path

  def report(self, part: str = "test") -> dict[str, Any]:
    """Returns the content of eval/PART/report.json.

    Args:
      part: "validation" or "test".

    Raises:
      CheckpointError: that part was not evaluated, or the file is damaged.
    """
    report = run_files.read_report(self.workdir, part)
    if not report:
      raise CheckpointError(
        f"{self.workdir} has no report of its {part} part. Either no image of "
        "that part is available, or the run did not finish."
      )
    return report

  def model(self) -> Model:
    """Returns the trained model, ready to predict."""
    return loading.load(self.workdir)

  @property
  def evaluated_parts(self) -> tuple[str, ...]:
    """Those of "validation" and "test" that have a report."""
    reports = (self.workdir / "eval" / part / "report.json" for part in PARTS)
    return tuple(path.parent.name for path in reports if path.exists())

  @property
  def history(self) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl, in the order of the steps."""
    return writer.read_history(self.workdir / "metrics.jsonl")


def fit(
  config: Any, *, workdir: str | os.PathLike[str], verbose: bool = False
) -> Run:
  """Trains a configuration in a run folder, then evaluates it.

  A run that was interrupted is resumed; the parameters at its end are bitwise
  those of an uninterrupted run. Phantoms are drawn if they are not there yet.

  Args:
    config: a `Config`, an `ml_collections.ConfigDict` with the same keys, or
      the path of a recipe such as "configs/phantom.py:quick".
    workdir: the run folder; created if it does not exist.
    verbose: whether to show messages and progress on standard error.

  Returns:
    The run: its reports, its history and its model.

  Raises:
    ConfigError: a key or value that cannot be used, or a folder that holds
      another run.
    DataError: the data set is not prepared, damaged or not what the run began
      with.
    NumericError: a loss or gradient is not finite.
    Interrupted: a signal stopped the run; it is saved.

  Example:
    >>> import apppau_jax as ap
    >>> run = ap.fit("configs/phantom.py", workdir="runs/a")  # doctest: +SKIP
    >>> run.report("test")["segmentation"]["dice"]  # doctest: +SKIP
  """
  config = recipe_file.to_config(config)
  config.check()
  folder = pathlib.Path(workdir).expanduser()
  with contextlib.ExitStack() as stack:
    if verbose:
      stack.enter_context(progress.verbose())
    if distributed.is_first():  # of several processes the first one writes
      stack.enter_context(run_folder.locked(folder))
    _fit(config, folder)
  return Run(folder)


def _fit(config: Config, folder: pathlib.Path) -> None:
  begun = beginning.begin(config, folder)
  with begun.recorded(last=True):
    with begun.record.session():
      _train(begun)
    if distributed.is_first():
      _fit_classifier(begun)
      _evaluate(begun)
      _keep_weights(begun.config, folder)
  if distributed.is_first() and not begun.config.train.keep_checkpoints:
    weights_file.clear(folder)


def _train(begun: beginning.Begun) -> None:
  if weights_file.is_alone(begun.folder):
    progress.LOG.info(
      "note: this run is finished and its checkpoints were cleared; it is "
      "evaluated only"
    )
    return
  run, state = begun.assemble()
  _announce(begun.config, begun.parts, run, state)
  compile_notice.announce(minutes=3 if len(state.players) > 1 else 1)
  try:
    loop.run(run, state)
  finally:
    run.latest.close()
    run.best.close()


def _fit_classifier(begun: beginning.Begun) -> None:
  folder = begun.folder
  if begun.config.classifier.enabled and not weights_file.is_alone(folder):
    classifier.fit(
      begun.config, begun.dataset, parts=begun.parts, workdir=folder
    )


def _evaluate(begun: beginning.Begun) -> None:
  for part in PARTS:
    if getattr(begun.parts, part):
      evaluate_run.evaluate(begun.folder, part=part, dataset=begun.dataset)
    else:
      progress.LOG.info(
        "note: no %s image of split %s is available, so that part has no "
        "report",
        part,
        begun.config.data.split,
      )


def _keep_weights(config: Config, folder: pathlib.Path) -> None:
  """Writes model.safetensors, the weights that are evaluated."""
  if weights_file.is_alone(folder):
    return
  calibrated = bool(run_files.read_report(folder, "validation"))
  found = loading.read(folder, calibrated=calibrated)
  card = weights_file.card(config.eval.checkpoint)
  model_file.write(
    weights_file.path(folder), dataclasses.replace(found, card=card)
  )


def _announce(config, parts, run, state) -> None:
  sizes = ", ".join(
    f"{name.replace('_', ' ')} {parameter_count(player.params):,} parameters"
    for name, player in state.players.items()
  )
  progress.LOG.info(
    "%s (base width %d; %s), loss %s, on %s, convolutions by %s",
    config.model.preset,
    config.model.base_width,
    sizes,
    config.loss.name,
    provenance.devices(),
    networks.convolutions_by(config),
  )
  progress.LOG.info(
    "%s at %d px, split %s: %s; %d steps",
    config.data.dataset,
    config.data.resolution,
    config.data.split,
    parts.counts(),
    run.plan.steps,
  )
  if run.plan.steps <= _SHORT:
    progress.LOG.info(
      "note: this run is so short that most of its time goes into compiling"
    )
  for part in PARTS:
    if note := small_parts.few_images(part, len(getattr(parts, part))):
      progress.LOG.info("note: %s", note)
