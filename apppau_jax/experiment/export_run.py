"""From run folders to an exported model and its card."""

import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

from apppau_jax import __version__
from apppau_jax.datasets import registry
from apppau_jax.deploy import export, page_runtime, page_writer
from apppau_jax.deploy.model_card import Card
from apppau_jax.experiment import loading, networks, provenance, run_files

_PARTS = ("test", "validation")
_SEGMENTATION = ("dice", "jaccard", "hausdorff95", "assd")
_CLASSES = ("accuracy", "balanced_accuracy", "auroc")


def export_runs(
  workdirs: Sequence[loading.PathLike],
  output: pathlib.Path,
  *,
  onnx: bool = True,
) -> None:
  """Exports a run, or several as an ensemble; see `deploy.export.write`.

  Args:
    workdirs: run folders or model files, as for `loading.load_runs`.
    output: folder to write to.
    onnx: whether to write model.onnx too.

  Raises:
    CheckpointError: no trained run there.
    ConfigError: runs that cannot be averaged, or an output that cannot be
      written.
  """
  export.check(output, onnx=onnx)
  runs = loading.load_runs(workdirs)
  identity = {**runs.identity(), "commit": provenance.commit()}
  export.write(
    runs.model,
    output,
    version=__version__,
    identity=identity,
    card=card(runs),
    onnx=onnx,
  )


def export_page(
  workdirs: Sequence[loading.PathLike],
  folder: pathlib.Path,
  *,
  package: pathlib.Path | None = None,
) -> None:
  """Writes the page of a run or an ensemble; see `deploy.page_writer.write`.

  Args:
    workdirs: run folders or model files, as for `loading.load_runs`.
    folder: to write to.
    package: file of ONNX Runtime for browsers; npm fetches it by default.

  Raises:
    CheckpointError: no trained run there.
    ConfigError: runs that cannot be averaged, or a folder that cannot be
      written.
    DataError: another package.
    DownloadError: the package cannot be fetched.
  """
  page_writer.check(folder)
  runtime = page_runtime.read(package) if package else page_runtime.fetch()
  runs = loading.load_runs(workdirs)
  page_writer.write(
    runs.model, folder, runtime, version=__version__, card=card(runs)
  )


def card(runs: loading.LoadedRuns) -> Card:
  """What the model card states of runs."""
  metrics, notes = [], []
  for folder, config in zip(runs.workdirs, runs.configs):
    for part in _PARTS if folder.is_dir() else ():
      report = run_files.read_report(folder, part)
      where = f"{folder.name}, {part} of {config.data.dataset}"
      metrics += _metrics(report, where)
      notes += [note for note in report.get("notes", []) if type(note) is str]
  if runs.is_ensemble and metrics:
    notes.append("The metrics are those of each run, not of their mean.")
  datasets = [name for c in runs.configs for name in _datasets(c)]
  return Card(
    training=[*_training(runs)],
    metrics=metrics,
    notes=[*dict.fromkeys(notes)],
    terms=[_terms(name) for name in dict.fromkeys(datasets)],
  )


def _datasets(config: networks.Config) -> tuple[str, ...]:
  return registry.parts(config.data.dataset)


def _terms(name: str) -> tuple[str, str, str]:
  if registry.is_own(name):
    return name, "those of the owner of the images", ""
  found = registry.spec(name)
  return name, found.terms or "none: drawn by apppau_jax", found.citation


def _training(runs: loading.LoadedRuns) -> Iterator[tuple[str, str]]:
  """Data, split, labels and network of every run."""
  for folder, config, step in zip(runs.workdirs, runs.configs, runs.steps):
    count = config.data.label_count
    share = f"{count} images" if count else f"{config.data.label_fraction:.0%}"
    network = f"{config.model.preset}, width {config.model.base_width}"
    values = {
      "data": config.data.dataset,
      "split": f"{config.data.split}, seed {config.data.split_seed}",
      "training images with masks": share,
      "network": f"{network}, loss {config.loss.name}",
      "classifier": ", ".join(runs.model.class_names) or "none",
      "checkpoint": f"{config.eval.checkpoint}, step {step}",
      "seed": str(config.seed),
    }
    for name, value in values.items():
      yield f"{folder.name}: {name}", value
  counts = (f"{n:,} of the {name}" for name, n in runs.parameters.items())
  yield "parameters", ", ".join(counts)


def _metrics(report: dict[str, Any], where: str) -> Iterator[tuple[str, ...]]:
  """The metrics of one report, with their intervals where it has them."""
  count = str(report.get("n", "?"))
  for name in _SEGMENTATION:
    block = report.get("segmentation", {}).get(name, {})
    if block.get("mean") is not None:
      interval = _interval(block.get("ci95"))
      yield f"{name} ({where})", count, f"{block['mean']:.3f}", interval
  classes = report.get("classification", {})
  for name in _CLASSES:
    if classes.get(name) is not None:
      interval = _interval(classes.get("ci95", {}).get(name))
      yield f"{name} ({where})", count, f"{classes[name]:.3f}", interval


def _interval(value: Any) -> str:
  numbers = value if isinstance(value, list) and len(value) == 2 else []
  if len(numbers) == 2 and all(type(v) in (int, float) for v in numbers):
    return f"{numbers[0]:.3f} to {numbers[1]:.3f}"
  return ""
