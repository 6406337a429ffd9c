"""The table of a sweep and its figures as one self-contained HTML page."""

import base64
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any, NamedTuple

import jinja2

from apppau_jax.paper import table_text


class Figure(NamedTuple):
  """A figure of the page.

  Attributes:
    name: of its files, without suffix.
    caption: any text.
    content: `{"png": bytes, "svg": bytes}`.
  """

  name: str
  caption: str
  content: Mapping[str, bytes]

  @property
  def uri(self) -> str:
    """The PNG as a data URI."""
    png = base64.b64encode(self.content["png"]).decode("ascii")
    return f"data:image/png;base64,{png}"


class _Row(NamedTuple):
  """A line: its name, the other cells, and whether it is marked."""

  name: str
  cells: list[str]
  is_best: bool


class _Part(NamedTuple):
  """The lines of one data set, with the forest plot of its comparisons."""

  name: str
  rows: list[_Row]
  forest: Figure | None


class _Section(NamedTuple):
  """A block of the table; `words` are the titles of columns of text."""

  heading: str
  titles: list[str]
  words: tuple[str, ...]
  parts: list[_Part]
  note: str


class _Tile(NamedTuple):
  title: str
  value: str
  about: str


def page(table: Mapping[str, Any], *, figures: Sequence[Figure] = ()) -> str:
  """Returns the page, which has no script and loads nothing.

  Args:
    table: see `tables.make`.
    figures: in the order in which they are shown. DATASET-forest stands beside
      the comparisons of the data set.
  """
  style = resources.files("apppau_jax.reports") / "style.css.jinja"
  file = resources.files("apppau_jax.paper") / "table.html.jinja"
  environment = jinja2.Environment(
    autoescape=True,
    loader=jinja2.DictLoader(
      {"style.css.jinja": style.read_text(encoding="utf-8")}
    ),
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
  )
  forests = {figure.name: figure for figure in figures}
  sections = [
    _section(block, table, forests) for block in table_text.blocks(table)
  ]
  shown = {
    part.forest.name for s in sections for part in s.parts if part.forest
  }
  return environment.from_string(file.read_text(encoding="utf-8")).render(
    table=table,
    tiles=_tiles(table),
    sections=sections,
    figures=[figure for figure in figures if figure.name not in shown],
  )


def _section(
  block: table_text.Block,
  table: Mapping[str, Any],
  forests: Mapping[str, Figure],
) -> _Section:
  """A block by data set, what identifies a line first and the seeds last."""
  titles, lines = [*block.titles], [[*line] for line in block.lines]
  datasets = [""] * len(lines)
  if titles[0] == "data":
    datasets = [line.pop(0) for line in lines]
    titles.pop(0)
  pairs = titles[:2] == ["first", "second"]
  if pairs:
    titles[:2] = ["first – second"]
    lines = [[f"{line[0]} – {line[1]}", *line[2:]] for line in lines]
  if titles[1] == "seeds":
    lines = [[line[0], *line[2:], line[1]] for line in lines]
    titles = [titles[0], *titles[2:], titles[1]]
  parts = []
  for dataset in dict.fromkeys(datasets):
    own = [line for name, line in zip(datasets, lines) if name == dataset]
    best = table["best"].get(dataset)
    rows = [
      _Row(line[0], line[1:], line[0].removesuffix(" *") == best)
      for line in own
    ]
    forest = forests.get(f"{dataset}-forest") if pairs else None
    parts.append(_Part(dataset, rows, forest))
  words = ("row", "measured on", "positive", "reason for a dash")
  return _Section(block.heading, titles, words, parts, block.note)


def _tiles(table: Mapping[str, Any]) -> list[_Tile]:
  """The highest mean lung Dice of each data set, with its row."""
  name, tiles = "segmentation.dice", []
  for dataset in dict.fromkeys(row["dataset"] for row in table["rows"]):
    rows = [
      row
      for row in table["rows"]
      if row["dataset"] == dataset and name in row["values"]
    ]
    if not rows:
      continue
    top = max(rows, key=lambda row: row["values"][name]["mean"])
    is_best = table["best"].get(dataset) == top["row"]
    about = "better than every other row" if is_best else "highest mean only"
    value = table_text.cell(top["values"][name], 4)
    tiles.append(
      _Tile(f"Lung Dice, {dataset}", value, f"{top['row']}: {about}")
    )
  return tiles
