"""From a run's folder to the reports of one part of its split."""

import pathlib
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from apppau_jax import files
from apppau_jax.data import sets, splits, stored
from apppau_jax.errors import DataError
from apppau_jax.evaluation import evaluate, report, saved
from apppau_jax.training import state, writer
from launch import workdir as workdir_lib
from launch.assemble import data, inference, networks, trained


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
  variables, step = trained.weights(config, workdir=workdir)
  known = data.catalogue(config)
  split = data.parts(config, known).split
  source = _load_unseen(config, split, part=part, workdir=workdir)
  players = inference.players(config, final=True)
  how = inference.options(config)
  scored = evaluate.score(
    players,
    variables,
    source,
    options=how,
    structures=config.data.structures,
  )
  facts = {
    "dataset": config.data.dataset,
    "split": part,
    "split_name": config.data.split,
    "resolution": config.data.resolution,
    "bits": config.data.bits,
    "model": config.model.preset,
    "loss": config.loss.name,
    "checkpoint": config.eval.checkpoint,
    "checkpoint_step": step,
    "seed": config.seed,
    "threshold": how.threshold,
    "parameters": {
      player: state.parameter_count(tree["params"])
      for player, tree in variables.items()
    },
    "commit": workdir_lib.commit(),
    "data_sha256": data.content_sha256(config),
    "notes": [
      *workdir_lib.remarks(workdir),
      *_notes(config, workdir_lib.read_manifest(workdir)),
    ],
  }
  diagnosis = inference.diagnosis(
    config,
    scored,
    label=source.label,
    temperature=inference.fit_temperature(
      config, variables, ids=split.validation
    ),
  )
  of = {entry.id: entry.source for entry in known.entries}
  numbers = evaluate.make_report(
    scored,
    facts=facts,
    diagnosis=diagnosis,
    of=[of[name] for name in scored.ids],
  )
  if sets.is_combined(config.data.dataset):
    for image in numbers["per_image"]:
      image["source"] = of[image["id"]]
  folder = workdir / "eval" / part
  if len(scored.packed):
    saved.write_predictions(
      folder / "predictions.npz",
      ids=scored.ids,
      prediction=np.unpackbits(scored.packed, axis=-1).astype(bool),
    )
  files.write_json(folder / "report.json", numbers)
  report.write_report(
    folder / "report.html",
    report=numbers,
    history=writer.read_history(workdir / "metrics.jsonl"),
    cases=evaluate.pick_cases(players, variables, scored, source, options=how),
    config=config.to_dict(),
    environment=workdir_lib.environment(),
  )
  show(workdir)
  _print(numbers, folder=folder)


def show(workdir: pathlib.Path) -> None:
  """Puts the test part's report, or else validation's, at the run's front."""
  for part in ("test", "validation"):
    page = workdir / "eval" / part / "report.html"
    if page.exists():
      files.write_bytes(workdir / "report.html", page.read_bytes())
      return


def _load_unseen(
  config, split: splits.Split, *, part: str, workdir: pathlib.Path
) -> stored.Source:
  """The part's images; none may be measured that this run has trained on."""
  ids = getattr(split, part)
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
  return data.load(config, ids)


def _notes(config, manifest: Mapping[str, Any]) -> list[str]:
  notes = []
  if manifest.get("status") in ("interrupted", "failed"):
    notes.append(f"The training was {manifest['status']} before its end.")
  if manifest.get("data_sha256") != data.content_sha256(config):
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
  if networks.learns_classes(config) and config.eval.temperature_scaling:
    notes.append(
      "Class probabilities are scaled by a temperature fitted on the "
      "validation images: their own ECE and Brier score flatter."
    )
  if config.data.structures:
    notes.append(
      "Segmentation is the mean over the structures of each image; images "
      "without the outline of one of them are not measured."
    )
  if "phantom" in sets.parts(config.data.dataset):
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
