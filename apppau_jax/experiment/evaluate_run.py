"""From run folders to the report of one part of their split."""

import copy
import dataclasses
import pathlib
from collections.abc import (
  Callable,
  Iterable,
  Iterator,
  Mapping,
  Sequence,
)
from typing import Any

import numpy as np

from apppau_jax import files, progress
from apppau_jax.checks import leakage
from apppau_jax.datasets import registry
from apppau_jax.datasets.dataset import Dataset
from apppau_jax.datasets.entry import Entry
from apppau_jax.datasets.examples import Source
from apppau_jax.datasets.parts import Parts
from apppau_jax.errors import ConfigError, DataError
from apppau_jax.experiment import (
  data,
  loading,
  model_file,
  networks,
  own_size,
  provenance,
  report_notes,
  small_parts,
)
from apppau_jax.inference import prediction_masks
from apppau_jax.inference.model import Model
from apppau_jax.inference.outputs import Outputs
from apppau_jax.metrics import classification
from apppau_jax.reports import evaluate as evaluation
from apppau_jax.reports import figures, metric_names, report
from apppau_jax.training import writer


def evaluate(
  *workdirs: loading.PathLike,
  part: str,
  data_dir: str | None = None,
  other: tuple[str, str] | None = None,
  output: pathlib.Path | None = None,
  dataset: Dataset | None = None,
  changes: Mapping[str, Any] | None = None,
  save_probability: bool = False,
  raw_dir: str | None = None,
) -> dict[str, Any]:
  """Evaluates a run on a part of its split and writes the report.

  Args:
    *workdirs: the run's folder; several runs are evaluated as an ensemble.
    part: "validation" or "test", by the first run's split.
    data_dir: prepared data, if they moved.
    other: name and split of another data set to evaluate the run on. A run
      with structures is measured by the union of its lungs, without classes.
    output: folder to write to; by default a single run's `eval/<part>`.
    dataset: the data set, if it is open already.
    changes: values of keys such as `eval.threshold` for this evaluation.
    save_probability: also write probabilities.npz: `ids`, and `probability`,
      uint16 `[n, h, w]` or `[n, h, w, k]`, 65535 where it is 1.
    raw_dir: the raw files; also measure at the size of the films.

  Returns:
    The content of report.json.

  Raises:
    CheckpointError: no trained run there.
    ConfigError: runs that cannot be averaged, or several runs, another data
      set, changes or a model file without `output`.
    DataError: images that are missing, or that a run was trained on.
  """
  folders = [model_file.find(folder) for folder in workdirs]
  alone = len(folders) == 1 and other is None and not folders[0].is_file()
  # With changes, what the run itself reports stays.
  if output is None and (changes or not alone):
    raise ConfigError(
      "Several runs, another data set, changed settings and a model file have "
      "no folder of their own for the report: name one to write to with "
      "--output."
    )
  runs = loading.load_runs(
    folders, calibrated=len(folders) > 1, changes=changes
  )
  if other is not None:
    runs = _on_another(runs, *other)
  config, model = runs.config, runs.model
  if data_dir:
    config.data.data_dir = data_dir
  dataset = dataset or data.open_dataset(config)
  parts = data.parts(config, dataset)
  ids = getattr(parts, part)
  more = None
  if model.class_names:
    more = data.load_classes(config, dataset, parts=parts, part=part)
  _check_unused(runs, (*ids, *(more.ids if more else ())), part=part)
  source = data.load(config, dataset, ids=ids, part=part)
  kept: list[np.ndarray] = []
  observers: list[Callable[[Outputs], None]] = []
  if save_probability:
    observers.append(
      lambda part: kept.append(prediction_masks.as_levels(part.prob))
    )
  entries = {entry.id: entry for entry in dataset.entries}
  measured = [entries[name] for name in source.ids]
  with own_size.measuring(model, measured, raw_dir=raw_dir) as own:
    if own is not None:
      observers.append(own.add)
    scored = _score(model, source, measured, observers)
  class_only = _class_only(model, dataset, more) if more else None
  labels = _labels(runs, dataset, source, parts=parts)
  sources = [entry.source for entry in measured]
  numbers = evaluation.make_report(
    scored,
    facts=_facts(runs, part=part, digest=dataset.content_sha256),
    labels=labels,
    sources=sources,
    more=class_only,
  )
  if registry.is_combined(config.data.dataset):
    images = [*numbers["per_image"], *numbers.get("class_only", ())]
    sources += class_only.sources if class_only else []
    for image, source_of in zip(images, sources, strict=True):
      image["source"] = source_of
  known = [found.label for found in (labels, class_only) if found]
  numbers["notes"] += small_parts.notes(
    part,
    numbers,
    label=np.concatenate(known) if known else (),
    class_names=labels.class_names if labels else (),
  )
  if own is not None:
    own.add_to(numbers)
  folder = output or runs.workdirs[0] / "eval" / part
  cases = evaluation.pick_cases(model, scored, source)
  _write(folder, runs, scored=scored, numbers=numbers, cases=cases)
  if kept:
    prediction_masks.write_probabilities(
      folder / "probabilities.npz", ids=scored.ids, parts=kept
    )
  if output is None:
    show(runs.workdirs[0])
  progress.LOG.info("wrote %s", folder)
  return numbers


