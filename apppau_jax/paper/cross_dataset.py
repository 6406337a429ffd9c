"""Every trained model on every set's images that no run has learnt from."""

import copy
import dataclasses
import json
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from apppau_jax import files
from apppau_jax.datasets import examples
from apppau_jax.errors import UserError
from apppau_jax.experiment import data, evaluate_run, loading, networks
from apppau_jax.inference import outputs
from apppau_jax.metrics import classification
from apppau_jax.paper import cross_dataset_table, sweep


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Target:
  """The measured part of a set, or why it cannot be had."""

  dataset: str
  loaded: examples.Source | None
  sha256: str
  classes: tuple[str, ...] = ()
  why_not: str = ""


def measure(
  done: Sequence[sweep.Run], *, part: str, datasets: Sequence[str]
) -> list[dict[str, Any]]:
  """The cells of all runs and sets, ready for `transfer.summarise`.

  What was measured is kept in the runs' folders and not measured again.

  Args:
    done: finished runs.
    part: `test` or `validation`, of each set under the run's own split.
    datasets: the sets to measure on.
  """
  known: dict[tuple, _Target] = {}
  return [cell for run in done for cell in _cells(run, part, datasets, known)]


def _cells(
  run: sweep.Run,
  part: str,
  datasets: Sequence[str],
  known: dict[tuple, _Target],
) -> Iterator[dict[str, Any]]:
  for dataset in datasets:
    config = copy.deepcopy(run.config)
    config.data.dataset, config.data.class_names = dataset, ()
    split = (dataset, config.data.split, config.data.split_seed)
    if split not in known:
      known[split] = _target(config, part)
    target = known[split]
    yield {
      "trained_on": run.cell.dataset,
      "row": run.cell.row,
      "measured_on": dataset,
      "seed": run.seed,
      **_kept(run, target, part=part),
    }


def _target(config, part: str) -> _Target:
  dataset = config.data.dataset
  try:
    catalogue = data.catalogue(config)
    split = data.parts(config, catalogue).split
    loaded = data.load(config, getattr(split, part))
  except UserError as error:
    return _Target(dataset=dataset, loaded=None, sha256="", why_not=str(error))
  return _Target(
    dataset=dataset,
    loaded=loaded,
    sha256=data.content_sha256(config),
    classes=catalogue.class_names,
  )


def _kept(run: sweep.Run, target: _Target, *, part: str) -> dict[str, Any]:
  """Reads what an earlier call measured on the same images, or measures."""
  path = run.folder / "eval" / part / f"on-{target.dataset}.json"
  if target.loaded is None:
    return _values(run, target, part=part)
  of = {"sha256": target.sha256, "ids": list(target.loaded.ids)}
  before = _read(path)
  if all(before.get(key) == value for key, value in of.items()):
    return before["values"]
  values = _values(run, target, part=part)
  files.write_json(path, {**of, "values": values})
  return values


def _read(path: pathlib.Path) -> dict[str, Any]:
  return json.loads(path.read_text()) if path.exists() else {}


def _values(run: sweep.Run, target: _Target, *, part: str) -> dict[str, Any]:
  """`n`, `dice`, `auroc_tb` and `why_not` of one run on one set."""
  nothing = {"n": None, "dice": None, "auroc_tb": None}
  loaded = target.loaded
  if loaded is None:
    return {**nothing, "why_not": target.why_not}
  leaked = evaluate_run.leaked(run.folder, loaded.ids, part=part)
  if leaked:
    return {**nothing, "why_not": f"{len(leaked)} of its images trained it"}
  config = run.config
  model = loading.restore(config, workdir=run.folder)
  dice, logits = [], []
  for batch in model.batches(loaded):
    dice.append(outputs.dice(batch.prediction[..., 0], batch.mask[..., 0]))
    logits.append(batch.logits)
  auroc, why_not = cross_dataset_table.tb_auroc(
    _class_probs(run, np.concatenate(logits), part=part),
    loaded.label,
    known=networks.class_names(config),
    classes=target.classes,
  )
  return {
    "n": len(loaded.ids),
    "dice": float(np.concatenate(dice).mean()),
    "auroc_tb": auroc,
    "why_not": why_not,
  }


def _class_probs(
  run: sweep.Run, logits: np.ndarray, *, part: str
) -> np.ndarray | None:
  """Class probabilities as the run's own report has them; None if untaught."""
  if not networks.learns_classes(run.config):
    return None
  block = run.report(part).get("classification", {})
  return classification.posterior(
    logits, temperature=block.get("temperature", 1.0)
  )
