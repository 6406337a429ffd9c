"""Measures trained models on other data sets, on images none was trained on."""

import copy
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from apppau_jax import files, reading
from apppau_jax.checks import leakage
from apppau_jax.datasets import examples
from apppau_jax.errors import UserError
from apppau_jax.experiment import data, loading, networks
from apppau_jax.inference import outputs
from apppau_jax.metrics import classification
from apppau_jax.paper import cross_dataset_table
from apppau_jax.paper.sweep import Run

# Of a file with the values of a run on another set.
_SAVED = {
  "sha256": str,
  "ids": [str],
  "values": {
    "n": (int, None),
    "dice": (float, None),
    "auroc_tb": (float, None),
    "why_not": (str, None),
  },
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Target:
  """A part of a data set to measure on.

  Attributes:
    source: its images.
    sha256: checksum of the prepared set.
    classes: names of its classes.
  """

  source: examples.Source
  sha256: str
  classes: tuple[str, ...]


def open_target(config: Any, part: str) -> Target:
  """Opens a part of the data set of a configuration.

  Raises:
    UserError: the set is not prepared, or the part is empty.
  """
  dataset = data.open_dataset(config)
  ids = getattr(data.parts(config, dataset), part)
  return Target(
    source=data.load(config, dataset, ids=ids),
    sha256=dataset.content_sha256,
    classes=dataset.class_names,
  )


def predict(
  run: Run, source: examples.Source
) -> tuple[np.ndarray, np.ndarray | None]:
  """Returns lung Dice `[n]` and D's logits `[n, k + 1]`, None without D."""
  model = loading.restore(run.config, workdir=run.folder)
  dice, logits = [], []
  for batch in model.batches(source):
    dice.append(outputs.dice(batch.prediction[..., 0], batch.mask[..., 0]))
    logits.append(batch.logits)
  classifies = bool(model.class_names)
  return np.concatenate(dice), np.concatenate(logits) if classifies else None


def measure(
  runs: Sequence[Run],
  *,
  part: str,
  datasets: Sequence[str],
  open_target: Callable[[Any, str], Target] = open_target,
  predict: Callable[..., tuple] = predict,
) -> list[dict[str, Any]]:
  """Measures every run on every data set, for `cross_dataset_table`.

  Results are kept in the runs' folders and not measured again.

  Args:
    runs: finished runs.
    part: `test` or `validation`, of each set under the run's own split.
    datasets: the sets to measure on.
    open_target: opens a part of a data set.
    predict: applies a run to images.
  """
  opened: dict[tuple, Target | UserError] = {}

  def measured() -> Iterator[dict[str, Any]]:
    for run in runs:
      for dataset in datasets:
        config = copy.deepcopy(run.config)
        config.data.dataset, config.data.class_names = dataset, ()
        key = (dataset, config.data.split, config.data.split_seed)
        if key not in opened:
          try:
            opened[key] = open_target(config, part)
          except UserError as error:
            opened[key] = error
        yield {
          "trained_on": run.row.dataset,
          "row": run.row.name,
          "measured_on": dataset,
          "seed": run.seed,
          **_values(run, opened[key], part, dataset, predict),
        }

  return list(measured())


def _values(
  run: Run, target: Target | UserError, part: str, dataset: str, predict
) -> dict[str, Any]:
  """Reads or measures `n`, `dice`, `auroc_tb` and `why_not` of a run."""
  if isinstance(target, UserError):
    return _not_measured(str(target))
  path = run.folder / "eval" / part / f"on-{dataset}.json"
  images = {"sha256": target.sha256, "ids": list(target.source.ids)}
  before = reading.json_or_none(path, _SAVED) or {}
  if all(before.get(key) == value for key, value in images.items()):
    return before["values"]
  values = _measure(run, target, part, dataset, predict)
  files.write_json(path, {**images, "values": values})
  return values


def _not_measured(reason: str) -> dict[str, Any]:
  return {"n": None, "dice": None, "auroc_tb": None, "why_not": reason}


def _measure(
  run: Run, target: Target, part: str, dataset: str, predict
) -> dict[str, Any]:
  leaked = leakage.used_images(
    target.source.ids,
    part=part,
    dataset=dataset,
    trained_on=run.config.data.dataset,
    splits=run.folder / "splits.json",
  )
  if leaked:
    return _not_measured(f"{len(leaked)} of its images trained it")
  dice, logits = predict(run, target.source)
  probs = None
  if logits is not None:
    block = run.report(part).get("classification", {})
    temperature = block.get("temperature", 1.0)
    probs = classification.posterior(logits, temperature=temperature)
  auroc, why_not = cross_dataset_table.tb_auroc(
    probs,
    target.source.label,
    model_classes=networks.class_names(run.config),
    set_classes=target.classes,
  )
  return {
    "n": len(target.source.ids),
    "dice": float(dice.mean()),
    "auroc_tb": auroc,
    "why_not": why_not,
  }
