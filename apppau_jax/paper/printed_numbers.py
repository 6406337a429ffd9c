"""The paper's printed tables, and which of their numbers exclude one another.

`paper_tables.json` holds Tables 1 and 2 as printed. Sensitivity, specificity
and precision of a row determine its share of positive pixels and its accuracy,
and therefore what its other columns can be. All relations are those of pixel
counts that are pooled over the test images. A relation is contradicted if no
values that round to the printed ones fulfil it.
"""

import dataclasses
import functools
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from typing import Any, NamedTuple

SIZES = {"montgomery": 35, "jsrt": 62, "shenzhen": 132}  # test, two classes
_CLASS_F1 = ("class_PR", "class_RE")  # two decimals, other columns have three


@dataclasses.dataclass(frozen=True, kw_only=True)
class PrintedRow:
  """A row of Table 1 or 2; `name` and `dataset` as in `table_rows.Row`."""

  table: str
  dataset: str
  name: str
  values: Mapping[str, float]  # by column, see paper_tables.json

  @property
  def lung_is_positive(self) -> bool:
    """Whether the row counts lung pixels as positive, or the background.

    It follows from SN, PR and JS (as accuracy), since one row has an SP that
    contradicts the others. Lungs cover a quarter to a third of an image.
    """
    sn, pr = self.values["SN"], self.values["PR"]
    errors = (1.0 - sn) + sn * (1.0 - pr) / pr  # for each positive pixel
    return (1.0 - self.values["JS"]) / errors < 0.5

  @property
  def solved(self) -> "Solved":
    """Share of positive pixels and accuracy, from SN, SP and PR."""
    return solve(*(self.values[name] for name in ("SN", "SP", "PR")))

  @property
  def lung_dice(self) -> float:
    """Dice of the lungs, pooled, that SN, SP and PR imply."""
    if self.lung_is_positive:
      return f1_score(self.values["PR"], self.values["SN"])
    positive, accuracy = self.solved
    return lung_dice(
      accuracy=accuracy, lung=1.0 - positive, recall=self.values["SP"]
    )


class Solved(NamedTuple):
  """Fractions of all pixels: the positive ones, and the correct ones."""

  positive: float
  accuracy: float


@functools.cache
def read() -> dict[str, Any]:
  """Returns the contents of paper_tables.json, which must not be changed."""
  file = resources.files("apppau_jax.paper") / "paper_tables.json"
  return json.loads(file.read_text(encoding="utf-8"))


@functools.cache
def rows() -> tuple[PrintedRow, ...]:
  """Returns the rows of Table 1 and then those of Table 2."""
  return tuple(
    PrintedRow(
      table=table,
      dataset=row["dataset"],
      name=", ".join(row["row"].rsplit("-", 1)),
      values={k: v for k, v in row.items() if isinstance(v, float)},
    )
    for table in ("1", "2")
    for row in read()[f"table{table}"]
  )


def find(table: str, *, dataset: str, name: str) -> PrintedRow | None:
  """Returns the row of a table, or None if the paper has no such row."""
  wanted = (table, dataset, name)
  found = (r for r in rows() if (r.table, r.dataset, r.name) == wanted)
  return next(found, None)


def as_printed(column: str, value: float) -> str:
  """Returns a number with the decimals of its column in print."""
  return f"{value:.{_places(column)}f}"


def solve(sn: float, sp: float, pr: float, /) -> Solved:
  """Solves sensitivity, specificity and precision for the share of positives.

  From PR = f SN / (f SN + (1 - f)(1 - SP)) follows the positive fraction f.

  Raises:
    ValueError: without false positives and negatives f is undetermined.
  """
  wrong, right = pr * (1.0 - sp), sn * (1.0 - pr)
  if not wrong > 0 or not right > 0:
    raise ValueError("without both kinds of errors f is undetermined")
  positive = wrong / (right + wrong)
  return Solved(positive, positive * sn + (1.0 - positive) * sp)


def lung_dice(*, accuracy: float, lung: float, recall: float) -> float:
  """Returns the pooled Dice of the lungs.

  Args:
    accuracy: of all pixels.
    lung: fraction of pixels that are lung.
    recall: of the lungs: SP where the background is the positive class.
  """
  hits = 2.0 * lung * recall
  return hits / (hits + 1.0 - accuracy)


def ds_from_js(js: float) -> float:
  """Returns the Dice score of a Jaccard index J: 2J / (1 + J)."""
  return 2.0 * js / (1.0 + js)


def f1_score(precision: float, recall: float) -> float:
  """Returns the harmonic mean of precision and recall."""
  return 2.0 * precision * recall / (precision + recall)


def _class_accuracy(*f1: float) -> float:
  # F1 = 2h / (2h + e) with h correct answers in a class and e errors in all.
  hits = sum(score / (2.0 * (1.0 - score)) for score in f1)
  return hits / (1.0 + hits)


