"""Measure a diagnosis from the features of the model in the package.

  python -m benchmarks.diagnosis --data_dir=data --dataset=shenzhen \
    --other=montgomery --json=diagnosis.json

The segmentor of the package, trained on phantoms alone, sees every film, and
the classifier is that of a run with `config.classifier.enabled`. Its penalty is
chosen by folds within the training films, so that the test films choose
nothing; it starts from the package's classifier of phantoms unless --nostart.
Five folds by patient, of all films with a class; --counts are budgets of
classes, drawn in equal parts, --draws times for each fold. Last, all films of
--dataset teach, and --other is measured. --workdir takes the segmentor of a run
in place of the package's.

Prepare both sets at its resolution first (`launch.prepare_data`).
"""

import functools
import json
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from absl import app, flags
from sklearn import metrics

from apppau_jax import progress
from apppau_jax.datasets.dataset import Dataset
from apppau_jax.experiment import classifier, loading, model_file, networks
from apppau_jax.metrics import bootstrap
from apppau_jax.training.state import CLASSIFIER

_DATA_DIR = flags.DEFINE_string("data_dir", "data", "Prepared data sets.")
_WORKDIR = flags.DEFINE_string("workdir", "box", "A run, or box.")
_START = flags.DEFINE_bool("start", True, "Start from phantoms' classes.")
_DATASET = flags.DEFINE_string("dataset", "shenzhen", "The set that teaches.")
_OTHER = flags.DEFINE_string("other", "montgomery", "Another set to measure.")
_COUNTS = flags.DEFINE_list("counts", ["40"], "Budgets of classes besides all.")
_DRAWS = flags.DEFINE_integer("draws", 3, "Draws of a budget in each fold.", 1)
_JSON = flags.DEFINE_string("json", None, "File to write the figures to.")
_FOLDS = 5


class Films(NamedTuple):
  """n films: their names, features `[n, f]` and classes in 0..1."""

  ids: tuple[str, ...]
  features: np.ndarray
  label: np.ndarray


def main(argv) -> None:
  """Measure folds and the other set; print and write the figures."""
  del argv
  with progress.verbose():
    run = loading.load_runs([model_file.find(_WORKDIR.value)])
    sets = (_DATASET.value, _OTHER.value)
    films = {name: _films(name, run) for name in sets}
  own = films[_DATASET.value]
  found: dict[str, Any] = {}

  def keep(name: str, figures: Any) -> None:
    found[name] = figures
    progress.say(f"{name}: {json.dumps(figures)}")
    if _JSON.value:
      text = json.dumps(found, indent=2) + "\n"
      pathlib.Path(_JSON.value).write_text(text)

  keep(
    "films", {name: np.bincount(f.label).tolist() for name, f in films.items()}
  )
  keep("features", own.features.shape[1])
  folds = _folds(_dataset(_DATASET.value, run))
  for count in (0, *map(int, _COUNTS.value)):
    keep(str(count or "all"), _cross_validate(own, folds, count=count))
  score = _learn(own)(films[_OTHER.value].features)
  keep(f"on {_OTHER.value}", _auroc(films[_OTHER.value].label, score))


def _films(name: str, run: loading.LoadedRuns) -> Films:
  """Return the films of a set whose class is known, with their features."""
  dataset = _dataset(name, run)
  ids = [entry.id for entry in dataset.entries if entry.label >= 0]
  source = dataset.open(ids, masks_of=())
  network = networks.feature_classifier(run.config)
  features = classifier.features(network, run.model, source)
  return Films(tuple(ids), features, source.label)


def _dataset(name: str, run: loading.LoadedRuns) -> Dataset:
  resolution = run.model.resolution
  return Dataset(name, data_dir=_DATA_DIR.value, resolution=resolution)


def _folds(dataset: Dataset) -> list[tuple[set[str], set[str]]]:
  """Return the training and test films of each fold, divided by patient."""
  folds = []
  for fold in range(_FOLDS):
    parts = dataset.split(
      f"fold-{fold}-of-{_FOLDS}",
      unmasked_images=True,
      classes_without_masks=True,
    )
    roles = parts.roles()
    test = {i for i, role in roles.items() if role == "test"}
    folds.append((roles.keys() - test, test))
  return folds


def _cross_validate(
  films: Films, folds: list[tuple[set[str], set[str]]], *, count: int
) -> dict[str, Any]:
  """Measure each fold's test films; `count` classes teach, 0 for all."""
  scores, areas, right = np.full(len(films.ids), np.nan), [], []
  for draw in range(_DRAWS.value if count else 1):
    for train, test in folds:
      taught, tested = (
        np.array([i in part for i in films.ids]) for part in (train, test)
      )
      rows = np.flatnonzero(taught)
      if count:
        rows = _drawn(rows, films.label, count=count, seed=draw)
      learnt = _learn(films, rows)
      scores[tested] = learnt(films.features[tested])
      label = films.label[tested]
      areas.append(metrics.roc_auc_score(label, scores[tested]))
      right.append(np.mean((scores[tested] > 0) == label))
  share = np.bincount(films.label).max() / len(films.label)
  return {
    "auroc": [float(np.mean(areas)), float(np.std(areas, ddof=1))],
    "each": np.round(areas, 4).tolist(),
    "accuracy": [float(np.mean(right)), float(np.std(right, ddof=1))],
    "largest class": float(share),
  }


def _drawn(
  rows: np.ndarray, label: np.ndarray, *, count: int, seed: int
) -> np.ndarray:
  """Choose `count` rows, as many of each class."""
  rng = np.random.default_rng(seed)
  each = [rng.permutation(rows[label[rows] == c])[: count // 2] for c in (0, 1)]
  return np.concatenate(each)


def _learn(
  films: Films, rows: np.ndarray | None = None
) -> Callable[[np.ndarray], np.ndarray]:
  """Fit the classifier; return the map of features to the logit of class 1."""
  rows = np.arange(len(films.ids)) if rows is None else rows
  fitted = classifier.fit_linear(
    films.features[rows], films.label[rows], start=_start()
  )

  def score(features: np.ndarray) -> np.ndarray:
    found = classifier.logits(fitted, features)
    return found[:, 1] - found[:, 0]

  return score


@functools.cache
def _start() -> Any:
  """Return the classifier of the package, if --start asks for it."""
  found = model_file.read(model_file.box()).variables
  return found[CLASSIFIER] if _START.value else None


def _auroc(label: np.ndarray, score: np.ndarray) -> Mapping[str, Any]:
  """Return the AUROC with its interval over films, resampled by class."""
  draws = [
    metrics.roc_auc_score(label, score, sample_weight=counts)
    for block in bootstrap.resamples(len(label), seed=0, label=label)
    for counts in np.atleast_2d(block)
  ]
  low, high = bootstrap.interval(np.array(draws))
  area = metrics.roc_auc_score(label, score)
  return {"auroc": float(area), "interval": [float(low), float(high)]}


if __name__ == "__main__":
  app.run(main)
