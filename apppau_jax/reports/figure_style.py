"""Figures for files: the same bytes on every run, as PNG and as SVG.

No pyplot and no user's matplotlibrc. Foreign text (ids, class names) is never
read as mathematics.
"""

import contextlib
import io
import textwrap
from collections.abc import Iterator
from typing import Any

DPI = 150
# Okabe and Ito's colours, told apart by colour-blind readers.
BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#999999"
_SETTINGS = {
  "svg.fonttype": "none",
  "text.parse_math": False,
  "font.size": 8,
  "axes.titlesize": 8,
  "axes.spines.top": False,
  "axes.spines.right": False,
}


@contextlib.contextmanager
def settings(title: str) -> Iterator[None]:
  """Draw and save inside: everything that matplotlib may be told is told."""
  import matplotlib

  with matplotlib.rc_context():
    matplotlib.rcdefaults()
    matplotlib.rcParams.update({**_SETTINGS, "svg.hashsalt": title})
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


def encode(figure: Any) -> dict[str, bytes]:
  """The figure by suffix, `png` and `svg`."""
  content = {}
  for suffix, nothing in (
    ("png", {"Software": None}),
    ("svg", dict.fromkeys(("Creator", "Date", "Format", "Type"))),
  ):
    file = io.BytesIO()
    figure.savefig(file, format=suffix, dpi=DPI, metadata=nothing)
    content[suffix] = file.getvalue()
  return content
