"""The paper's printed tables, and what follows from a row of them.

`paper_tables.json` holds what is at hand of Tables 1 to 3 and says what is not.
Sensitivity, specificity and precision of a row determine the fraction of
positive pixels and the accuracy, hence what the row's other columns can be.
"""

import functools
import json
import math
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any, NamedTuple


class Solved(NamedTuple):
  """What a row's SN, SP and PR say of the pixels, as fractions of all.

  Attributes:
    positive: pixels of the class that was counted as positive.
    accuracy: pixels of either class that were named rightly.
  """

  positive: float
  accuracy: float


@functools.cache
def read() -> dict[str, Any]:
  """Contents of paper_tables.json; not to be changed."""
  file = resources.files("apppau_jax.paper") / "paper_tables.json"
  return json.loads(file.read_text(encoding="utf-8"))


def printed(table: int, *, dataset: str, row: str) -> dict[str, float]:
  """The printed figures at hand of a row by column; none if there are none."""
  for entry in read()["rows"]:
    if (entry["table"], entry["dataset"], entry["row"]) == (
      table,
      dataset,
      row,
    ):
      return entry["printed"]
  return {}


def solve(
  *, sensitivity: float, specificity: float, precision: float
) -> Solved:
  """Prevalence and accuracy of the only counts that give these three.

  From PR = f SN / (f SN + (1 - f)(1 - SP)) follows the positive fraction f.

  Raises:
    ValueError: nothing follows: no true or no false positive.
  """
  wrong = precision * (1.0 - specificity)
  right = sensitivity * (1.0 - precision)
  if not wrong > 0 or not right > 0:
    raise ValueError("without both true and false positives f is undetermined")
  positive = wrong / (right + wrong)
  accuracy = positive * sensitivity + (1.0 - positive) * specificity
  return Solved(positive, accuracy)


def lung_dice(*, accuracy: float, lung: float, recall: float) -> float:
  """Pooled Dice of the lungs, whatever was printed as positive.

  Args:
    accuracy: of all pixels.
    lung: fraction of pixels that are lung.
    recall: of the lungs: SN, or SP where positive is the background.
  """
  hits = 2.0 * lung * recall
  return hits / (hits + 1.0 - accuracy)


def ds_from_js(js: float) -> float:
  """Dice of a Jaccard index J: 2J / (1 + J)."""
  return 2.0 * js / (1.0 + js)


def contradictions(row: Mapping[str, float], *, places: int = 3) -> list[str]:
  """Which of a row's printed figures cannot be true together.

  Args:
    row: printed figures by `sn`, `sp`, `pr`, `rc`, `f1`, `ds`, `js`; only what
      is there is compared.
    places: decimals printed; a difference that rounding explains is none.
  """
  # Each figure is off by half a unit; derived ones by a little more.
  near = functools.partial(math.isclose, rel_tol=0, abs_tol=1.6 * 10**-places)
  found = []
  if {"sn", "rc"} <= row.keys() and not near(row["sn"], row["rc"]):
    found.append("rc is not sn")
  if {"js", "ds"} <= row.keys() and not near(ds_from_js(row["js"]), row["ds"]):
    found.append("ds is not 2 js / (1 + js)")
  if {"pr", "rc", "f1"} <= row.keys():
    mean = 2 * row["pr"] * row["rc"] / (row["pr"] + row["rc"])
    if not near(mean, row["f1"]):
      found.append("f1 is not the harmonic mean of pr and rc")
  if {"sn", "sp", "pr", "js"} <= row.keys():
    accuracy = solve(
      sensitivity=row["sn"], specificity=row["sp"], precision=row["pr"]
    ).accuracy
    if not near(accuracy, row["js"]):
      found.append("js is not the pixel accuracy")
  return found


def right_answers(
  f1: Sequence[float], *, correct: int, images: int, places: int = 3
) -> list[tuple[int, int]]:
  """Right answers in two classes that give two class-wise F1 scores.

  F1 of a class with h right answers is 2h / (2h + e), e being all the wrong
  answers: each counts once against either class.

  Args:
    f1: printed scores of the two classes.
    correct: right answers in all.
    images: answers in all.
    places: decimals printed.

  Returns:
    Every (h_0, h_1) with h_0 + h_1 = `correct` that rounds to both scores.
  """
  wrong = images - correct
  half = 0.5000001 * 10**-places
  return [
    (first, correct - first)
    for first in range(correct + 1)
    if all(
      abs(2 * h / (2 * h + wrong or 1) - score) <= half
      for h, score in zip((first, correct - first), f1, strict=True)
    )
  ]
