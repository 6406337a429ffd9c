"""From a run's folder to the reports of one part of its split."""

import pathlib
import shutil
import sys
from collections.abc import Mapping
from typing import Any

from apppau_jax import files
from apppau_jax.data import splits
from apppau_jax.errors import DataError
from apppau_jax.evaluation import evaluate, report
from apppau_jax.training import state, writer
from launch import assemble
from launch import workdir as workdir_lib


def measure(
  workdir: pathlib.Path, *, part: str, data_dir: str | None = None
) -> None:
  """Writes the reports of `part` ("validation" or "test") of a run.

  Raises:
    CheckpointError: no trained run there.
    DataError: the part's images are not at hand, or were trained on.
  """
  config = workdir_lib.read_config(workdir)
  if data_dir:
    config.data.data_dir = data_dir
  variables, step = assemble.trained(config, workdir=workdir)
  ids = getattr(assemble.split(config, assemble.catalogue(config)), part)
  _check_unseen(workdir, ids, part=part)
  loaded = assemble.load(config, ids)
  infer, how = assemble.predict(config, final=True), assemble.options(config)
  scored = evaluate.score(
    infer,
    variables,
    ids=loaded.ids,
    image=loaded.image,
    mask=loaded.mask,
    options=how,
  )
  facts = {
    "dataset": config.data.dataset,
    "split": part,
    "split_name": config.data.split,
    "resolution": config.data.resolution,
    "model": config.model.preset,
    "loss": config.loss.name,
    "checkpoint": config.eval.checkpoint,
    "checkpoint_step": step,
    "seed": config.seed,
    "threshold": how.threshold,
    "parameters": {"segmentor": state.parameter_count(variables["params"])},
    "commit": workdir_lib.commit(),
    "data_sha256": assemble.content_sha256(config),
    "notes": _notes(config, workdir_lib.read_manifest(workdir)),
  }
  numbers = evaluate.make_report(scored, facts=facts)
  folder = workdir / "eval" / part
  files.write_json(folder / "report.json", numbers)
  report.write_report(
    folder / "report.html",
    report=numbers,
    history=writer.read_history(workdir / "metrics.jsonl"),
    cases=evaluate.pick_cases(infer, variables, scored, options=how),
    config=config.to_dict(),
    environment=workdir_lib.environment(),
  )
  shutil.copyfile(folder / "report.html", workdir / "report.html")
  _print(numbers, folder=folder)


def _check_unseen(workdir: pathlib.Path, ids, *, part: str) -> None:
  """No image may be measured that this run has trained on."""
  seen = splits.read_splits(workdir / "splits.json")
  used = {*seen.train_labelled, *seen.train_unlabelled}
  if part == "test":
    used |= {*seen.validation}
  leaked = sorted(used.intersection(ids))
  if leaked:
    raise DataError(
      f"{len(leaked)} images of the {part} part were used to train or choose "
      f"this run ({', '.join(leaked[:5])}); its split and the prepared data "
      "no longer agree. Evaluate with the data it was trained on."
    )


def _notes(config, manifest: Mapping[str, Any]) -> list[str]:
  notes = []
  if manifest.get("status") in ("interrupted", "failed"):
    notes.append(f"The training was {manifest['status']} before its end.")
  if manifest.get("data_sha256") != assemble.content_sha256(config):
    notes.append("The prepared data are not those of the training.")
  if config.eval.largest_components:
    notes.append(
      f"Only the {config.eval.largest_components} largest connected "
      "components of each prediction are kept."
    )
  if config.eval.test_time_augmentation:
    notes.append(
      "Test-time augmentation: the mean over the image and its turned and "
      "zoomed views."
    )
  if config.data.dataset == "phantom":
    notes.append("Procedural phantoms, not patients.")
  return notes


def _print(numbers, *, folder: pathlib.Path) -> None:
  values = numbers["segmentation"]
  text = "  ".join(
    f"{name} {values[name]['mean']:.4f} ± {values[name]['sd']:.4f}"
    for name in ("dice", "jaccard", "average_hausdorff", "hausdorff95")
  )
  print(f"{numbers['split']} (n = {numbers['n']}): {text}")
  print(f"wrote {folder}", file=sys.stderr)
