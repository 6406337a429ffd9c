"""Tables of many runs: JSON for machines, Markdown and LaTeX for people.

Two blocks, never mixed: the lung's own metrics, and the paper's quantities
(`paper_compat`) with what it printed beside them. A row is marked only if its
lung Dice leads every other row's: p < .05 after Holm's correction over all
pairs, an interval above zero, and at least three seeds.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from apppau_jax.metrics import baselines
from apppau_jax.paper import comparisons, printed_numbers
from apppau_jax.paper.comparisons import Run

LEVEL = 0.05  # of the corrected p-value
SEEDS = 3  # fewer show nothing about other trainings


class Column(NamedTuple):
  """A metric of report.json by its dotted name, and how it is written.

  `printed` names the paper's column of the same quantity, if it has one.
  """

  name: str
  title: str
  places: int
  printed: str = ""


class Block(NamedTuple):
  """A heading, titles and lines of text: what every format writes."""

  heading: str
  titles: list[str]
  lines: list[list[str]]


OURS = (
  Column("segmentation.dice", "Lung Dice", 4),
  Column("segmentation.jaccard", "Jaccard", 4),
  Column("segmentation.average_hausdorff", "average HD, px", 2),
  Column("segmentation.hausdorff95", "HD95, px", 2),
  Column("classification.accuracy", "accuracy", 3),
  Column("classification.balanced_accuracy", "balanced accuracy", 3),
  Column("classification.auroc", "AUROC", 3),
  Column("parameters.segmentor", "parameters of S", 0),
  Column("parameters.discriminator", "parameters of D", 0),
)
PAPERS = (
  Column("paper_compat.js_pixel_accuracy", "JS (pixel accuracy)", 3, "js"),
  Column("paper_compat.ds_from_accuracy", "DS (2a/(1+a))", 3, "ds"),
  Column("paper_compat.hausdorff_rows", "HD (between rows)", 2, "hd"),
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
  for entry in entries:
    entry["printed"] = printed_numbers.printed(
      facts.get("table", 0), dataset=entry["dataset"], row=entry["row"]
    )
  pairs = _comparisons(runs)
  return {
    **facts,
    "rows": [*entries, *_without_images(runs)],
    "comparisons": pairs,
    "best": _best(pairs, runs),
  }


def _without_images(runs: Sequence[Run]) -> list[dict[str, Any]]:
  """Rows of the answers that need no image, a data set at a time."""
  entries = []
  for dataset, rows in _by_row(runs).items():
    asked = [run for group in rows.values() for run in group]
    found = next(filter(None, map(_answers, asked)), {})
    for row, values in found.items():
      known = {
        f"classification.{name}": comparisons.over_seeds([value])
        for name, value in values.items()
      }
      entries.append(
        {
          "dataset": dataset,
          "row": row,
          "seeds": [],
          "values": known,
          "printed": {},
        }
      )
  return entries


def _answers(run: Run) -> dict[str, dict[str, float]]:
  return baselines.without_images(run.report)


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


def cell(
  value: Mapping[str, Any] | None, places: int, *, seeds: int | None = None
) -> str:
  """Mean ± sd over seeds; the mean alone for one seed; a dash for nothing.

  Args:
    value: {mean, sd, n}.
    places: behind the point.
    seeds: of the row; how many of them have the value is told if not all do.
  """
  if value is None:
    return "–"
  text = f"{value['mean']:,.{places}f}"
  if value["sd"] is not None and places:
    text = f"{text} ± {value['sd']:.{places}f}"
  if seeds and value["n"] < seeds:
    text = f"{text} (n={value['n']})"
  return text


def blocks(table: Mapping[str, Any]) -> list[Block]:
  """Everything there is to write, in order; what nobody has is left out."""
  found = [
    _block(table, "Lungs and classes", OURS),
    _block(table, "In the paper's units", PAPERS),
  ]
  if table["comparisons"]:
    found.append(_pairs(table))
  if table.get("cross"):
    found.append(_transfer(table["cross"]))
  return found


def _block(
  table: Mapping[str, Any], heading: str, columns: Sequence[Column]
) -> Block:
  rows = [
    r for r in table["rows"] if any(c.name in r["values"] for c in columns)
  ]
  used = [c for c in columns if any(c.name in r["values"] for r in rows)]
  printed = [c for c in used if any(c.printed in r["printed"] for r in rows)]
  titles = ["data", "row", "seeds", *(c.title for c in used)]
  titles += [f"paper: {c.printed.upper()}" for c in printed]
  lines = []
  for row in rows:
    marked = table["best"].get(row["dataset"]) == row["row"]
    count = len(row["seeds"])
    values = [
      cell(row["values"].get(c.name), c.places, seeds=count) for c in used
    ]
    values += [str(row["printed"].get(c.printed, "–")) for c in printed]
    name = f"{row['row']} *" if marked else row["row"]
    seeds = str(len(row["seeds"]) or "–")
    lines.append([row["dataset"], name, seeds, *values])
  return Block(heading, titles, lines)


def _pairs(table: Mapping[str, Any]) -> Block:
  """A line a comparison."""
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
  return Block("Lung Dice, row against row", titles, lines)


def _transfer(cells: Sequence[Mapping[str, Any]]) -> Block:
  """A line a row and pair of sets, mean ± sd over seeds."""
  titles = ["trained on", "row", "measured on", "images", "seeds"]
  titles += ["Lung Dice", "AUROC of TB", "not measured, because"]
  lines = [
    [
      entry["trained_on"],
      entry["row"],
      entry["measured_on"],
      str(entry["n"]) if entry["n"] else "–",
      str(len(entry["seeds"]) or "–"),
      cell(entry["dice"], 4),
      cell(entry["auroc_tb"], 3),
      "; ".join(entry["why_not"]),
    ]
    for entry in cells
  ]
  return Block("Trained on one set, measured on another", titles, lines)


def markdown(table: Mapping[str, Any]) -> str:
  """All blocks as Markdown."""
  parts = [f"# {table['title']}\n\n{table['caption']}\n"]
  for block in blocks(table):
    pipes = _pipes([block.titles, *block.lines])
    parts.append(f"## {block.heading}\n\n{pipes}\n")
  return "\n".join(parts)


def _pipes(lines: Sequence[Sequence[str]]) -> str:
  head, *body = (f"| {' | '.join(line)} |" for line in lines)
  return "\n".join([head, "|" + "---|" * len(lines[0]), *body])


def latex(table: Mapping[str, Any]) -> str:
  """The first block as a LaTeX tabular (booktabs)."""
  _, titles, lines = blocks(table)[0]
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
