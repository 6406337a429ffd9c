"""Figures of many runs: learning curves, comparisons, transfer."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from apppau_jax.reports import figure_style

_COLUMNS = 4  # panels side by side
_MANY = 15  # comparisons that are still read at a glance


def curves(
  histories: Mapping[str, Sequence[Sequence[Mapping[str, Any]]]], *, title: str
) -> dict[str, bytes]:
  """Validation Dice over the steps: a panel a row, the others faint.

  The line is the mean over seeds, the band from the lowest to the highest.

  Args:
    histories: {row: lines of metrics.jsonl of each seed}.
    title: tells this figure from others; not drawn.

  Returns:
    The figure by suffix, see `sheets.encode`; empty without a validation.
  """
  spreads = {
    row: values
    for row, runs in histories.items()
    if len(values := spread(runs))
  }
  if not spreads:
    return {}
  columns = min(_COLUMNS, len(spreads))
  with figure_style.settings(title):
    figure, axes = figure_style.grid(
      -(-len(spreads) // columns), columns, cell=(2.1, 1.8)
    )
    for axis in axes.flat[len(spreads) :]:
      axis.set_visible(False)
    low = min(spread[:, 1:].min() for spread in spreads.values())
    for axis, (row, own) in zip(axes.flat, spreads.items()):
      for other in spreads.values():
        axis.plot(*other[:, :2].T, color=figure_style.GREY, lw=0.6, alpha=0.5)
      axis.fill_between(
        *own[:, [0, 2, 3]].T, color=figure_style.BLUE, alpha=0.25, lw=0
      )
      axis.plot(*own[:, :2].T, color=figure_style.BLUE, lw=1.6)
      axis.set(
        title=figure_style.wrapped(row), ylim=(max(0.0, low - 0.02), 1.0)
      )
    for axis in axes[:, 0]:
      axis.set_ylabel("validation Dice")
    for axis in axes[-1]:
      axis.set_xlabel("step")
    return figure_style.encode(figure)


def spread(runs: Sequence[Sequence[Mapping[str, Any]]]) -> np.ndarray:
  """[k, 4]: step, mean, lowest and highest Dice where all seeds have one."""
  by_seed = [
    {
      line["step"]: line["dice"]
      for line in history
      if line.get("kind") == "validation" and "dice" in line
    }
    for history in runs
  ]
  steps = sorted(set.intersection(*map(set, by_seed))) if by_seed else []
  values = np.array([[seed[step] for step in steps] for seed in by_seed])
  if not values.size:
    return np.empty((0, 4))
  return np.column_stack(
    [steps, values.mean(axis=0), values.min(axis=0), values.max(axis=0)]
  )


def chosen(
  pairs: Sequence[Mapping[str, Any]], *, reference: str
) -> list[dict[str, Any]]:
  """The comparisons to draw: all, or where they are many, the reference's.

  Args:
    pairs: `comparisons` of one data set, see `tables.make`.
    reference: the row that the others are held against; it comes first.
  """
  if len(pairs) <= _MANY:
    return [dict(pair) for pair in pairs]
  return [
    dict(pair) if pair["first"] == reference else _turned(pair)
    for pair in pairs
    if reference in (pair["first"], pair["second"])
  ]


def _turned(pair: Mapping[str, Any]) -> dict[str, Any]:
  """The same comparison from the other side."""
  low, high = pair["ci95"]
  return {
    **pair,
    "first": pair["second"],
    "second": pair["first"],
    "difference": -pair["difference"],
    "ci95": [-high, -low],
  }


def forest(
  pairs: Sequence[Mapping[str, Any]], *, level: float, title: str
) -> dict[str, bytes]:
  """Draws differences of lung Dice with their intervals and p-values.

  Args:
    pairs: as `chosen` returns them.
    level: corrected p-values below it are drawn in colour.
    title: tells this figure from others; not drawn.

  Returns:
    The figure by suffix, see `sheets.encode`; empty without a comparison.
  """
  if not pairs:
    return {}
  with figure_style.settings(title):
    height = 0.24 * len(pairs) + 0.9
    figure, ((axis,),) = figure_style.grid(1, 1, cell=(7.2, height))
    where = np.arange(len(pairs))[::-1]
    for y, pair in zip(where, pairs):
      colour = (
        figure_style.BLUE if pair["p_holm"] < level else figure_style.GREY
      )
      axis.plot(pair["ci95"], [y, y], color=colour, lw=1.6)
      axis.plot(pair["difference"], y, "s", color=colour, ms=4)
    axis.axvline(0, color="black", lw=0.8)
    axis.set_yticks(
      where, [f"{pair['first']}  –  {pair['second']}" for pair in pairs]
    )
    axis.set_xlabel("difference of lung Dice, first – second")
    axis.locator_params(axis="x", nbins=5)
    right = axis.secondary_yaxis("right")
    right.set_yticks(where, [_p(pair["p_holm"]) for pair in pairs])
    right.tick_params(length=0)
    right.spines["right"].set_visible(False)
    return figure_style.encode(figure)


def _p(value: float) -> str:
  return "p < .001" if value < 0.001 else f"p = {value:.3f}"


def heat_map(
  values: np.ndarray,
  *,
  rows: Sequence[str],
  columns: Sequence[str],
  low: float,
  title: str,
) -> dict[str, bytes]:
  """Draws a matrix with its numbers in the cells; NaN is a dash.

  Args:
    values: `[n, m]`, at most 1.
    rows: n names.
    columns: m names.
    low: the value that has the palest colour.
    title: above the matrix.

  Returns:
    The figure by suffix, see `sheets.encode`.
  """
  with figure_style.settings(title):
    size = (1.1 * len(columns) + 2.6, 0.3 * len(rows) + 1.0)
    figure, ((axis,),) = figure_style.grid(1, 1, cell=size)
    axis.imshow(values, cmap="Blues", vmin=low, vmax=1.0, aspect="auto")
    for (i, j), value in np.ndenumerate(values):
      deep = value > (1 + low) / 2
      axis.text(
        j,
        i,
        "–" if np.isnan(value) else f"{value:.3f}",
        ha="center",
        va="center",
        color="white" if deep else "black",
      )
    axis.set_xticks(range(len(columns)), columns)
    axis.set_yticks(range(len(rows)), rows)
    axis.set(title=title, xlabel="measured on")
    return figure_style.encode(figure)
