"""manifest.json of a run while it is made."""

import contextlib
import pathlib
import time
from typing import Any

from apppau_jax import progress
from apppau_jax.config import Config
from apppau_jax.datasets.dataset import Dataset
from apppau_jax.experiment import (
  networks,
  provenance,
  run_files,
  run_folder,
  start_from,
)
from apppau_jax.training import distributed


class Record:
  """manifest.json of a run, which the first process writes."""

  def __init__(
    self,
    folder: pathlib.Path,
    settings: dict[str, Any],
    *,
    dataset: Dataset,
    config: Config,
  ):
    self._folder, self._settings = folder, settings
    self._session: dict[str, Any] = {
      "environment": provenance.environment(),
      "convolutions": networks.convolutions_by(config),
    }
    manifest = run_files.read_manifest(folder)
    earlier = manifest.get("sessions", [])
    history = ("start_from", "lengthened")
    began = {k: v for k, v in manifest.items() if k in history}
    if not run_folder.is_trained(folder):
      began = start_from.identity(config)
    self._facts: dict[str, Any] = {
      "data_sha256": dataset.content_sha256,
      **began,
      # Every process that worked on this run, the latest last.
      "sessions": [*earlier, self._session],
    }

  def lengthen(self, before: int, config: Config) -> None:
    """Notes that a finished run gets more epochs, and says what follows."""
    earlier = self._facts.get("lengthened", [])
    change = {"from": before, "to": config.train.epochs}
    self._facts["lengthened"] = [*earlier, change]
    progress.LOG.info(
      "note: a finished run of %d epochs goes on to %d; from here on its "
      "schedule (%s) is that of a run of %d epochs, so it is not the same as "
      "one that was that long from the start",
      before,
      config.train.epochs,
      config.optim.schedule,
      config.train.epochs,
    )

  def write(self, status: str, **more: str) -> None:
    """Replaces manifest.json."""
    if distributed.is_first():
      run_folder.write_manifest(
        self._folder,
        status=status,
        config=self._settings,
        **self._facts,
        **more,
      )

  @contextlib.contextmanager
  def session(self):
    """Notes how many minutes the training took."""
    began = time.monotonic()
    try:
      yield
    finally:
      self._session["minutes"] = round((time.monotonic() - began) / 60, 2)
