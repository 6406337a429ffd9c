"""Images side by side: one row an image, one column a network, loss or view.

As in Figs. 3 and 5 of the paper, prediction and reference are outlined on the
radiograph, and what only one of them has is tinted in its colour.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from apppau_jax.imaging import grey_levels
from apppau_jax.inference import outputs, overlay
from apppau_jax.reports import figure_style

_INCHES = 1.35  # of an image's side


@dataclasses.dataclass(frozen=True, kw_only=True)
class Film:
  """An image that every column shows.

  Attributes:
    id: its name.
    image: `[h, w]` uint8 or uint16.
    mask: `[h, w]` bool, the reference.
  """

  id: str
  image: np.ndarray
  mask: np.ndarray


@dataclasses.dataclass(frozen=True, kw_only=True)
class View:
  """An image as a network may see it.

  Attributes:
    title: what it is.
    image: float `[h, w]`, any range; shown from 0 to 1 if it lies there.
    mask: `[h, w, k]`, outlined where it is at least 1/2; None if unknown.
  """

  title: str
  image: np.ndarray
  mask: np.ndarray | None = None


def pick(scores: Mapping[str, float], *, count: int) -> list[str]:
  """The ids to show: evenly spaced from the lowest to the highest score.

  Args:
    scores: a score by id. The mean over all columns favours none of them.
    count: how many, at least 2; all if there are fewer.
  """
  order = sorted(scores, key=lambda name: (scores[name], name))
  if len(order) <= count:
    return order
  return [order[round(i)] for i in np.linspace(0, len(order) - 1, count)]


def overlays(
  films: Sequence[Film],
  columns: Mapping[str, Mapping[str, np.ndarray]],
  *,
  title: str,
) -> dict[str, bytes]:
  """Draws each column's masks on the same images, with their lung Dice.

  Args:
    films: one a row.
    columns: {title: {id: mask `[h, w]` bool}}.
    title: distinguishes this figure from others; not drawn.

  Returns:
    The figure by suffix, see `figure_style.encode`.
  """
  with figure_style.settings(title):
    figure, axes = _grid(len(films), ["image", *columns])
    for row, film in zip(axes, films):
      image = grey_levels.unit(film.image)
      row[0].imshow(image, cmap="gray", vmin=0, vmax=1)
      row[0].set_ylabel(film.id, fontsize=6)
      for axis, masks in zip(row[1:], columns.values()):
        found = masks[film.id]
        drawn = overlay.compare(image, mask=film.mask, prediction=found)
        axis.imshow(drawn)
        dice = outputs.dice(found[None], film.mask[None])[0]
        axis.set_xlabel(f"Dice {dice:.3f}", fontsize=6)
    return figure_style.encode(figure)


def views(
  rows: Mapping[str, Sequence[View]], *, title: str, heading: str = ""
) -> dict[str, bytes]:
  """Draws each image's views in a row, every view with its title.

  Args:
    rows: {name of an image: its views}, equally many of each.
    title: distinguishes this figure from others; not drawn.
    heading: drawn above, with a legend of the outline; "" for neither.

  Returns:
    The figure by suffix, see `figure_style.encode`.
  """
  with figure_style.settings(title):
    columns = max(map(len, rows.values()))
    figure, axes = _grid(len(rows), [""] * columns, height=1.15)
    for line, (name, row) in zip(axes, rows.items()):
      line[0].set_ylabel(name, fontsize=6)
      for axis, view in zip(line, row, strict=True):
        low, high = float(view.image.min()), float(view.image.max())
        within = low >= 0.0 and high <= 1.0
        low, high = (0.0, 1.0) if within else (low, high)
        axis.imshow(view.image, cmap="gray", vmin=low, vmax=high)
        axis.set_xlabel(view.title, fontsize=6)
        planes = () if view.mask is None else np.moveaxis(view.mask, -1, 0)
        for plane in planes:
          if plane.max() >= 0.5 > plane.min():
            axis.contour(plane, levels=[0.5], colors=[figure_style.BLUE])
    if heading:
      figure.suptitle(heading, fontsize=9)
      line = figure_style.legend_line("outline of the reference mask")
      figure.legend(
        handles=[line], loc="outside lower center", frameon=False, fontsize=7
      )
    return figure_style.encode(figure)


def attention(
  films: Sequence[Film],
  maps: Mapping[str, np.ndarray],
  *,
  title: str,
) -> dict[str, bytes]:
  """Draws the coefficients of each attention gate, coarse to fine.

  Args:
    films: one a row.
    maps: {gate: `[n, h_i, w_i]` in [0, 1]}, in the order of the films; D1 is
      the finest.
    title: distinguishes this figure from others; not drawn.

  Returns:
    The figure by suffix, see `figure_style.encode`.
  """
  names = sorted(maps, reverse=True)
  with figure_style.settings(title):
    figure, axes = _grid(len(films), ["image, reference", *names])
    for i, (row, film) in enumerate(zip(axes, films)):
      row[0].imshow(grey_levels.unit(film.image), cmap="gray", vmin=0, vmax=1)
      row[0].contour(film.mask, levels=[0.5], colors=[figure_style.BLUE])
      row[0].set_ylabel(film.id, fontsize=6)
      for axis, name in zip(row[1:], names):
        values = maps[name][i]
        low, high = float(values.min()), float(values.max())
        axis.imshow(values, cmap="viridis", vmin=low, vmax=high)
        axis.set_xlabel(f"{low:.2f} to {high:.2f}", fontsize=6)
    return figure_style.encode(figure)


def _grid(rows: int, titles: Sequence[str], *, height: float = 1.12) -> Any:
  """A figure and its axes `[rows, columns]` without ticks and frames."""
  cell = (_INCHES, _INCHES * height)
  figure, axes = figure_style.grid(rows, len(titles), cell=cell)
  for axis, title in zip(axes[0], titles):
    axis.set_title(figure_style.wrapped(title))
  for axis in axes.flat:
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set_visible(False)
  return figure, axes
