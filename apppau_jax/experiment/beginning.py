"""What precedes the training of a run: its data, its folder, its record."""

import contextlib
import dataclasses
import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import jax

from apppau_jax import progress
from apppau_jax.config import Config
from apppau_jax.datasets import prepare
from apppau_jax.datasets.dataset import Dataset
from apppau_jax.datasets.parts import Parts
from apppau_jax.datasets.prepared import Prepared
from apppau_jax.errors import ConfigError, DataError, Interrupted
from apppau_jax.experiment import (
  assemble,
  data,
  data_gate,
  run_folder,
  run_record,
  start_from,
  step_checks,
)
from apppau_jax.phantoms import draw_set
from apppau_jax.training import distributed, loop
from apppau_jax.training.state import TrainState


@dataclasses.dataclass(frozen=True, kw_only=True)
class Begun:
  """A run whose folder is claimed and whose data are checked.

  Attributes:
    config: the configuration, completed from the data.
    settings: the same as config.json has it.
    folder: the run folder.
    dataset: the prepared data.
    parts: which images train, validate and test.
    record: manifest.json.
  """

  config: Config
  settings: dict[str, Any]
  folder: pathlib.Path
  dataset: Dataset
  parts: Parts
  record: run_record.Record

  @contextlib.contextmanager
  def recorded(self, *, last: bool) -> Iterator[None]:
    """Note in the record how what follows ends.

    Args:
      last: whether the run is done after it.
    """
    self.record.write("running")
    try:
      yield
    except BaseException as error:
      stopped = isinstance(error, Interrupted | KeyboardInterrupt)
      with contextlib.suppress(
        OSError
      ):  # such as a full disk, the error itself
        self.record.write(
          "interrupted" if stopped else "failed", error=str(error)
        )
      raise
    if last:
      self.record.write("done")

  def assemble(self) -> tuple[loop.Run, TrainState]:
    """Return the parts of the training and its first state."""
    run, state = assemble.assemble(
      self.config,
      self.parts,
      dataset=self.dataset,
      workdir=self.folder,
      meta={"config": self.settings},
    )
    if not run_folder.is_trained(self.folder):
      state = start_from.start(self.config, state)
    return run, state


def begin(config: Config, folder: pathlib.Path) -> Begun:
  """Claim the folder of a run and check its data; the folder is locked.

  Raises:
    ConfigError: the folder holds another run.
    DataError: the data set is not prepared, damaged or not what the run began
      with.
  """
  first = distributed.is_first()
  with distributed.first_goes_first("phantoms"):
    ensure_phantoms(config)
  dataset = data.open_dataset(config)
  config = data.settled(config, dataset)
  settings = json.loads(json.dumps(config.to_dict()))  # as config.json has it
  before = None
  if first:
    before = run_folder.claim(folder, settings, may_lengthen=True)
  parts = data.parts(config, dataset)
  _check_processes_agree(settings, dataset)
  run_folder.check_same_data(
    folder, data_sha256=dataset.content_sha256, parts=parts
  )
  if config.classifier.enabled:
    labels = data.load_with_classes(config, dataset, parts=parts, lazy=True)
    step_checks.check_classes(config, labels=labels.label)
  findings = data_gate.check(config, dataset, parts=parts)
  if first:
    run_folder.write_findings(folder, findings)
    run_folder.write_parts(folder, parts)
  record = run_record.Record(folder, settings, dataset=dataset, config=config)
  if before is not None:
    record.lengthen(before, config)
  return Begun(
    config=config,
    settings=settings,
    folder=folder,
    dataset=dataset,
    parts=parts,
    record=record,
  )


def _check_processes_agree(settings: dict[str, Any], dataset: Dataset) -> None:
  """Refuses processes of one run that differ in configuration or data.

  Raises:
    ConfigError: this process has another configuration than the first one.
    DataError: likewise, other prepared data.
  """
  me = f"process {jax.process_index()}"
  text = json.dumps(settings, sort_keys=True)
  if text != distributed.agree("config", text):
    raise ConfigError(
      f"{me} has another configuration than process 0; start all processes "
      "with the same command."
    )
  digest = dataset.content_sha256
  if digest != distributed.agree("data", digest):
    raise DataError(
      f"{me} has other prepared data in config.data.data_dir than process 0; "
      "prepare them alike on every host, or once where all hosts can read them."
    )


def ensure_phantoms(config: Config) -> None:
  """Draws and prepares the phantom set if the configuration asks for it.

  Other data sets need their owner's files and are left alone.
  """
  if config.data.dataset != "phantom":
    return
  where = {
    "data_dir": config.data.data_dir,
    "resolution": config.data.resolution,
    "bits": config.data.bits,
  }
  if Prepared(dataset="phantom", **where).read_record():
    return
  with progress.bar("drawing phantoms") as update:
    raw_dir = draw_set.draw(
      config.data.data_dir, workers=os.cpu_count() or 1, progress=update
    )
  with progress.bar("preparing phantoms") as update:
    prepare.prepare("phantom", raw_dir=raw_dir, progress=update, **where)
  data_gate.keep_findings(data.open_dataset(config))
