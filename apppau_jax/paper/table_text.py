"""The table of a sweep as text: blocks of lines, Markdown and LaTeX.

The metrics of the lungs and the paper's quantities are separate blocks. In the
second one each cell has our value and the printed one, "0.9812 / 0.983".
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from apppau_jax.paper import printed_numbers, tables

_PAPER = {
  "DS": "DS: 2a/(1 + a)",
  "JS": "JS: pixel accuracy a",
  "HD": "HD: between rows",
  "class_PR": "class PR",
  "class_RE": "class RE",
  "lung_dice": "Lung Dice, pooled (paper: solved)",
}
_PAPER_NOTE = (
  "Each cell is our value / the printed one; a dash means that there is none. "
  "The columns are what docs/paper.md derives them to be. SN, SP, PR, RC and "
  "F1 are pooled over pixels and count the class in the column 'positive'. For "
  "two classes class PR and class RE are F1 of normal and of abnormal; for "
  "three they are weighted precision and recall. The paper prints no lung "
  "Dice: that column has the solution of its SN, SP and PR where JS agrees."
)


class Block(NamedTuple):
  """A heading, titles of columns, lines of cells and a note below them."""

  heading: str
  titles: list[str]
  lines: list[list[str]]
  note: str = ""


def blocks(table: Mapping[str, Any]) -> list[Block]:
  """Returns all blocks of a table, see `tables.make`, in order."""
  found = [_lungs(table), _paper(table)]
  if table["comparisons"]:
    found.append(_pairs(table["comparisons"]))
  if table.get("cross"):
    found.append(_cross(table["cross"]))
  return found


def cell(
  value: Mapping[str, Any] | None, places: int, *, seeds: int | None = None
) -> str:
  """Returns mean ± sd over seeds, and n if fewer than `seeds` have the value.

  A dash stands for None.
  """
  if value is None:
    return "–"
  text = f"{value['mean']:,.{places}f}"
  if value["sd"] is not None and places:
    text += f" ± {value['sd']:.{places}f}"
  if seeds and value["n"] < seeds:
    text += f" (n={value['n']})"
  return text


def _lungs(table: Mapping[str, Any]) -> Block:
  rows, names = _present(table, [*tables.LUNG_METRICS])
  lines = []
  for row in rows:
    best = table["best"].get(row["dataset"]) == row["row"]
    name = f"{row['row']} *" if best else row["row"]
    values = [
      cell(
        row["values"].get(n), tables.LUNG_METRICS[n][1], seeds=len(row["seeds"])
      )
      for n in names
    ]
    lines.append([row["dataset"], name, _seeds(row), *values])
  titles = ["data", "row", "seeds", *(tables.LUNG_METRICS[n][0] for n in names)]
  return Block("Lungs and classes", titles, lines)


def _paper(table: Mapping[str, Any]) -> Block:
  prefix = "paper_units."
  rows, names = _present(
    table, [prefix + name for name in tables.PAPER_COLUMNS]
  )
  columns = [name.removeprefix(prefix) for name in names]
  lines = []
  for row in rows:
    printed = {**row["printed"], **row["solved"]}
    values = []
    for column in columns:
      ours = row["values"].get(prefix + column)
      text = cell(ours, 3, seeds=len(row["seeds"]))
      other = "–"
      if column in printed:
        other = printed_numbers.as_printed(column, printed[column])
      values.append(f"{text} / {other}")
    lines.append(
      [row["dataset"], row["row"], _seeds(row), row["positive"], *values]
    )
  titles = ["data", "row", "seeds", "positive"]
  titles += [_PAPER.get(column, column) for column in columns]
  return Block("In the paper's units", titles, lines, _PAPER_NOTE)


def _present(
  table: Mapping[str, Any], names: Sequence[str]
) -> tuple[list[Any], list[str]]:
  """The rows that have some of these metrics, and the metrics that any has."""
  rows = [r for r in table["rows"] if any(n in r["values"] for n in names)]
  return rows, [n for n in names if any(n in r["values"] for r in rows)]


def _seeds(row: Mapping[str, Any]) -> str:
  return str(len(row["seeds"]) or "–")


def _pairs(pairs: Sequence[Mapping[str, Any]]) -> Block:
  titles = ["data", "first", "second", "difference", "95 % CI", "p (Holm)"]
  lines = [
    [
      pair["dataset"],
      pair["first"],
      pair["second"],
      f"{pair['difference']:+.4f}",
      f"[{pair['ci95'][0]:+.4f}, {pair['ci95'][1]:+.4f}]",
      f"{pair['p_holm']:.3g}{' (1 seed)' if len(pair['seeds']) == 1 else ''}",
    ]
    for pair in pairs
  ]
  return Block("Lung Dice, row against row", titles, lines)


def _cross(entries: Sequence[Mapping[str, Any]]) -> Block:
  titles = ["trained on", "row", "measured on", "images", "seeds"]
  titles += ["Lung Dice", "AUROC of TB", "reason for a dash"]
  lines = [
    [
      entry["trained_on"],
      entry["row"],
      entry["measured_on"],
      str(entry["n"] or "–"),
      _seeds(entry),
      cell(entry["dice"], 4),
      cell(entry["auroc_tb"], 3),
      "; ".join(entry["why_not"]),
    ]
    for entry in entries
  ]
  return Block("Trained on one set, measured on another", titles, lines)


def markdown(table: Mapping[str, Any]) -> str:
  """Returns all blocks as Markdown."""
  parts = [f"# {table['title']}\n\n{table['caption']}\n"]
  for block in blocks(table):
    head, *body = (f"| {' | '.join(t)} |" for t in [block.titles, *block.lines])
    lines = [head, "|" + "---|" * len(block.titles), *body]
    note = f"\n{block.note}\n" if block.note else ""
    parts.append("\n".join([f"## {block.heading}\n", *lines, note]))
  return "\n".join(parts)


def latex(table: Mapping[str, Any]) -> str:
  """Returns the first two blocks as LaTeX tabulars (booktabs)."""
  return "\n".join(_tabular(block) for block in blocks(table)[:2])


def _tabular(block: Block) -> str:
  lines = [" & ".join(map(_tex, line)) + r" \\" for line in block.lines]
  return "\n".join(
    [
      f"% {block.heading}. {block.note}".rstrip(),
      r"\begin{tabular}{ll" + "r" * (len(block.titles) - 2) + "}",
      r"\toprule",
      " & ".join(map(_tex, block.titles)) + r" \\",
      r"\midrule",
      *lines,
      r"\bottomrule",
      r"\end{tabular}",
      "",
    ]
  )


def _tex(text: str) -> str:
  for plain, written in (
    ("\\", r"\textbackslash{}"),
    *((sign, "\\" + sign) for sign in "_%&#"),
    ("±", r"$\pm$"),
    ("–", "--"),
  ):
    text = text.replace(plain, written)
  return text
