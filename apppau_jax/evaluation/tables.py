"""Tables of many runs: JSON for machines, Markdown, LaTeX and HTML for people.

Two blocks, never mixed: the lung's own metrics, and the paper's quantities
(`paper_compat`). A row is marked only if its lung Dice leads every other row's:
p < .05 after Holm's correction over all pairs, an interval above zero, and at
least three seeds.
"""

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from apppau_jax.evaluation import comparisons
from apppau_jax.evaluation.comparisons import Run

LEVEL = 0.05  # of the corrected p-value
_PAIRS = "Lung Dice, row against row"
SEEDS = 3  # fewer show nothing about other trainings


class Column(NamedTuple):
  """A metric of report.json by its dotted name, and how it is written."""

  name: str
  title: str
  places: int


OURS = (
  Column("segmentation.dice", "Lung Dice", 4),
  Column("segmentation.jaccard", "Jaccard", 4),
  Column("segmentation.average_hausdorff", "average HD, px", 2),
  Column("segmentation.hausdorff95", "HD95, px", 2),
  Column("classification.accuracy", "accuracy", 3),
  Column("classification.majority_accuracy", "majority class", 3),
  Column("classification.balanced_accuracy", "balanced accuracy", 3),
  Column("classification.auroc", "AUROC", 3),
  Column("parameters.segmentor", "parameters", 0),
)
PAPERS = (
  Column("paper_compat.js_pixel_accuracy", "JS (pixel accuracy)", 3),
  Column("paper_compat.ds_from_accuracy", "DS (2a/(1+a))", 3),
)


def make(runs: Iterable[Run], *, facts: Mapping[str, Any]) -> dict[str, Any]:
  """Everything a table says, ready for JSON.

  Args:
    runs: finished runs.
    facts: what they are of (table, protocol, part, command, commit, ...).
  """
  runs = list(runs)
  names = [column.name for column in (*OURS, *PAPERS)]
  entries = comparisons.summary(runs, names)
  pairs = _comparisons(runs)
  return {
    **facts,
    "rows": entries,
    "comparisons": pairs,
    "best": _best(pairs, runs),
  }


def _by_row(runs: Sequence[Run]) -> dict[str, dict[str, list[Run]]]:
  """{dataset: {row: its runs}}."""
  rows: dict[str, dict[str, list[Run]]] = {}
  for run in runs:
    rows.setdefault(run.dataset, {}).setdefault(run.row, []).append(run)
  return rows


def _comparisons(runs: Sequence[Run]) -> list[dict[str, Any]]:
  """Every pair of rows of a data set by lung Dice, p-values by Holm."""
  found: list[dict[str, Any]] = []
  for dataset, rows in _by_row(runs).items():
    names = list(rows)
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    for first, second in pairs:
      try:
        result = comparisons.paired(rows[first], rows[second])
      except ValueError:  # measured on other images: nothing to compare
        continue
      if result is not None:
        found.append(
          {"dataset": dataset, "first": first, "second": second, **result}
        )
  adjusted = comparisons.holm([float(pair["p"]) for pair in found])
  return [
    {**pair, "p_holm": value}
    for pair, value in zip(found, adjusted, strict=True)
  ]


def _best(pairs: Sequence[Mapping[str, Any]], runs) -> dict[str, str]:
  """The row of each data set that leads every other one, if there is one."""
  best = {}
  for dataset, rows in _by_row(runs).items():
    for row in rows:
      won = [
        pair
        for pair in pairs
        if pair["dataset"] == dataset and _leads(row, pair)
      ]
      if len(won) == len(rows) - 1 > 0:
        best[dataset] = row
  return best


def _leads(row: str, pair: Mapping[str, Any]) -> bool:
  """Whether a comparison shows that a row is better than its other row."""
  low, high = pair["ci95"]
  above = low > 0 if row == pair["first"] else high < 0
  return (
    row in (pair["first"], pair["second"])
    and above
    and pair["p_holm"] < LEVEL
    and len(pair["seeds"]) >= SEEDS
  )


def cell(value: Mapping[str, Any] | None, places: int) -> str:
  """Mean ± sd over seeds; the mean alone for one seed; a dash for nothing."""
  if value is None:
    return "–"
  text = f"{value['mean']:,.{places}f}"
  if value["sd"] is None or not places:
    return text
  return f"{text} ± {value['sd']:.{places}f}"


