"""predictions.csv, one row an image.

Names and reasons are text that others wrote: control characters are escaped
(`printable`), and what a spreadsheet would run gets an apostrophe in front
(`escapes.cell`), which reading takes away. Numbers are written as they are.

Rows are appended while images are predicted, so a killed call may leave a last
line that is not whole. It is the only line without an end, and is not read.
"""

import contextlib
import csv
import dataclasses
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from apppau_jax import escapes, files, progress, reading
from apppau_jax.inference import measurements
from apppau_jax.inference.outputs import Prediction

NAME = "predictions.csv"
STATUSES = ("ok", "remark", "exists", "failed", "skipped")
_FRACTION = "_fraction"  # after the name of a structure
_QUALITY = "_quality"  # after the name of a structure
_PROBABILITY = "probability_"  # before the name of a class
# Of the members of an ensemble, before the name of a class.
_RANGE = ("lowest_probability_", "highest_probability_")
_SPREAD = "_sd"  # after the name of a measurement


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
  """The outcome for one image.

  Attributes:
    file: its path relative to the input folder.
    status: `ok`, `remark` (predicted, but something is unusual), `exists` (an
      earlier call made its mask), `failed` or `skipped` (it is no image).
    reason: why it failed or was skipped, or what is unusual; empty otherwise.
    masks: paths of its masks relative to the output folder; empty if it failed.
    fractions: share of its pixels in each structure, or in the lungs; empty
      if it failed.
    probs: class probabilities; empty without a classifier.
    ranges: the lowest and the highest probability of each class in turn; empty
      without members that classify.
    spacing: element of its header that states the spacing of the pixels.
    measured: values of `measurements.names`, None where there is none; empty
      if it failed.
    spreads: of the values, None where there is none; empty without members or
      views.
    quality: estimated Dice of each mask; empty if it failed.
  """

  file: str
  status: str
  reason: str = ""
  masks: tuple[str, ...] = ()
  fractions: tuple[float, ...] = ()
  probs: tuple[float, ...] = ()
  ranges: tuple[float, ...] = ()
  spacing: str = ""
  measured: tuple[float | None, ...] = ()
  spreads: tuple[float | None, ...] = ()
  quality: tuple[float, ...] = ()

  @property
  def has_numbers(self) -> bool:
    """Whether the row describes masks that were written."""
    return self.status != "failed" and bool(self.fractions)


def row_of(name: str, found: Prediction, *, masks: Sequence[str]) -> Row:
  """Returns the row of a predicted image.

  Args:
    name: of the image.
    found: what was predicted.
    masks: paths of the masks that were written.
  """
  classes, ranges = found.class_probability, found.class_range
  columns = measurements.names(found.structures)
  values = [found.measurements.get(column) for column in columns]
  return Row(
    name,
    "remark" if found.remarks else "ok",
    " ".join(found.remarks),
    masks=tuple(masks),
    fractions=tuple(np.atleast_1d(found.mask.mean(axis=(0, 1))).tolist()),
    probs=() if classes is None else tuple(classes.tolist()),
    ranges=() if ranges is None else tuple(ranges.ravel().tolist()),
    spacing=found.spacing.element if found.spacing else "",
    measured=tuple(value.value if value else None for value in values),
    spreads=tuple(value.spread if value else None for value in values),
    quality=tuple(found.quality.values()),
  )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Columns:
  """The columns of a model's table.

  Attributes:
    structures: names of the masks; empty for the lungs.
    class_names: the classes in the order of their probabilities.
    multi_label: whether these are findings, none of which is the most probable.
    spreads: whether measurements have a spread, see `measurements`.
    ranges: whether several members classify, which gives each probability a
      lowest and a highest value.
  """

  structures: Sequence[str] = ()
  class_names: Sequence[str] = ()
  multi_label: bool = False
  spreads: bool = False
  ranges: bool = False

  def masks(self) -> list[str]:
    """Column names of `Row.masks`."""
    return [f"{name}_mask" for name in self.structures] or ["mask"]

  def fractions(self) -> list[str]:
    """Column names of `Row.fractions`."""
    return [f"{name}{_FRACTION}" for name in self.structures or ("lung",)]

  def qualities(self) -> list[str]:
    """Column names of `Row.quality`."""
    return [f"{name}{_QUALITY}" for name in self.structures or ("lung",)]

  def predicted(self) -> list[str]:
    """Column names of the most probable class and its probability."""
    one = self.class_names and not self.multi_label
    return ["class", "probability"] if one else []

  def probabilities(self) -> list[str]:
    """Column names of `Row.probs`."""
    return [f"{_PROBABILITY}{name}" for name in self.class_names]

  def probability_ranges(self) -> list[str]:
    """Column names of `Row.ranges`."""
    names = self.class_names if self.ranges else ()
    return [f"{end}{name}" for name in names for end in _RANGE]

  def measurements(self) -> list[str]:
    """Column names of `Row.measured`."""
    return [*measurements.names(self.structures)]

  def deviations(self) -> list[str]:
    """Column names of `Row.spreads`."""
    names = self.measurements() if self.spreads else ()
    return [f"{name}{_SPREAD}" for name in names]

  def groups(self) -> list[list[str]]:
    """The names of all columns, those of one kind together."""
    return [
      ["file"],
      self.masks(),
      ["status", "reason"],
      self.fractions(),
      self.qualities(),
      self.predicted(),
      self.probabilities(),
      ["spacing"],
      self.measurements(),
      self.deviations(),
      self.probability_ranges(),
    ]

  def header(self) -> list[str]:
    """The names of all columns."""
    return [name for group in self.groups() for name in group]


