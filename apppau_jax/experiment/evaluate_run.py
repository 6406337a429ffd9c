"""From a run's folder to the reports of one part of its split."""

import pathlib
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from apppau_jax import files
from apppau_jax.checks import leakage
from apppau_jax.datasets import registry
from apppau_jax.datasets.dataset import Dataset
from apppau_jax.errors import ConfigError, DataError
from apppau_jax.experiment import data, loaded_run, networks, predictors
from apppau_jax.experiment import run_folder as workdir_lib
from apppau_jax.inference import prediction_masks
from apppau_jax.reports import evaluate, report
from apppau_jax.training import writer


def measure(
  *workdirs: pathlib.Path,
  part: str,
  dataset: Dataset | None = None,
  data_dir: str | None = None,
  output: pathlib.Path | None = None,
) -> None:
  """Writes the reports of `part` ("validation" or "test") of a run.

  Args:
    *workdirs: the run's folder; several runs are measured as one.
    part: "validation" or "test", as the first run's split has it.
    dataset: the run's prepared data, if they are open already.
    data_dir: prepared data, if they moved.
    output: folder to write to; of one run `eval/<part>` of its own.

  Raises:
    CheckpointError: no trained run there.
    ConfigError: runs that cannot be averaged, or several without `output`.
    DataError: the part's images are not at hand, or were trained on.
  """
  if len(workdirs) > 1 and output is None:
    raise ConfigError(
      f"{len(workdirs)} runs measured as one have no folder of their own: name "
      "one to write to with --output."
    )
  run = loaded_run.load(workdirs)
  config = run.config
  if data_dir:
    config.data.data_dir = data_dir
  dataset = dataset or data.open_dataset(config)
  split = data.parts(config, dataset)
  ids = getattr(split, part)
  _check_unused(run, ids, part=part)
  source = data.load(config, dataset, ids=ids)
  how = predictors.options(config)
  scored = evaluate.score(
    run.players,
    run.variables,
    source,
    options=how,
    structures=config.data.structures,
  )
  digest = dataset.content_sha256
  facts = {
    "dataset": config.data.dataset,
    "split": part,
    "split_name": config.data.split,
    "resolution": config.data.resolution,
    "bits": config.data.bits,
    **run.facts(),
    "threshold": how.threshold,
    "commit": workdir_lib.commit(),
    "data_sha256": digest,
    "notes": _notes(run, data_sha256=digest),
  }
  diagnosis = predictors.diagnosis(
    config,
    scored,
    label=source.label,
    temperature=1.0  # of several runs each has its own
    if run.is_ensemble
    else predictors.fit_temperature(
      config, run.variables, dataset=dataset, ids=split.validation
    ),
  )
  of = {entry.id: entry.source for entry in dataset.entries}
  numbers = evaluate.make_report(
    scored,
    facts=facts,
    diagnosis=diagnosis,
    of=[of[name] for name in scored.ids],
  )
  if registry.is_combined(config.data.dataset):
    for image in numbers["per_image"]:
      image["source"] = of[image["id"]]
  folder = output or workdirs[0] / "eval" / part
  if len(scored.packed):
    prediction_masks.write_predictions(
      folder / "predictions.npz",
      ids=scored.ids,
      prediction=np.unpackbits(scored.packed, axis=-1).astype(bool),
    )
  files.write_json(folder / "report.json", numbers)
  report.write_report(
    folder / "report.html",
    report=numbers,
    history=_history(run),
    cases=evaluate.pick_cases(
      run.players, run.variables, scored, source, options=how
    ),
    config=config.to_dict(),
    environment=workdir_lib.environment(),
  )
  if output is None:
    show(workdirs[0])
  _print(numbers, folder=folder)


def show(workdir: pathlib.Path) -> None:
  """Puts the test part's report, or else validation's, at the run's front."""
  for part in ("test", "validation"):
    page = workdir / "eval" / part / "report.html"
    if page.exists():
      files.write_bytes(workdir / "report.html", page.read_bytes())
      return


def _history(run: loaded_run.Finished) -> list[dict[str, Any]]:
  """A run's curves; several share none."""
  if run.is_ensemble:
    return []
  return writer.read_history(run.workdirs[0] / "metrics.jsonl")


def _check_unused(
  run: loaded_run.Finished, ids: Sequence[str], *, part: str
) -> None:
  """Refuses to measure a run on images that it has trained on."""
  measured = run.config.data.dataset
  for workdir, config in zip(run.workdirs, run.configs, strict=True):
    leaked = leakage.used_images(
      ids,
      part=part,
      dataset=measured,
      trained_on=config.data.dataset,
      splits=workdir / "splits.json",
    )
    if leaked:
      raise DataError(
        f"{len(leaked)} images of the {part} part were used to train or choose "
        f"the run {workdir} ({', '.join(leaked[:5])}). Evaluate a run with the "
        "data and the split it was trained on, and several runs only on images "
        "that none of them has used."
      )


def _notes(run: loaded_run.Finished, *, data_sha256: str) -> list[str]:
  config, notes = run.config, []
  if run.is_ensemble:
    notes.append(
      f"The mean of the probabilities of {len(run.workdirs)} networks: "
      f"{', '.join(folder.name for folder in run.workdirs)}. Clean-up, side "
      "outputs, attention and the configuration below are the first's."
    )
  for workdir in run.workdirs:
    manifest = workdir_lib.read_manifest(workdir)
    notes += workdir_lib.remarks(workdir)
    if manifest.get("status") in ("interrupted", "failed"):
      notes.append(f"The training was {manifest['status']} before its end.")
    if manifest.get("data_sha256") != data_sha256:
      notes.append("The prepared data are not those of the training.")
  notes = [*dict.fromkeys(notes)]  # once, though every member has it
  if config.eval.largest_components:
    notes.append(
      f"Only the {config.eval.largest_components} largest connected "
      "components of each prediction are kept."
    )
  if config.eval.test_time_augmentation:
    notes.append(
      "Test-time augmentation: masks are the mean over the image and its "
      "turned and zoomed views."
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
  if "phantom" in registry.parts(config.data.dataset):
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