class Relation(NamedTuple):
  """A printed column that others determine.

  `derive` is monotone in each argument: its range over the values that round
  to the printed ones is spanned by the corners of that box.
  """

  formula: str
  column: str
  arguments: tuple[str, ...]
  derive: Callable[..., float]

  def applies(self, row: PrintedRow) -> bool:
    """Whether the row has the columns, and two classes for class F1."""
    classes = self.arguments != _CLASS_F1 or row.dataset in SIZES
    return {self.column, *self.arguments} <= row.values.keys() and classes

  def holds(self, values: Mapping[str, float]) -> bool:
    """Whether some values that round to the printed ones fulfil it."""
    box = [_rounded(name, values[name]) for name in self.arguments]
    found = [self.derive(*corner) for corner in itertools.product(*box)]
    low, high = _rounded(self.column, values[self.column])
    return max(low, min(found)) < min(high, max(found)) - 1e-9


RELATIONS = (
  Relation("RC = SN", "RC", ("SN",), float),
  Relation("DS = 2 JS / (1 + JS)", "DS", ("JS",), ds_from_js),
  Relation("F1 = 2 PR RC / (PR + RC)", "F1", ("PR", "RC"), f1_score),
  Relation(
    "JS = pixel accuracy, from SN, SP, PR",
    "JS",
    ("SN", "SP", "PR"),
    lambda *ratios: solve(*ratios).accuracy,
  ),
  Relation(
    "Acc from class PR and class RE as F1", "Acc", _CLASS_F1, _class_accuracy
  ),
)
# What the names of the columns usually mean.
USUAL_READINGS = (
  Relation(
    "JS = Jaccard of the positive class, F1 / (2 - F1)",
    "JS",
    ("F1",),
    lambda f1: f1 / (2.0 - f1),
  ),
  Relation("DS = Dice of the positive class, F1", "DS", ("F1",), float),
)


def contradictions(row: PrintedRow) -> list[str]:
  """Returns the formulas of `RELATIONS` that a row's numbers exclude."""
  asked = [relation for relation in RELATIONS if relation.applies(row)]
  return [r.formula for r in asked if not r.holds(row.values)]


def right_answers(
  f1: Sequence[float], *, correct: int, images: int, places: int = 2
) -> list[tuple[int, int]]:
  """Returns every (h_0, h_1) that gives the F1 scores of two classes.

  F1 of a class with h correct answers is 2h / (2h + e), e being the number of
  errors: each error counts once against either class.

  Args:
    f1: printed scores of the two classes.
    correct: h_0 + h_1.
    images: answers in total.
    places: decimals printed.
  """
  errors = images - correct
  half = 0.5000001 * 10**-places
  return [
    (first, correct - first)
    for first in range(correct + 1)
    if all(
      abs(2 * h / (2 * h + errors or 1) - score) <= half
      for h, score in zip((first, correct - first), f1, strict=True)
    )
  ]


def answers(row: PrintedRow) -> list[tuple[int, int]]:
  """Returns `right_answers` of a row of Table 2 with two classes."""
  images = SIZES[row.dataset]
  return right_answers(
    [row.values[name] for name in _CLASS_F1],
    correct=round(row.values["Acc"] * images),
    images=images,
  )


def summary() -> dict[str, tuple[int, int]]:
  """Returns {formula: (rows that it applies to, rows that contradict it)}."""
  counts = {}
  for relation in (*RELATIONS, *USUAL_READINGS):
    asked = [row.values for row in rows() if relation.applies(row)]
    wrong = sum(not relation.holds(values) for values in asked)
    counts[relation.formula] = (len(asked), wrong)
  return counts


def markdown() -> str:
  """Returns `summary` and the solution of every row as Markdown tables."""
  lines = ["| relation | rows | contradicted |", "|---|---|---|"]
  for formula, (asked, wrong) in summary().items():
    lines.append(f"| {formula} | {asked} | {wrong} |")
  titles = "table data row positive share accuracy JS lung_Dice contradicted"
  lines += ["", f"| {titles.replace(' ', ' | ').replace('_', ' ')} |"]
  lines.append("|" + "---|" * 9)
  for row in rows():
    wrong = [formula.partition(" ")[0] for formula in contradictions(row)]
    numbers = (*row.solved, row.values["JS"], row.lung_dice)
    cells = [row.table, row.dataset, row.name]
    cells += ["lung" if row.lung_is_positive else "background"]
    cells += [f"{number:.3f}" for number in numbers]
    lines.append(f"| {' | '.join([*cells, ', '.join(wrong) or '–'])} |")
  return "\n".join(lines) + "\n"


def _places(column: str) -> int:
  return 2 if column in _CLASS_F1 else 3


def _rounded(column: str, value: float) -> tuple[float, float]:
  half = 0.5 * 10.0 ** -_places(column)
  return value - half, value + half