def _score(
  model: Model,
  source: Source,
  entries: Sequence[Entry],
  observers: Sequence[Callable[[Outputs], None]],
) -> evaluation.Scored:
  """Measures the masks of all images, whose entries are in their order."""
  return evaluation.score(
    _observed(model.batches(source, oracle=True), observers),
    ids=source.ids,
    structures=model.structures,
    frames={
      entry.id: evaluation.Frame((entry.height, entry.width), entry.spacing)
      for entry in entries
      if entry.spacing
    },
  )


def _class_only(
  model: Model, dataset: Dataset, source: Source
) -> evaluation.ClassOnly:
  """Classifies images without masks."""
  entries = {entry.id: entry for entry in dataset.entries}
  return evaluation.ClassOnly(
    ids=source.ids,
    logits=np.concatenate([part.logits for part in model.batches(source)]),
    label=source.label,
    sources=[entries[name].source for name in source.ids],
    patients=[dataset.patients[name] for name in source.ids],
  )


def _labels(
  runs: loading.LoadedRuns,
  dataset: Dataset,
  source: Source,
  *,
  parts: Parts,
) -> evaluation.Labels | None:
  """Returns what measuring the classes needs; None without classes."""
  config, model = runs.config, runs.model
  if not model.class_names:
    return None
  return evaluation.Labels(
    label=source.label,
    class_names=model.class_names,
    temperature=_temperature(runs, dataset, parts=parts),
    positive=_positive(config, model.class_names),
    multi_label=model.multi_label,
    patients=[dataset.patients[name] for name in source.ids],
    least_positives=config.eval.least_positives,
  )


def _observed(
  batches: Iterable[Outputs], observers: Sequence[Callable[[Outputs], None]]
) -> Iterator[Outputs]:
  """Yields the batches after each observer has seen them."""
  for part in batches:
    for observe in observers:
      observe(part)
    yield part


def _on_another(
  runs: loading.LoadedRuns, dataset: str, split: str
) -> loading.LoadedRuns:
  """Returns the runs with another data set and one mask of both lungs."""
  first = copy.deepcopy(runs.config)
  first.data.dataset, first.data.split = dataset, split
  first.data.structures = ()
  try:
    model = runs.model.lungs_only()
  except ValueError as error:
    raise ConfigError(
      f"{runs.workdirs[0]} cannot be evaluated on {dataset}: {error}."
    ) from error
  if not model.class_names:
    first.discriminator.enabled = first.classifier.enabled = False
  return dataclasses.replace(runs, evaluated=first, model=model)


def _write(
  folder: pathlib.Path,
  runs: loading.LoadedRuns,
  *,
  scored: evaluation.Scored,
  numbers: dict[str, Any],
  cases: Sequence[figures.Case],
) -> None:
  """Writes predictions.npz (of lungs), report.json and report.html."""
  files.remove_leftovers(folder)
  if len(scored.packed):
    prediction_masks.write_predictions(
      folder / "predictions.npz",
      ids=scored.ids,
      prediction=np.unpackbits(scored.packed, axis=-1).astype(bool),
    )
  files.write_json(folder / "report.json", numbers)
  history = []  # an ensemble has no curves of its own
  if not runs.is_ensemble:
    history = writer.read_history(runs.workdirs[0] / "metrics.jsonl")
  report.write_report(
    folder / "report.html",
    report=numbers,
    history=history,
    cases=cases,
    config=runs.config.to_dict(),
    environment=provenance.environment(),
  )


