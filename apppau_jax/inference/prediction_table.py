"""predictions.csv, one row an image, and the record of the model beside it.

Names and reasons are text that others wrote: control characters are escaped
(`printable`), and what a spreadsheet would run gets an apostrophe in front
(`escapes.cell`), which reading takes away. Numbers are written as they are.
"""

import csv
import dataclasses
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from apppau_jax import escapes, files, reading
from apppau_jax.errors import DataError

NAME = "predictions.csv"
_MODEL = "predictions.json"
STATUSES = ("ok", "remark", "exists", "failed", "skipped")
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
  files.remove_leftovers(output, below=True)
  table, record = output / NAME, output / _MODEL
  rows: dict[str, Row] = {}
  if not overwrite and (table.exists() or record.exists()):
    try:
      before = reading.read_json(record, dict, advice="")
      rows = read(table, columns=columns) if table.exists() else {}
    except (OSError, ValueError, DataError) as error:
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
    OSError: it cannot be read.
    ValueError: it is no table in UTF-8, has other columns, or a row that
      `write` does not write; the line is named.
  """
  lines = reading.read_rows(path.read_bytes().decode())
  _, header = next(lines, (1, []))
  header = [escapes.from_cell(name) for name in header]
  if header != columns.header():
    raise ValueError(
      f"{path} has the columns {', '.join(header)[:500]}, and this model's "
      f"are {', '.join(columns.header())}"
    )
  rows: dict[str, Row] = {}
  for number, cells in lines:
    row = _row(cells, columns=columns, where=f"{path}, line {number}:")
    if row.file in rows:
      raise ValueError(f"{path}, line {number}: {row.file} a second time")
    rows[row.file] = row
  return rows


def _row(cells: Sequence[str], *, columns: Columns, where: str) -> Row:
  expected = len(columns.header())
  if len(cells) != expected:
    raise ValueError(f"{where} {len(cells)} cells instead of {expected}")
  file, status, reason, *numbers = cells
  if status not in STATUSES:
    raise ValueError(f"{where} the status {status!r}")
  split = len(columns.fractions())
  return Row(
    escapes.from_cell(file),
    status,
    escapes.from_cell(reason),
    fractions=_shares(numbers[:split], where=where),
    probs=_shares(numbers[split:], where=where),
  )


def _shares(cells: Sequence[str], *, where: str) -> tuple[float, ...]:
  """Returns numbers from 0 to 1; none if all cells are empty."""
  if not any(cells):
    return ()
  try:
    shares = tuple(map(float, cells))
  except ValueError as error:
    raise ValueError(f"{where} {error}") from error
  if not all(0.0 <= share <= 1.0 for share in shares):
    raise ValueError(f"{where} a number that is not from 0 to 1")
  return shares


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
