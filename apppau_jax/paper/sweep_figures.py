"""Figures of several runs: learning curves and comparisons."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from apppau_jax.reports import figure_style

_COLUMNS = 4  # panels side by side
_MANY = 15  # comparisons in one figure


def curves(
  histories: Mapping[str, Sequence[Sequence[Mapping[str, Any]]]], *, title: str
) -> dict[str, bytes]:
  """Draws validation Dice over the steps, a panel for each row.

  The line is the mean over seeds, the band reaches from the lowest to the
  highest seed, and the other rows are grey.

  Args:
    histories: {row: lines of metrics.jsonl of each seed}.
    title: distinguishes the figure from others; not drawn.

  Returns:
    See `figure_style.encode`; empty without a validation.
  """
  spreads = {row: spread(runs) for row, runs in histories.items()}
  spreads = {row: values for row, values in spreads.items() if len(values)}
  if not spreads:
    return {}
  columns = min(_COLUMNS, len(spreads))
  with figure_style.settings(title):
    figure, axes = figure_style.grid(
      -(-len(spreads) // columns), columns, cell=(2.1, 1.8)
    )
    for axis in axes.flat[len(spreads) :]:
      axis.set_visible(False)
    low = min(values[:, 1:].min() for values in spreads.values())
    for axis, (row, own) in zip(axes.flat, spreads.items()):
      for other in spreads.values():
        axis.plot(*other[:, :2].T, color=figure_style.GREY, lw=0.6, alpha=0.5)
      band = own[:, [0, 2, 3]].T
      axis.fill_between(*band, color=figure_style.BLUE, alpha=0.25, lw=0)
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
  """Returns `[k, 4]`: step, mean, lowest and highest Dice of all seeds."""
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
  """Returns all comparisons, or if they are many those of the reference row.

  The reference row becomes the first of each pair.
  """
  if len(pairs) <= _MANY:
    return [dict(pair) for pair in pairs]
  return [
    dict(pair) if pair["first"] == reference else _reversed(pair)
    for pair in pairs
    if reference in (pair["first"], pair["second"])
  ]


def _reversed(pair: Mapping[str, Any]) -> dict[str, Any]:
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

  Pairs whose corrected p-value is below `level` are blue, others grey. The
  result is empty without a pair; see `curves` for the rest.
  """
  if not pairs:
    return {}
  with figure_style.settings(title):
    height = 0.24 * len(pairs) + 0.9
    figure, ((axis,),) = figure_style.grid(1, 1, cell=(7.2, height))
    places = np.arange(len(pairs))[::-1]
    for y, pair in zip(places, pairs):
      significant = pair["p_holm"] < level
      colour = figure_style.BLUE if significant else figure_style.GREY
      axis.plot(pair["ci95"], [y, y], color=colour, lw=1.6)
      axis.plot(pair["difference"], y, "s", color=colour, ms=4)
    axis.axvline(0, color="black", lw=0.8)
    names = [f"{pair['first']}  –  {pair['second']}" for pair in pairs]
    axis.set_yticks(places, names)
    axis.set_xlabel("difference of lung Dice, first – second")
    axis.locator_params(axis="x", nbins=5)
    right = axis.secondary_yaxis("right")
    right.set_yticks(places, [_p(pair["p_holm"]) for pair in pairs])
    right.tick_params(length=0)
    right.spines["right"].set_visible(False)
    return figure_style.encode(figure)


def _p(value: float) -> str:
  return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"
