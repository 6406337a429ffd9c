"""labels.csv of a user's own set: class, patient and part of each image."""

import csv
import dataclasses
import io
import unicodedata
from collections.abc import Mapping, Sequence

from apppau_jax.datasets import raw_index
from apppau_jax.datasets.split_protocols import PARTS
from apppau_jax.errors import DataError

NAME = "labels.csv"
COLUMNS = ("id", "label", "patient", "split")
# Columns of the counts that preparing prints, beside one a class.
_TAKEN = ("images", "masks", "unlabelled", "missing", "no class")


@dataclasses.dataclass(frozen=True)
class Row:
  """What the table says of one image; "" where it says nothing."""

  label: str = ""
  patient: str = ""
  split: str = ""


@dataclasses.dataclass(frozen=True)
class Labels:
  """The whole table.

  Attributes:
    rows: by id, in Unicode's composed form.
    class_names: every label that occurs, sorted.
    unread: names of columns that have no meaning here.
  """

  rows: Mapping[str, Row] = dataclasses.field(default_factory=dict)
  class_names: tuple[str, ...] = ()
  unread: tuple[str, ...] = ()


def composed(text: str) -> str:
  """One form of letters with accents, which file systems write in two."""
  return unicodedata.normalize("NFC", text)


def read_labels(content: bytes, *, where: str) -> Labels:
  """Reads a table with the columns id, label and maybe patient, split.

  Columns are found by their name, in any order; a comma, a semicolon or a TAB
  divides them.

  Args:
    content: the file, UTF-8.
    where: what messages call it.

  Raises:
    DataError: it is no such table, or rows contradict it; all are listed.
  """
  try:
    text = content.decode("utf-8-sig")
    lines = list(_lines(text))
  except (UnicodeDecodeError, csv.Error) as error:
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
      "and label, and if wanted patient and split. It begins with "
      f"{', '.join(map(repr, header)) or 'nothing'}."
    )
  rows: dict[str, Row] = {}
  faults = []
  for number, cells in lines[1:]:
    told = dict(zip(header, cells))
    name = composed(told.get("id", ""))
    row = Row(
      label=" ".join(told.get("label", "").split()),
      patient=told.get("patient", ""),
      split=told.get("split", "").lower(),
    )
    if fault := _fault(cells, name, row, header=header, rows=rows):
      faults.append(f"line {number}: {fault}")
    rows[name] = row
  if faults:
    raise DataError(
      f"{where} has {len(faults)} lines that cannot be used: "
      f"{raw_index.summarise(faults)}"
    )
  names = sorted({r.label for r in rows.values()} - {""})
  _check_spellings(names, where=where)
  return Labels(
    rows=rows,
    class_names=tuple(names),
    unread=tuple(name for name in header if name not in COLUMNS),
  )


def _check_spellings(names: Sequence[str], *, where: str) -> None:
  """Refuses classes that differ in small and capital letters only."""
  spelt: dict[str, list[str]] = {}
  for name in names:
    spelt.setdefault(name.casefold(), []).append(name)
  several = [" and ".join(same) for same in spelt.values() if len(same) > 1]
  if several:
    raise DataError(
      f"{where} writes a class in several ways: {raw_index.summarise(several)} "
      "They would be told apart as different diseases. Write each in one way."
    )


def _lines(text: str):
  """Number and cells of every line that is not empty."""
  first = text.lstrip("\r\n ").partition("\n")[0]
  delimiter = max(",;\t", key=first.count)
  reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
  for cells in reader:
    cells = [cell.strip() for cell in cells]
    if any(cells):
      yield reader.line_num, cells


def _fault(
  cells: Sequence[str],
  name: str,
  row: Row,
  *,
  header: Sequence[str],
  rows: Mapping[str, Row],
) -> str:
  """Why a line cannot be used; "" if it can."""
  if len(cells) != len(header):
    return f"{len(cells)} cells, where the header has {len(header)}"
  if not name:
    return "no id"
  if name in rows:
    return f"{name} a second time"
  if row.split not in ("", *PARTS):
    return f"split {row.split!r}, which is none of {', '.join(PARTS)}"
  if row.label in _TAKEN:
    return f"a class cannot be called {row.label!r}"
  return ""
