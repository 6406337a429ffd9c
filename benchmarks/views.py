"""Fit and measure what tells fit films from others, see `imaging.view`.

  python -m benchmarks.views --data_dir=data --json=views.json
  python -m benchmarks.views --data_dir=data --file=view.safetensors

Every film of the test parts of Montgomery and Shenzhen is transformed once into
each kind of `benchmarks.unfit`, and 100 phantoms are too. With --file the
discriminant is fitted first, to 400 other phantoms, and written. Drawn pages,
hands and photographs are never fitted to; with --nolateral neither are drawn
lateral chests, for figures only.
"""

import json
import pathlib
from collections.abc import Collection

import numpy as np
import safetensors.numpy
from absl import app, flags
from scipy import stats

from apppau_jax import errors, phantoms, progress
from apppau_jax.imaging import remarks, view
from benchmarks import unfit

_DATA_DIR = flags.DEFINE_string("data_dir", "data", "Prepared data sets.")
_SPLIT = flags.DEFINE_string("data_split", "fold-0-of-3", "Split of the sets.")
_FILE = flags.DEFINE_string("file", None, "Fit, and write the weights here.")
_LATERAL = flags.DEFINE_bool("lateral", True, "Fit to lateral chests too.")
_JSON = flags.DEFINE_string("json", None, "File to write the figures to.")
_HELD_OUT = ("text", "hand", "photograph")
_FITTED, _MEASURED, _SEED = 400, 100, 11
_SHRINKAGE = 0.03  # of the covariance towards a multiple of the identity
# The kinds in the order of `view.KINDS`.
_ORDER = ("fit", *(kind for kind in unfit.KINDS if kind != "one grey"))

# n films [n, h, w] and their lungs.
Films = tuple[np.ndarray, np.ndarray]


def main(argv) -> None:
  """Fit if asked to; measure, and print one line for each set and kind."""
  del argv
  drawn = _phantoms()
  arrays = None
  if _FILE.value:
    arrays = _fit(tuple(one[:_FITTED] for one in drawn))
    content = safetensors.numpy.save(arrays)
    pathlib.Path(_FILE.value).write_bytes(content)
  sets = {"phantoms": tuple(one[_FITTED:] for one in drawn)}
  for name in ("montgomery", "shenzhen"):
    try:
      sets[name] = _test_part(name)
    except errors.DataError as error:
      progress.say(f"{name} is not measured: {error}")
  found = {name: _measure(films, arrays) for name, films in sets.items()}
  for name, figures in found.items():
    print(name, json.dumps(figures, indent=1))
  if _JSON.value:
    pathlib.Path(_JSON.value).write_text(json.dumps(found, indent=2) + "\n")


def _phantoms() -> Films:
  """Draws phantoms, four of five wide, and shrinks them to 128 pixels."""
  images, lungs = [], []
  for i in range(_FITTED + _MEASURED):
    finding: phantoms.Finding = ("normal", "tb", "nodule")[i % 3]
    one = phantoms.make_phantom(
      seed=_SEED, index=i, finding=finding, size=(256, 256), wide=i % 5 > 0
    )
    images.append(one.image)
    lungs.append(one.left_lung | one.right_lung)
  films, shares = (
    np.reshape(planes, (-1, 128, 2, 128, 2)).mean(axis=(2, 4))
    for planes in (images, lungs)
  )
  return np.rint(films).astype(np.uint8), shares >= 0.5


def _test_part(name: str) -> Films:
  from apppau_jax.datasets.dataset import Dataset

  data = Dataset(name, data_dir=_DATA_DIR.value)
  ids = data.split(_SPLIT.value).test
  part = data.open(ids).take(np.arange(len(ids)))
  return part.image[..., 0], part.mask[..., 0] > 0


def _variants(
  films: Films, *, without: Collection[str] = ()
) -> dict[str, list[np.ndarray]]:
  """Returns every film as it is and as each kind that is unfit."""
  rng = np.random.default_rng(0)
  made = {
    kind: [make(film, lungs, rng) for film, lungs in zip(*films)]
    for kind, make in (unfit.KINDS | unfit.NO_CHEST).items()
    if kind not in without
  }
  return {"fit": [*films[0]], **made}


def _features(films: list[np.ndarray]) -> np.ndarray:
  return np.stack([view.features(film) for film in films])


def _fit(films: Films) -> dict[str, np.ndarray]:
  """Fits a linear discriminant with one covariance, all kinds alike likely."""
  left_out = {*_HELD_OUT, "one grey"}
  if not _LATERAL.value:
    left_out.add("lateral")
  groups: dict[str, list[np.ndarray]] = {}
  for kind, made in _variants(films, without=left_out).items():
    name = "no chest" if kind in unfit.NO_CHEST else kind
    groups.setdefault(name, []).append(_features(made))
  means, spread, count = [], np.zeros(()), 0
  for name in filter(groups.get, (*_ORDER, "no chest")):
    found = np.concatenate(groups[name]).astype(np.float64)
    means.append(found.mean(axis=0))
    centred = found - means[-1]
    spread, count = spread + centred.T @ centred, count + len(found)
  spread = spread / count
  size = len(spread)
  spread += _SHRINKAGE * np.trace(spread) / size * np.eye(size)
  stacked = np.stack(means)
  weights = np.linalg.solve(spread, stacked.T)
  bias = -0.5 * (stacked.T * weights).sum(axis=0)
  return {
    "weights": weights.astype(np.float32),
    "bias": bias.astype(np.float32),
  }


def _measure(films: Films, arrays: dict | None) -> dict:
  """Returns the share of fit films that are troubled, and the AUROC by kind."""
  scores, levels = {}, {}
  for kind, made in _variants(films).items():
    found = _features(made)
    if arrays is None:
      logits = view.logits(found)
    else:
      logits = found @ arrays["weights"] + arrays["bias"]
    scores[kind] = logits[:, 1:].max(axis=1) - logits[:, 0]
    whole = [np.asarray(film, np.uint8) for film in made]
    levels[kind] = [-remarks.Histogram.of(film).levels for film in whole]
  fit = scores.pop("fit")
  auroc = {kind: _auroc(fit, values) for kind, values in scores.items()}
  auroc["one grey"] = _auroc(levels["fit"], levels["one grey"])
  return {
    "n": len(fit),
    "troubled": int((fit > 0).sum()),
    "auroc": auroc,
    "doubted": {kind: float((v > 0).mean()) for kind, v in scores.items()},
  }


def _auroc(negative, positive) -> float:
  pairs = len(negative) * len(positive)
  return float(stats.mannwhitneyu(positive, negative).statistic / pairs)


if __name__ == "__main__":
  app.run(main)