def read(path: Path, *, columns: Columns) -> dict[str, Row]:
  """Reads the rows of a table by file; a last line without end is left out.

  Raises:
    OSError: it cannot be read.
    ValueError: it is no table in UTF-8, has other columns, or a row that
      `write` does not write; the line is named.
  """
  whole, end, cut = path.read_bytes().rpartition(b"\n")
  if end and cut:
    progress.say(
      f"{path} ends within a line, as a killed call leaves it: the image of "
      "that line is predicted again"
    )
  lines = reading.read_rows((whole + end or cut).decode())
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
  left = iter(map(escapes.from_cell, cells))
  groups = [[next(left) for _ in group] for group in columns.groups()]
  file, masks, (status, reason), shares, quality, *others = groups
  _, probs, spacing, *numbers, ranges = others
  measured, spreads = (_numbers(cells, where=where) for cells in numbers)
  if status not in STATUSES:
    raise ValueError(f"{where} the status {status!r}")
  return Row(
    *(file[0], status, reason),
    masks=tuple(masks) if any(masks) else (),
    fractions=_shares(shares, where=where),
    quality=_shares(quality, where=where),
    probs=_shares(probs, where=where),
    ranges=_shares(ranges, where=where),
    spacing=spacing[0],
    measured=measured,
    spreads=spreads,
  )


def _shares(cells: Sequence[str], *, where: str) -> tuple[float, ...]:
  """Returns numbers from 0 to 1; none if all cells are empty."""
  if not any(cells):
    return ()
  shares = tuple(_number(cell, where=where) for cell in cells)
  if not all(0.0 <= share <= 1.0 for share in shares):
    raise ValueError(f"{where} a number that is not from 0 to 1")
  return shares


def _numbers(cells: Sequence[str], *, where: str) -> tuple[float | None, ...]:
  """Returns numbers, None for an empty cell; none if all cells are empty."""
  if not any(cells):
    return ()
  numbers = (_number(cell, where=where) if cell else None for cell in cells)
  return tuple(numbers)


def _number(cell: str, *, where: str) -> float:
  try:
    number = float(cell)
  except ValueError as error:
    raise ValueError(f"{where} {error}") from error
  if not 0 <= number < float("inf"):
    raise ValueError(f"{where} the number {cell} is not 0 or more")
  return number


def write(path: Path, rows: Sequence[Row], *, columns: Columns) -> None:
  """Writes the rows as CSV, atomically."""
  header = _line(map(escapes.cell, columns.header()))
  lines = (_line(_cells(row, columns)) for row in rows)
  files.write_bytes(path, "".join([header, *lines]).encode())


@contextlib.contextmanager
def appending(
  path: Path, rows: Sequence[Row], *, columns: Columns
) -> Iterator[Callable[[Row], None]]:
  """Opens a table for new rows.

  Args:
    path: of the table.
    rows: those that it has already; they are written first, atomically.
    columns: of the table.

  Yields:
    Appends a row, which is in the file before the call returns.
  """
  write(path, rows, columns=columns)
  with path.open("ab") as file:

    def append(row: Row) -> None:
      file.write(_line(_cells(row, columns)).encode())
      file.flush()

    yield append


def _line(cells: Iterable[str]) -> str:
  line = io.StringIO()
  csv.writer(line, lineterminator="\n").writerow(cells)
  return line.getvalue()


def _cells(row: Row, columns: Columns) -> list[str]:
  chosen: list[str] = []
  if row.probs and not columns.multi_label:
    best = int(np.argmax(row.probs))
    chosen = [columns.class_names[best], f"{row.probs[best]:.6f}"]
  groups = [
    [_text(row.file)],
    [*map(_text, row.masks)],
    [row.status, _text(row.reason)],
    [f"{x:.6f}" for x in row.fractions],
    [f"{x:.4f}" for x in row.quality],
    [*map(_text, chosen)],
    [f"{x:.6f}" for x in row.probs],
    [row.spacing],
    [_optional(x) for x in row.measured],
    [_optional(x) for x in row.spreads if columns.spreads],
    [f"{x:.6f}" for x in row.ranges],
  ]
  return [
    cell
    for cells, names in zip(groups, columns.groups(), strict=True)
    for cell in cells or [""] * len(names)
  ]


def _optional(number: float | None) -> str:
  return "" if number is None else f"{number:.6g}"


def printable(name: str) -> str:
  """A file name as text; control characters and bytes become escapes."""
  return escapes.one_line(name)


def _text(text: str) -> str:
  return escapes.cell(printable(text))
