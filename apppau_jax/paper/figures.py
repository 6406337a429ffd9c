"""Draws the figures of a sweep and writes them to its folder."""

import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from apppau_jax import files
from apppau_jax.errors import DataError
from apppau_jax.experiment import data, loading
from apppau_jax.inference import prediction_masks
from apppau_jax.paper import sweep_figures, tables
from apppau_jax.paper.sweep import Run
from apppau_jax.paper.table_page import Figure
from apppau_jax.reports import montage
from apppau_jax.training import writer

_IMAGES = 4  # of a montage

_OVERLAYS = (
  "{data}. Lungs of the same {part} images, evenly spaced from the worst to "
  "the best mean Dice of all rows; different {by} (seed {seed}). Blue: only "
  "the reference mask, orange: only the prediction, white: both."
)
_CURVES = (
  "{data}. Validation Dice over the steps. Line: mean over seeds, band: from "
  "the lowest to the highest seed, grey: the other rows."
)
_FOREST = (
  "{data}. Difference of lung Dice over images and seeds with its 95 % "
  "interval. p is corrected by Holm's method over all pairs; blue: below 0.05."
)
_ATTENTION = (
  "{data}. Attention coefficients of {row} (seed {seed}), coarse (D4) to fine "
  "(D1), each scaled to its own range."
)


def draw(
  done: Sequence[Run],
  table: Mapping[str, Any],
  *,
  out: pathlib.Path,
  reference: str,
) -> list[Figure]:
  """Draws everything that the finished runs allow.

  Args:
    done: finished runs.
    table: see `tables.make`.
    out: the folder of NAME.png and NAME.svg.
    reference: the row that others are compared with if pairs are many.
  """
  made: list[Figure] = []
  for dataset in dict.fromkeys(run.row.dataset for run in done):
    own = [run for run in done if run.row.dataset == dataset]
    pairs = [p for p in table["comparisons"] if p["dataset"] == dataset]
    images = _images(own, table["part"])
    made += _overlays(own, images, dataset, table["part"])
    made += _curves_and_forest(own, pairs, dataset, reference)
    made += _attention(own, images, dataset, reference)
  made = [figure for figure in made if figure.content]
  for figure in made:
    for suffix, content in figure.content.items():
      files.write_bytes(out / f"{figure.name}.{suffix}", content)
  return made


def groups(rows: Sequence[str]) -> dict[str, list[str]]:
  """Returns the rows to show side by side.

  Args:
    rows: names, "network, loss".

  Returns:
    `networks`: the rows of the loss with most networks; `losses`: the rows of
    the network with most losses. Either is empty with fewer than two rows.
  """
  by_loss: dict[str, list[str]] = {}
  by_network: dict[str, list[str]] = {}
  for row in rows:
    network, _, loss = row.rpartition(", ")
    by_loss.setdefault(loss, []).append(row)
    by_network.setdefault(network, []).append(row)
  longest = {
    "networks": max(by_loss.values(), key=len, default=[]),
    "losses": max(by_network.values(), key=len, default=[]),
  }
  return {kind: rows if len(rows) > 1 else [] for kind, rows in longest.items()}


def _first_seeds(runs: Sequence[Run]) -> dict[str, Run]:
  """The first run of each row, by name of the row."""
  found: dict[str, Run] = {}
  for run in runs:
    found.setdefault(run.row.name, run)
  return found


def _images(runs: Sequence[Run], part: str) -> list[montage.Film]:
  """Images to show, from those that every run was measured on."""
  scores: dict[str, list[float]] = {}
  for run in runs:
    for image in run.report(part)["per_image"]:
      scores.setdefault(image["id"], []).append(image["dice"])
  means = {
    name: float(np.mean(values))
    for name, values in scores.items()
    if len(values) == len(runs)
  }
  ids = montage.pick(means, count=_IMAGES)
  if not ids:
    return []
  config = runs[0].config
  source = data.load(config, data.open_dataset(config), ids=ids)
  loaded = source.take(range(len(ids)))
  return [
    montage.Film(id=name, image=image[..., 0], mask=mask[..., 0].astype(bool))
    for name, image, mask in zip(loaded.ids, loaded.image, loaded.mask)
  ]


def _overlays(
  runs: Sequence[Run], images: Sequence[montage.Film], dataset: str, part: str
) -> Iterator[Figure]:
  first = _first_seeds(runs)
  for by, rows in groups(list(first)).items():
    columns = {
      row: masks
      for row in rows
      if (masks := _masks(first[row].folder / "eval" / part, images))
    }
    if images and columns:
      name = f"{dataset}-{by}"
      seeds = sorted({str(first[row].seed) for row in columns})
      yield Figure(
        name,
        _OVERLAYS.format(
          data=dataset, part=part, by=by, seed=" and ".join(seeds)
        ),
        montage.overlays(images, columns, title=name),
      )


def _masks(
  folder: pathlib.Path, images: Sequence[montage.Film]
) -> dict[str, np.ndarray]:
  """Reads the masks of an evaluated part, among them those of some images.

  Raises:
    DataError: they are damaged, or of other images.
  """
  path = folder / "predictions.npz"
  found = prediction_masks.read_predictions(path)
  for film in images if found else ():
    if found.get(film.id, np.empty(0)).shape != film.mask.shape:
      raise DataError(
        f"{path} has no mask of {film.id} of the size of the prepared image, "
        "so it is of another evaluation. Write it again with `python -m "
        "launch.evaluate`."
      )
  return found


def _curves_and_forest(
  runs: Sequence[Run], pairs: Sequence[Any], dataset: str, reference: str
) -> Iterator[Figure]:
  histories: dict[str, list] = {}
  for run in runs:
    lines = writer.read_history(run.folder / "metrics.jsonl")
    histories.setdefault(run.row.name, []).append(lines)
  yield Figure(
    f"{dataset}-curves",
    _CURVES.format(data=dataset),
    sweep_figures.curves(histories, title=dataset),
  )
  chosen = sweep_figures.chosen(pairs, reference=reference)
  yield Figure(
    f"{dataset}-forest",
    _FOREST.format(data=dataset),
    sweep_figures.forest(chosen, level=tables.LEVEL, title=dataset),
  )


def _attention(
  runs: Sequence[Run],
  images: Sequence[montage.Film],
  dataset: str,
  reference: str,
) -> Iterator[Figure]:
  """Of the reference row if it has attention gates, else of the first row."""
  first = _first_seeds(runs)
  for row in [row for row in (reference, *first) if row in first and images]:
    maps = _attention_maps(first[row], np.stack([i.image for i in images]))
    if maps:
      name = f"{dataset}-attention"
      caption = _ATTENTION.format(data=dataset, row=row, seed=first[row].seed)
      content = montage.attention(images, maps, title=name)
      yield Figure(name, caption, content)
      return


def _attention_maps(run: Run, images: np.ndarray) -> dict[str, np.ndarray]:
  """{gate: `[n, h_i, w_i]`} of images `[n, h, w]`; empty without gates."""
  model = loading.restore(run.config, workdir=run.folder)
  # The usual batch size, so that no other program is compiled.
  shape = (model.batch_size, *images.shape[1:], 1)
  output = model.segment(np.resize(images, shape))
  return {
    gate: np.asarray(values)[: len(images), ..., 0]
    for gate, values in output.attention.items()
  }
