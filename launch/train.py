"""Trains a segmentor, then evaluates it: raw shards in, report.html out.

  python -m launch.train --config=configs/phantom.py --workdir=runs/phantom

The same command goes on with a run that was stopped, killed or extended by
nothing: it ends in the parameters the uninterrupted run would have had.
"""

import json
import os
import pathlib
import sys
import time
from typing import Any

from absl import flags
from ml_collections import config_flags

from apppau_jax.errors import ConfigError, Interrupted
from launch import cli, runtime, schema

_CONFIG = config_flags.DEFINE_config_file(
  "config", None, "configs/NAME.py, or configs/NAME.py:quick"
)
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of this run.")


def _config() -> tuple[Any, dict[str, Any], pathlib.Path]:
  """The checked configuration, its plain form and the run's folder."""
  if _CONFIG.value is None or not _WORKDIR.value:
    raise ConfigError(
      "Both --config and --workdir are needed, for instance --config="
      "configs/phantom.py --workdir=runs/phantom."
    )
  tree = _CONFIG.value.to_dict()
  schema.check(tree)
  plain = json.loads(json.dumps(tree))
  return _CONFIG.value, plain, pathlib.Path(_WORKDIR.value).expanduser()


def main() -> None:
  """Prepares, trains, evaluates."""
  config, tree, folder = _config()
  runtime.set_up()
  from apppau_jax.training import loop
  from launch import measure, workdir
  from launch.assemble import data
  from launch.assemble.run import assemble

  workdir.claim(folder, tree)
  _ensure_phantoms(config)
  chosen = data.parts(config, data.catalogue(config))
  data_sha256 = data.content_sha256(config)
  workdir.check_same_data(folder, data_sha256=data_sha256, parts=chosen)
  workdir.write_parts(folder, chosen)
  session: dict[str, Any] = {"environment": workdir.environment()}
  facts: dict[str, Any] = {
    "data_sha256": data_sha256,
    # Every process that worked on this run, the latest last.
    "sessions": [*workdir.read_manifest(folder).get("sessions", []), session],
  }
  workdir.write_manifest(folder, status="running", config=tree, **facts)
  try:
    began = time.time()
    run, state = assemble(config, chosen, workdir=folder, meta={"config": tree})
    _announce(config, chosen, run, state)
    loop.run(run, state)
    session["minutes"] = round((time.time() - began) / 60, 2)
    for part in ("validation", "test"):
      if getattr(chosen.split, part):
        measure.measure(folder, part=part)
  except BaseException as error:
    stopped = isinstance(error, Interrupted | KeyboardInterrupt)
    status = "interrupted" if stopped else "failed"
    workdir.write_manifest(
      folder, status=status, config=tree, **facts, error=str(error)
    )
    raise
  workdir.write_manifest(folder, status="done", config=tree, **facts)
  print(f"report: {folder / 'report.html'}")


def _ensure_phantoms(config) -> None:
  """Builds the embedded default set; the others need their owner's files."""
  if config.data.dataset != "phantom":
    return
  from apppau_jax.data import manifest, phantom_set, prepare
  from launch import console

  where = {"dataset": "phantom", "resolution": config.data.resolution}
  if manifest.read(prepare.prepared_folder(config.data.data_dir, **where)):
    return
  with console.bar("drawing phantoms") as progress:
    raw_dir = phantom_set.draw(
      config.data.data_dir, workers=os.cpu_count() or 1, progress=progress
    )
  with console.bar("preparing phantoms") as progress:
    prepare.prepare(
      raw_dir=raw_dir, data_dir=config.data.data_dir, progress=progress, **where
    )


def _announce(config, chosen, run, state) -> None:
  from apppau_jax.training.state import parameter_count

  counts = {name: len(ids) for name, ids in chosen.split.as_dict().items()}
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
    f"px, split {config.data.split} {counts}, {run.plan.steps} steps",
    file=sys.stderr,
  )


if __name__ == "__main__":
  cli.run(main)
