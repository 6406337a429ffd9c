"""The figures of a sweep, into its own folder."""

import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from apppau_jax import files
from apppau_jax.experiment import data, loading
from apppau_jax.inference import prediction_masks
from apppau_jax.paper import (
  cross_dataset_table,
  sweep,
  sweep_figures,
  table_page,
  tables,
)
from apppau_jax.reports import montage
from apppau_jax.training import writer

FILMS = 4  # images a montage

_OVERLAYS = (
  "Lungs of the same {part} images, evenly spaced from the worst to the best "
  "by the mean Dice of all rows, {by} (seed {seed}). Blue: only the truth, "
  "orange: only the prediction, white: both."
)
_CURVES = (
  "Validation Dice over the steps; line: mean over seeds, band: from the "
  "lowest to the highest seed; grey: the other rows."
)
_FOREST = (
  "Difference of lung Dice over images and seeds with its 95 % interval; p "
  "corrected by Holm's method over all pairs, blue below .05."
)
_ATTENTION = (
  "What the attention gates of {row} let through (seed {seed}), coarse (D4) "
  "to fine (D1), each over its own range."
)
_TRANSFER = (
  "{what} on the {part} part of each set, mean over seeds; a dash where the "
  "question has no answer (see the table)."
)


def draw(
  done: Sequence[sweep.Run],
  table: Mapping[str, Any],
  *,
  out: pathlib.Path,
  reference: str,
) -> list[table_page.Figure]:
  """Draws everything that the finished runs allow and writes it below `out`.

  Args:
    done: finished runs.
    table: see `tables.make`.
    out: gets NAME.png and NAME.svg.
    reference: the row that others are held against where pairs are many.
  """
  made = []
  for dataset in dict.fromkeys(run.cell.dataset for run in done):
    own = [run for run in done if run.cell.dataset == dataset]
    pairs = [p for p in table["comparisons"] if p["dataset"] == dataset]
    made += _of_set(own, dataset, pairs, table["part"], reference)
  made += _transfers(table)
  made = [figure for figure in made if figure.content]
  for figure in made:
    for suffix, content in figure.content.items():
      files.write_bytes(out / f"{figure.name}.{suffix}", content)
  return made


def _of_set(
  runs: Sequence[sweep.Run], dataset: str, pairs, part: str, reference: str
) -> Iterator[table_page.Figure]:
  first = {run.cell.row: run for run in reversed(runs)}  # its first seed
  reports = {run.name: run.report(part) for run in runs}
  films = _films(runs[0].config, list(reports.values()))
  masks = {
    row: prediction_masks.read_predictions(
      run.folder / "eval" / part / "predictions.npz"
    )
    for row, run in first.items()
  }
  for kind, by in (("networks", "by network"), ("losses", "by loss")):
    rows = groups(list(dict.fromkeys(run.cell.row for run in runs)))[kind]
    columns = {row: masks[row] for row in rows if masks[row]}
    if films and columns:
      name = f"{dataset}-{kind}"
      seeds = " and ".join(sorted({str(first[row].seed) for row in columns}))
      yield table_page.Figure(
        name,
        f"{dataset}. " + _OVERLAYS.format(part=part, by=by, seed=seeds),
        montage.overlays(films, columns, title=name),
      )
  histories: dict[str, list] = {}
  for run in runs:
    lines = writer.read_history(run.folder / "metrics.jsonl")
    histories.setdefault(run.cell.row, []).append(lines)
  for name, caption, content in (
    ("curves", _CURVES, sweep_figures.curves(histories, title=dataset)),
    (
      "forest",
      _FOREST,
      sweep_figures.forest(
        sweep_figures.chosen(pairs, reference=reference),
        level=tables.LEVEL,
        title=dataset,
      ),
    ),
  ):
    yield table_page.Figure(
      f"{dataset}-{name}", f"{dataset}. {caption}", content
    )
  yield from _attention(first, dataset, films, reference)


def groups(rows: Sequence[str]) -> dict[str, list[str]]:
  """The rows to lay side by side: as many networks, or losses, as there are.

  Args:
    rows: names, "network, loss".

  Returns:
    `networks`: rows of the one loss that has most networks; `losses`: of the
    one network that has most losses. Empty with fewer than two.
  """
  by_loss: dict[str, list[str]] = {}
  by_network: dict[str, list[str]] = {}
  for row in rows:
    network, _, loss = row.rpartition(", ")
    by_loss.setdefault(loss, []).append(row)
    by_network.setdefault(network, []).append(row)
  most = {
    "networks": max(by_loss.values(), key=len, default=[]),
    "losses": max(by_network.values(), key=len, default=[]),
  }
  return {kind: found if len(found) > 1 else [] for kind, found in most.items()}


def _films(config, reports: Sequence[Mapping[str, Any]]) -> list[montage.Film]:
  """The images to show: of those that every run measured."""
  scores: dict[str, list[float]] = {}
  for report in reports:
    for image in report["per_image"]:
      scores.setdefault(image["id"], []).append(image["dice"])
  means = {
    name: float(np.mean(values))
    for name, values in scores.items()
    if len(values) == len(reports)
  }
  ids = montage.pick(means, count=FILMS)
  if not ids:
    return []
  loaded = data.load(config, ids).take(range(len(ids)))
  return [
    montage.Film(id=name, image=image[..., 0], mask=mask[..., 0].astype(bool))
    for name, image, mask in zip(loaded.ids, loaded.image, loaded.mask)
  ]


def _attention(
  first: Mapping[str, sweep.Run],
  dataset: str,
  films: Sequence[montage.Film],
  reference: str,
) -> Iterator[table_page.Figure]:
  """Of the reference row if it has gates, else of the first that has."""
  order = [reference, *first]
  for row in [row for row in order if row in first and films]:
    run = first[row]
    model = loading.restore(run.config, workdir=run.folder)
    image = np.stack([film.image for film in films])[..., None]
    # As many images as in evaluation: no other batch size is compiled.
    output = model.segment(
      np.resize(image, (model.batch_size, *image.shape[1:]))
    )
    if not output.attention:
      continue
    name = f"{dataset}-attention"
    maps = {
      gate: np.asarray(values)[: len(films), ..., 0]
      for gate, values in output.attention.items()
    }
    yield table_page.Figure(
      name,
      f"{dataset}. " + _ATTENTION.format(row=row, seed=run.seed),
      montage.attention(films, maps, title=name),
    )
    return


def _transfers(table: Mapping[str, Any]) -> Iterator[table_page.Figure]:
  entries = table.get("cross") or []
  columns = list(dict.fromkeys(entry["measured_on"] for entry in entries))
  for name, what, low in (
    ("dice", "Lung Dice", 0.5),
    ("auroc_tb", "AUROC of tuberculosis", 0.5),
  ):
    rows, values = cross_dataset_table.matrix(
      entries, name=name, datasets=columns
    )
    if np.isfinite(values).any():
      yield table_page.Figure(
        f"cross-{name.removesuffix('_tb')}",
        _TRANSFER.format(what=what, part=table["part"]),
        sweep_figures.heat_map(
          values, rows=rows, columns=columns, low=low, title=what
        ),
      )