def show(workdir: pathlib.Path) -> None:
  """Copies the test report, or else validation's, to the run's report.html."""
  for part in ("test", "validation"):
    page = workdir / "eval" / part / "report.html"
    if page.exists():
      files.write_bytes(workdir / "report.html", page.read_bytes())
      return


def _check_unused(
  runs: loading.LoadedRuns, ids: Sequence[str], *, part: str
) -> None:
  """Refuses to evaluate runs on images that one of them has used."""
  for workdir, config in zip(runs.workdirs, runs.configs, strict=True):
    used = leakage.used_images(
      ids,
      part=part,
      dataset=runs.config.data.dataset,
      trained_on=config.data.dataset,
      splits=workdir / "splits.json",
    )
    if used:
      raise DataError(
        f"{len(used)} images of the {part} part were used to train or select "
        f"the run {workdir} ({', '.join(used[:5])}). Evaluate a run on the "
        "data and split it was trained with, and an ensemble only on images "
        "that none of its runs was trained on."
      )


def _positive(config: networks.Config, names: Sequence[str]) -> str:
  """Returns the class whose ROC is drawn.

  Raises:
    ConfigError: `eval.positive_class` is none of the classes.
  """
  name = config.eval.positive_class
  if name == "auto":
    return names[-1]
  if name not in names:
    raise ConfigError(
      f"config.eval.positive_class={name!r} is none of the classes "
      f"{', '.join(names)}."
    )
  return name


def _temperature(
  runs: loading.LoadedRuns, dataset: Dataset, *, parts: Parts
) -> float:
  """Fits the temperature of a single run's classes; 1 to too few images."""
  scaled = runs.config.eval.temperature_scaling and not runs.model.multi_label
  if runs.is_ensemble or not scaled:
    return 1.0  # each member of an ensemble has its own
  sources = [data.load(runs.config, dataset, ids=parts.validation)]
  more = data.load_classes(runs.config, dataset, parts=parts, part="validation")
  sources += [more] if more else []
  label = np.concatenate([source.label for source in sources])
  if np.sum(label >= 0) < classification.LEAST_CALIBRATED:
    return 1.0
  logits = [
    part.logits for source in sources for part in runs.model.batches(source)
  ]
  return classification.fit_temperature(np.concatenate(logits), label)


def _facts(
  runs: loading.LoadedRuns, *, part: str, digest: str
) -> dict[str, Any]:
  config = runs.config
  return {
    "dataset": config.data.dataset,
    "split": part,
    "split_name": config.data.split,
    "resolution": config.data.resolution,
    "bits": config.data.bits,
    **runs.facts(),
    "threshold": config.eval.threshold,
    "commit": provenance.commit(),
    "data_sha256": digest,
    "notes": [
      *report_notes.of_runs(runs, digest),
      *report_notes.of_config(runs.config),
    ],
  }


def summary(numbers: dict[str, Any]) -> str:
  """Returns the main figures of a report in one line."""
  values, texts = numbers["segmentation"], []
  for name in ("dice", "jaccard", "average_hausdorff", "hausdorff95"):
    metric, value = metric_names.SEGMENTATION[name], values[name]
    spread = [
      metric_names.number(value[key], metric.unit) for key in ("mean", "sd")
    ]
    unit = f" {metric.unit}" if metric.unit else ""
    texts.append(f"{metric.label} {' ± '.join(spread)}{unit}")
  found = numbers.get("classification", {})
  texts += [
    f"{metric_names.CLASSIFICATION[name].label} {found[name]:.4f}"
    for name in ("auroc", "accuracy", "balanced_accuracy")
    if found.get(name) is not None
  ]
  if mean := numbers.get("findings", {}).get("mean"):
    value = "none" if mean["auroc"] is None else f"{mean['auroc']:.4f}"
    texts.append(f"mean AUROC {value} of {mean['findings']} findings")
  texts += [f"{k} {v:.4f}" for k, v in report.other_dice(numbers).items()]
  n = numbers["n"]
  images = "1 image" if n == 1 else f"{n} images"
  return f"{numbers['split']}, {images}: {', '.join(texts)}"
