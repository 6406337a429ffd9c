"""predictions.csv, one row an image, and the record of the model beside it.

Names and reasons are text that others wrote: control characters are escaped
(`printable`), and what a spreadsheet would run gets an apostrophe in front
(`escapes.cell`), which reading takes away. Numbers are written as they are.
"""

import csv
import dataclasses
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from apppau_jax import escapes, files
from apppau_jax.errors import DataError

NAME = "predictions.csv"
_MODEL = "predictions.json"
_FRACTION = "_fraction"  # after the name of a structure
_PROBABILITY = "probability_"  # before the name of a class


@dataclasses.dataclass(frozen=True)
class Row:
  """The outcome for one image.

  Attributes:
    file: its path relative to the input folder.
    status: `ok`, `remark` (predicted, but something is unusual), `exists` (an
      earlier call made its mask), `failed` or `skipped` (it is no image).
    reason: why it failed or was skipped, or what is unusual; empty otherwise.
    fractions: share of its pixels in each structure, or in the lungs; empty
      if it failed.
    probs: class probabilities; empty without a classifier.
  """

  file: str
  status: str
  reason: str = ""
  fractions: tuple[float, ...] = ()
  probs: tuple[float, ...] = ()

  @property
  def has_numbers(self) -> bool:
    """Whether the row describes masks that were written."""
    return self.status != "failed" and bool(self.fractions)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Columns:
  """The columns of a model's table.

  Attributes:
    structures: names of the masks; empty for the lungs.
    class_names: the classes in the order of their probabilities.
  """

  structures: Sequence[str] = ()
  class_names: Sequence[str] = ()

  def fractions(self) -> list[str]:
    """Column names of `Row.fractions`."""
    return [f"{name}{_FRACTION}" for name in self.structures or ("lung",)]

  def probabilities(self) -> list[str]:
    """Column names of `Row.probs`."""
    return [f"{_PROBABILITY}{name}" for name in self.class_names]

  def header(self) -> list[str]:
    """The names of all columns."""
    described = [*self.fractions(), *self.probabilities()]
    return ["file", "status", "reason", *described]


def claim(
  output: Path, model: Mapping[str, Any], *, columns: Columns, overwrite: bool
) -> dict[str, Row]:
  """Reserves a folder for a model's predictions, or continues in it.

  Args:
    output: the folder, made if absent.
    model: identifies the model, in JSON's types.
    columns: of its table.
    overwrite: whether to replace what the folder holds.

  Returns:
    The rows of earlier calls by file; empty with `overwrite`.

  Raises:
    DataError: the folder holds predictions of another model, or masks without
      a table.
  """
  table, record = output / NAME, output / _MODEL
  rows: dict[str, Row] = {}
  if not overwrite and (table.exists() or record.exists()):
    try:
      before = json.loads(record.read_text(encoding="utf-8"))
      rows = read(table, columns=columns) if table.exists() else {}
    except (OSError, ValueError, csv.Error) as error:
      raise DataError(
        f"The table in {output} cannot be continued: {error}. Move it away, "
        "choose another --output, or replace everything with --overwrite."
      ) from error
    if before != dict(model):
      raise DataError(
        f"{output} holds predictions of another model ({_describe(before)}; "
        f"this one is {_describe(model)}). Choose another --output, or replace "
        "everything with --overwrite."
      )
  elif not overwrite and (mask := next(output.rglob("*_mask.png"), None)):
    raise DataError(
      f"{output} holds masks without a {NAME} ({mask.name}), which would be "
      "replaced. Choose another --output, or replace them with --overwrite."
    )
  if overwrite:  # before the record, so that old rows never get the new name
    table.unlink(missing_ok=True)
  files.write_json(record, dict(model))
  return rows


def _describe(model: Any) -> str:
  if not isinstance(model, Mapping):
    return "unknown"

  def short(value: Any) -> str:
    values = value if isinstance(value, list) else [value]
    return " + ".join(str(item)[:12] for item in values)

  return ", ".join(f"{key} {short(value)}" for key, value in model.items())


def read(path: Path, *, columns: Columns) -> dict[str, Row]:
  """Reads the rows of a table by file.

  Raises:
    ValueError: it has other columns, or cells that are not numbers.
  """
  with path.open(encoding="utf-8", newline="") as file:
    lines = csv.DictReader(file)
    names = [escapes.from_cell(name) for name in lines.fieldnames or ()]
    if names != columns.header():
      raise ValueError(
        f"{path} has the columns {names}, and this model's are "
        f"{columns.header()}"
      )
    lines.fieldnames = names
    return {
      file: Row(
        file,
        line["status"],
        escapes.from_cell(line["reason"]),
        tuple(float(line[k]) for k in columns.fractions() if line[k]),
        tuple(float(line[k]) for k in columns.probabilities() if line[k]),
      )
      for line in lines
      for file in [escapes.from_cell(line["file"])]
    }


def write(path: Path, rows: Sequence[Row], *, columns: Columns) -> None:
  """Writes the rows as CSV, atomically."""
  text = io.StringIO()
  writer = csv.writer(text, lineterminator="\n")
  writer.writerow(map(escapes.cell, columns.header()))
  for row in rows:
    fractions = [f"{f:.6f}" for f in row.fractions]
    probs = [f"{p:.6f}" for p in row.probs]
    writer.writerow([
      *(_text(row.file), row.status, _text(row.reason)),
      *(fractions or [""] * len(columns.fractions())),
      *(probs or [""] * len(columns.class_names)),
    ])  # fmt: skip
  files.write_bytes(path, text.getvalue().encode())


def printable(name: str) -> str:
  """A file name as text; control characters and bytes become escapes."""
  return escapes.one_line(name)


def _text(text: str) -> str:
  return escapes.cell(printable(text))
