"""Matplotlib figures as files: the same bytes on every run.

Neither pyplot nor the user's matplotlibrc has any influence. Ids and class
names are never parsed as mathematics.
"""

import contextlib
import io
import textwrap
from collections.abc import Iterator
from typing import Any

DPI = 150
# Colours of Okabe and Ito, which colour-blind readers can distinguish.
BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#999999"
_SETTINGS = {
  "svg.fonttype": "none",
  "text.parse_math": False,
  "font.size": 8,
  "axes.titlesize": 8,
  "axes.spines.top": False,
  "axes.spines.right": False,
}
# Of what savefig would write about itself and the date.
_NO_METADATA = {
  "png": {"Software": None},
  "svg": dict.fromkeys(("Creator", "Date", "Format", "Type")),
}


@contextlib.contextmanager
def settings(title: str, *, plain: bool = False) -> Iterator[None]:
  """Inside, figures are drawn and saved with these settings alone.

  Args:
    title: distinguishes the ids in this figure's SVG from other figures'.
    plain: matplotlib's own defaults instead of this module's.
  """
  import matplotlib

  with matplotlib.rc_context():
    matplotlib.rcdefaults()
    chosen = {"svg.fonttype": "none"} if plain else _SETTINGS
    matplotlib.rcParams.update({**chosen, "svg.hashsalt": title})
    yield


def grid(rows: int, columns: int, *, cell: tuple[float, float]) -> Any:
  """A figure and its axes `[rows, columns]`, each of `cell` inches."""
  from matplotlib.figure import Figure

  size = (cell[0] * columns, cell[1] * rows)
  figure = Figure(figsize=size, layout="constrained")
  return figure, figure.subplots(rows, columns, squeeze=False)


def wrapped(name: str) -> str:
  """A row's name in short lines, its loss on one of its own."""
  return "\n".join(textwrap.fill(part, 18) for part in name.split(", "))


def legend_line(label: str) -> Any:
  """A blue line for a legend."""
  from matplotlib.lines import Line2D

  return Line2D([], [], color=BLUE, label=label)


def encode(figure: Any) -> dict[str, bytes]:
  """The figure by suffix, `png` and `svg`."""
  return {
    suffix: _saved(figure, format=suffix, dpi=DPI) for suffix in ("png", "svg")
  }


def transparent_svg(figure: Any) -> bytes:
  """The figure as SVG without a background."""
  return _saved(figure, format="svg", transparent=True)


def _saved(figure: Any, **options: Any) -> bytes:
  file = io.BytesIO()
  metadata = _NO_METADATA[options["format"]]
  figure.savefig(file, metadata=metadata, **options)
  return file.getvalue()
