"""One experiment, from prepared data to its reports; every main's workhorse."""

import json
import os
import pathlib
import sys
import time
from typing import Any

import jax

from apppau_jax import progress as console
from apppau_jax.datasets import prepare
from apppau_jax.datasets.prepared import Prepared
from apppau_jax.errors import ConfigError, DataError, Interrupted
from apppau_jax.experiment import (
  data,
  data_gate,
  evaluate_run,
  networks,
  precompile,
  run_folder,
  schema,
)
from apppau_jax.experiment.assemble import assemble, plan
from apppau_jax.experiment.networks import Config
from apppau_jax.phantoms import draw_set
from apppau_jax.training import distributed, loop
from apppau_jax.training.state import parameter_count


def run(config: Config, folder: pathlib.Path) -> None:
  """Trains in `folder`, or goes on with what is there, then measures.

  Raises:
    UserError: of any kind; the run's manifest then says "failed", or
      "interrupted", and the same call goes on from the last checkpoint.
  """
  schema.check(config.to_dict())
  if not distributed.is_first():
    _run(config, folder)
    return
  with run_folder.alone(folder):  # of several processes the first one writes
    _run(config, folder)


def _run(config: Config, folder: pathlib.Path) -> None:
  first = distributed.is_first()
  with distributed.first_goes_first("phantoms"):
    ensure_phantoms(config)
  dataset = data.open_dataset(config)
  config = data.settled(config, dataset)
  tree = json.loads(json.dumps(config.to_dict()))  # as a file would have it
  if first:
    run_folder.claim(folder, tree)
  chosen = data.parts(config, dataset)
  data_sha256 = dataset.content_sha256
  _check_alike(tree, data_sha256)
  run_folder.check_same_data(folder, data_sha256=data_sha256, parts=chosen)
  found = data_gate.check(config, dataset, parts=chosen)
  if first:
    run_folder.write_findings(folder, found)
    run_folder.write_parts(folder, chosen)
  session: dict[str, Any] = {
    "environment": run_folder.environment(),
    "convolutions": networks.convolutions_by(config),
  }
  facts: dict[str, Any] = {
    "data_sha256": data_sha256,
    # Every process that worked on this run, the latest last.
    "sessions": [
      *run_folder.read_manifest(folder).get("sessions", []),
      session,
    ],
  }

  def note(status: str, **more) -> None:
    if first:
      run_folder.write_manifest(
        folder, status=status, config=tree, **facts, **more
      )

  note("running")
  try:
    began = time.time()
    if distributed.count() == 1:
      precompile.rehearse(config, chosen, steps=plan(config, chosen).steps)
    parts, state = assemble(
      config, chosen, dataset=dataset, workdir=folder, meta={"config": tree}
    )
    if first:
      _announce(config, chosen, parts, state)
    try:
      loop.run(parts, state)
    finally:
      session["minutes"] = round((time.time() - began) / 60, 2)
      parts.latest.close()
      parts.best.close()
    for part in ("validation", "test"):
      if first and getattr(chosen, part):
        evaluate_run.measure(folder, part=part, dataset=dataset)
      elif first:
        print(
          f"note: no {part} images of split {config.data.split} are at hand, "
          "so that part has no report",
          file=sys.stderr,
        )
  except BaseException as error:
    stopped = isinstance(error, Interrupted | KeyboardInterrupt)
    status = "interrupted" if stopped else "failed"
    note(status, error=str(error))
    raise
  note("done")
  if first:
    print(f"report: {folder / 'report.html'}")


def _check_alike(tree: dict[str, Any], data_sha256: str) -> None:
  """Every process of a run is given the same configuration and data.

  Raises:
    UserError: this one has others than the first.
  """
  me = f"process {jax.process_index()}"
  words = json.dumps(tree, sort_keys=True)
  if words != distributed.agree("config", words):
    raise ConfigError(
      f"{me} was given another configuration than process 0; start all of "
      "them with the same command."
    )
  if data_sha256 != distributed.agree("data", data_sha256):
    raise DataError(
      f"{me} has other prepared data in config.data.data_dir than process 0; "
      "prepare them alike on every host, or once where all can read them."
    )


def ensure_phantoms(config) -> None:
  """Builds the embedded default set; the others need their owner's files."""
  if config.data.dataset != "phantom":
    return
  where: dict[str, Any] = {"dataset": "phantom", **data.form(config)}
  if Prepared(**where).read_record():
    return
  with console.bar("drawing phantoms") as progress:
    raw_dir = draw_set.draw(
      config.data.data_dir, workers=os.cpu_count() or 1, progress=progress
    )
  with console.bar("preparing phantoms") as progress:
    prepare.prepare(raw_dir=raw_dir, progress=progress, **where)
  data_gate.keep_findings(data.open_dataset(config))


def _announce(config, chosen, parts, state) -> None:
  counts = {name: len(ids) for name, ids in chosen.as_dict().items()}
  other = ""
  if state.discriminator is not None:
    other = (
      f" against D ({parameter_count(state.discriminator.params):,} "
      f"parameters, {len(chosen.classes)} classes known)"
    )
  print(
    f"{config.model.preset} (base width {config.model.base_width}, "
    f"{parameter_count(state.segmentor.params):,} parameters){other}, "
    f"{config.loss.name}, {config.data.dataset} at {config.data.resolution} "
    f"px, split {config.data.split} {counts}, {parts.plan.steps} steps, "
    f"convolutions by {networks.convolutions_by(config)}",
    file=sys.stderr,
  )
