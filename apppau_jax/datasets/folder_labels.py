"""labels.csv of a user's set: class, patient and part of each image."""

import dataclasses
import unicodedata
from collections.abc import Mapping, Sequence

from apppau_jax import reading
from apppau_jax.datasets.raw_source import summarise
from apppau_jax.errors import DataError

NAME = "labels.csv"
COLUMNS = ("id", "label", "patient", "split")
PARTS = ("train", "validation", "test")
# Names of counts that preparing prints beside those of the classes.
_RESERVED = ("images", "masks", "unlabelled", "missing", "no class")


@dataclasses.dataclass(frozen=True)
class Row:
  """The cells of one image; "" where a cell is empty."""

  label: str = ""
  patient: str = ""
  split: str = ""


@dataclasses.dataclass(frozen=True)
class Labels:
  """The whole table.

  Attributes:
    rows: by id, in Unicode's composed form.
    class_names: the labels that occur, sorted.
    unread: names of columns that are not used.
  """

  rows: Mapping[str, Row] = dataclasses.field(default_factory=dict)
  class_names: tuple[str, ...] = ()
  unread: tuple[str, ...] = ()


def composed(text: str) -> str:
  """Returns text in composed form; file systems write accents in two."""
  return unicodedata.normalize("NFC", text)


def read_labels(content: bytes, *, where: str) -> Labels:
  """Parses a table with the columns id, label and optionally patient, split.

  The columns may come in any order, separated by commas, semicolons or TABs.

  Args:
    content: the file, UTF-8.
    where: its name for messages.

  Raises:
    DataError: it is no such table, or has invalid rows; all are listed.
  """
  try:
    text = content.decode("utf-8-sig")
    lines = list(_lines(text))
  except ValueError as error:
    raise DataError(
      f"{where} cannot be read as a table in UTF-8 ({error}). Save it again "
      "as 'CSV UTF-8'."
    ) from error
  header = [cell.lower() for cell in lines[0][1]] if lines else []
  missing = [name for name in ("id", "label") if header.count(name) != 1]
  twice = [name for name in COLUMNS if header.count(name) > 1]
  if missing or twice:
    raise DataError(
      f"{where} must begin with a line that names its columns, each once: id "
      "and label, and optionally patient and split. It begins with "
      f"{', '.join(map(repr, header))[:500] or 'nothing'}."
    )
  rows: dict[str, Row] = {}
  faults = []
  for number, cells in lines[1:]:
    values = dict(zip(header, cells))
    name = composed(values.get("id", ""))
    row = Row(
      label=" ".join(values.get("label", "").split()),
      patient=values.get("patient", ""),
      split=values.get("split", "").lower(),
    )
    if fault := _fault(cells, name, row, header=header, rows=rows):
      faults.append(f"line {number}: {fault}")
    rows[name] = row
  if faults:
    raise DataError(
      f"{where} has {len(faults)} lines that cannot be used: "
      f"{summarise(faults)}"
    )
  names = sorted({r.label for r in rows.values()} - {""})
  _check_spellings(names, where=where)
  return Labels(
    rows=rows,
    class_names=tuple(names),
    unread=tuple(name for name in header if name not in COLUMNS),
  )


def _check_spellings(names: Sequence[str], *, where: str) -> None:
  """Refuses classes that differ only in upper and lower case."""
  spelt: dict[str, list[str]] = {}
  for name in names:
    spelt.setdefault(name.casefold(), []).append(name)
  several = [" and ".join(same) for same in spelt.values() if len(same) > 1]
  if several:
    raise DataError(
      f"{where} writes a class in several ways: {summarise(several)} They "
      "would count as different diseases. Write each in one way."
    )


def _lines(text: str):
  """Yields number and cells of every line that is not empty."""
  first = text.lstrip("\r\n ").partition("\n")[0]
  delimiter = max(",;\t", key=first.count)
  for number, cells in reading.read_rows(text, delimiter=delimiter):
    cells = [cell.strip() for cell in cells]
    if any(cells):
      yield number, cells


def _fault(
  cells: Sequence[str],
  name: str,
  row: Row,
  *,
  header: Sequence[str],
  rows: Mapping[str, Row],
) -> str:
  """Returns why a line is invalid, or ""."""
  if len(cells) != len(header):
    return f"{len(cells)} cells, where the header has {len(header)}"
  if not name:
    return "no id"
  if name in rows:
    return f"{name} a second time"
  if row.split not in ("", *PARTS):
    return f"split {row.split!r}, which is none of {', '.join(PARTS)}"
  if row.label in _RESERVED:
    return f"a class cannot be called {row.label!r}"
  return ""
