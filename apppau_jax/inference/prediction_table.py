"""predictions.csv: what became of every picture, and which model judged it."""

import csv
import dataclasses
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from apppau_jax import files
from apppau_jax.errors import DataError

NAME = "predictions.csv"
_MODEL = "predictions.json"  # beside it
_FRACTION = "_fraction"  # behind the name of what is outlined
_PROBABILITY = "probability_"  # and the class's name


@dataclasses.dataclass(frozen=True)
class Row:
  """What became of one picture.

  Attributes:
    file: its path below the input folder.
    status: `ok`, `exists` (an earlier call made its mask) or `failed`.
    reason: why it failed; empty otherwise.
    fractions: share of its pixels in each structure (or the lungs); empty
      unless `ok`.
    probs: class probabilities, where there is a classifier.
  """

  file: str
  status: str
  reason: str = ""
  fractions: tuple[float, ...] = ()
  probs: tuple[float, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Columns:
  """The columns that a model fills.

  Attributes:
    structures: names of what is outlined; none for the united lungs.
    class_names: the classes in the order of their probabilities.
  """

  structures: Sequence[str] = ()
  class_names: Sequence[str] = ()

  def header(self) -> list[str]:
    """The names of all columns."""
    return [
      *("file", "status", "reason"),
      *(f"{name}{_FRACTION}" for name in self.structures or ("lung",)),
      *(f"{_PROBABILITY}{name}" for name in self.class_names),
    ]


def claim(
  output: Path, model: Mapping[str, Any], *, columns: Columns, overwrite: bool
) -> dict[str, Row]:
  """Makes `output` this model's folder, or goes on in it.

  Args:
    output: the folder, made if absent.
    model: what tells it from other models, as JSON has it.
    columns: of its table.
    overwrite: whether all that is there is made anew.

  Returns:
    The rows of earlier calls by file; none with `overwrite`.

  Raises:
    DataError: what is there is another model's, or nothing of ours.
  """
  table, record = output / NAME, output / _MODEL
  rows: dict[str, Row] = {}
  if not overwrite and (table.exists() or record.exists()):
    try:
      before = json.loads(record.read_text(encoding="utf-8"))
      rows = read(table, columns=columns) if table.exists() else {}
    except (OSError, ValueError, csv.Error) as error:
      raise DataError(
        f"The table of {output} cannot be gone on with: {error}. Move it away, "
        "name another --output, or make everything anew with --overwrite."
      ) from error
    if before != dict(model):
      raise DataError(
        f"The masks in {output} are another model's ({_told(before)}; now "
        f"{_told(model)}): one table would mix the two. Name another --output, "
        "or make everything anew with --overwrite."
      )
  elif not overwrite and (mask := next(output.rglob("*_mask.png"), None)):
    raise DataError(
      f"{output} holds masks that no table tells of ({mask.name}): they may be "
      "somebody's own, and would be replaced. Name another --output, or "
      "replace them with --overwrite."
    )
  if overwrite:  # first: no kill may leave the old rows under the new name
    table.unlink(missing_ok=True)
  files.write_json(record, dict(model))
  return rows


def _told(model: Any) -> str:
  if not isinstance(model, Mapping):
    return "unknown"

  def short(value: Any) -> str:
    values = value if isinstance(value, list) else [value]
    return " + ".join(str(item)[:12] for item in values)

  return ", ".join(f"{key} {short(value)}" for key, value in model.items())


def read(path: Path, *, columns: Columns) -> dict[str, Row]:
  """The rows of a table by file.

  Raises:
    ValueError: it has other columns, or cells that are no numbers.
  """
  with path.open(encoding="utf-8", newline="") as file:
    lines = csv.DictReader(file)
    if lines.fieldnames != columns.header():
      raise ValueError(
        f"{path} has the columns {lines.fieldnames}, and this model's are "
        f"{columns.header()}"
      )
    return {
      line["file"]: Row(
        line["file"],
        line["status"],
        line["reason"],
        _numbers(line, lambda key: key.endswith(_FRACTION)),
        _numbers(line, lambda key: key.startswith(_PROBABILITY)),
      )
      for line in lines
    }


def _numbers(
  line: Mapping[str, str], wanted: Callable[[str], bool]
) -> tuple[float, ...]:
  return tuple(float(v) for key, v in line.items() if wanted(key) and v)


def write(path: Path, rows: Sequence[Row], *, columns: Columns) -> None:
  """Writes the rows as CSV, whole or not at all."""
  text = io.StringIO()
  writer = csv.writer(text, lineterminator="\n")
  writer.writerow(columns.header())
  for row in rows:
    shares = [f"{f:.6f}" for f in row.fractions]
    shares = shares or [""] * len(columns.structures or ("lung",))
    probs = [f"{p:.6f}" for p in row.probs]
    probs = probs or [""] * len(columns.class_names)
    told = [printable(row.file), row.status, printable(row.reason)]
    writer.writerow([*told, *shares, *probs])
  files.write_bytes(path, text.getvalue().encode())


def known(row: Row | None) -> bool:
  """Whether an earlier call's row holds what the picture's masks show."""
  return row is not None and row.status != "failed" and bool(row.fractions)


def printable(name: str) -> str:
  """A file name as text, whatever bytes it is made of."""
  return name.encode(errors="backslashreplace").decode()