def grid(
  table: Mapping[str, Any], columns: Sequence[Column]
) -> tuple[list[str], list[list[str]]]:
  """Titles, and one line of text a row; columns nobody has are left out."""
  rows = table["rows"]
  used = [c for c in columns if any(c.name in r["values"] for r in rows)]
  titles = ["data", "row", "seeds", *(c.title for c in used)]
  lines = []
  for row in rows:
    marked = table["best"].get(row["dataset"]) == row["row"]
    values = [cell(row["values"].get(c.name), c.places) for c in used]
    name = f"{row['row']} *" if marked else row["row"]
    lines.append([row["dataset"], name, str(len(row["seeds"])), *values])
  return titles, lines


def markdown(table: Mapping[str, Any]) -> str:
  """The two blocks and the comparisons as Markdown."""
  parts = [f"# {table['title']}\n\n{table['caption']}\n"]
  for heading, columns in (
    ("Lungs and classes", OURS),
    ("In the paper's units", PAPERS),
  ):
    titles, lines = grid(table, columns)
    parts.append(f"## {heading}\n\n{_pipes([titles, *lines])}\n")
  if table["comparisons"]:
    parts.append(f"## {_PAIRS}\n\n{_pipes(_pairs(table))}\n")
  return "\n".join(parts)


def _pipes(lines: Sequence[Sequence[str]]) -> str:
  head, *body = (f"| {' | '.join(line)} |" for line in lines)
  return "\n".join([head, "|" + "---|" * len(lines[0]), *body])


def _pairs(table: Mapping[str, Any]) -> list[list[str]]:
  """Titles, then one line a comparison."""
  titles = ["data", "first", "second", "difference", "95 % CI", "p (Holm)"]
  lines = [
    [
      pair["dataset"],
      pair["first"],
      pair["second"],
      f"{pair['difference']:+.4f}",
      f"[{pair['ci95'][0]:+.4f}, {pair['ci95'][1]:+.4f}]",
      f"{pair['p_holm']:.3g}",
    ]
    for pair in table["comparisons"]
  ]
  return [titles, *lines]


def latex(table: Mapping[str, Any]) -> str:
  """The first block as a LaTeX tabular (booktabs)."""
  titles, lines = grid(table, OURS)
  body = "\n".join(" & ".join(map(_tex, line)) + r" \\" for line in lines)
  return "\n".join(
    [
      r"\begin{tabular}{ll" + "r" * (len(titles) - 2) + "}",
      r"\toprule",
      " & ".join(map(_tex, titles)) + r" \\",
      r"\midrule",
      body,
      r"\bottomrule",
      r"\end{tabular}",
      "",
    ]
  )


def _tex(text: str) -> str:
  for plain, written in (
    ("\\", r"\textbackslash{}"),
    ("_", r"\_"),
    ("%", r"\%"),
    ("&", r"\&"),
    ("#", r"\#"),
    ("±", r"$\pm$"),
    ("–", "--"),
  ):
    text = text.replace(plain, written)
  return text


def page(table: Mapping[str, Any]) -> str:
  """Both blocks and the comparisons as one HTML page without scripts."""
  grids = [
    ("Lungs and classes", grid(table, OURS)),
    ("In the paper's units", grid(table, PAPERS)),
  ]
  if table["comparisons"]:
    titles, *lines = _pairs(table)
    grids.append((_PAIRS, (titles, lines)))
  blocks = []
  for heading, (titles, lines) in grids:
    head = "".join(f"<th>{html.escape(t)}</th>" for t in titles)
    body = "".join(
      "<tr>" + "".join(f"<td>{html.escape(c)}</td>" for c in line) + "</tr>"
      for line in lines
    )
    blocks.append(
      f"<h2>{html.escape(heading)}</h2><table><thead><tr>{head}</tr></thead>"
      f"<tbody>{body}</tbody></table>"
    )
  return (
    '<!doctype html><html lang="en"><meta charset="utf-8">'
    f"<title>{html.escape(table['title'])}</title><style>{_STYLE}</style>"
    f"<h1>{html.escape(table['title'])}</h1>"
    f"<p>{html.escape(table['caption'])}</p>{''.join(blocks)}</html>\n"
  )


_STYLE = (
  "body{font:16px/1.5 system-ui,sans-serif;max-width:75rem;margin:2rem auto;"
  "padding:0 1rem;color-scheme:light dark}table{border-collapse:collapse;"
  "font-variant-numeric:tabular-nums}td,th{padding:.3rem .7rem;"
  "border-bottom:1px solid #8885;text-align:left}"
)
