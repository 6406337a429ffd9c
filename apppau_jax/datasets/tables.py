"""Tables and lists among the raw files of a data set."""

import contextlib
import csv
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from apppau_jax import reading
from apppau_jax.datasets import stratified_split
from apppau_jax.datasets.raw_source import RawSource
from apppau_jax.errors import DataError

_TENTH = 10
_WIDEST = 2**24  # characters of a cell
_WIDE = threading.Lock()


class Row(NamedTuple):
  """A row of a table.

  Attributes:
    where: file and line, for messages.
    cells: by the name of the column, without blanks around them.
  """

  where: str
  cells: Mapping[str, str]


def find(source: RawSource, *names: str) -> str:
  """Returns the key of the first of some files that exists.

  Raises:
    DataError: none does.
  """
  for name in names:
    if key := source.find(name):
      return key
  raise DataError(
    f"{source.root} has no {' or '.join(names)}, which belongs to this set and "
    "without which its images have no labels. Put it beside the images."
  )


def text(source: RawSource, key: str) -> str:
  """Returns the text of a file, see `reading.decode_text`.

  Raises:
    DataError: it is in another encoding.
  """
  try:
    return reading.decode_text(source.read(key))
  except ValueError as error:
    raise DataError(
      f"{source.describe(key)} cannot be read as text: {error}."
    ) from error


def read(source: RawSource, key: str, columns: Sequence[str]) -> Iterator[Row]:
  """Yields the rows of a table with a header.

  Args:
    source: the raw files.
    key: of the table, with commas.
    columns: those that are needed.

  Raises:
    DataError: it is no table, lacks a column, or has a row that is too short.
  """
  where = source.describe(key)
  rows = reading.read_rows(text(source, key))
  header: list[str] = []
  try:
    for line, cells in rows:
      if not header:
        header = [name.strip() for name in cells]
        check_header(header, columns, where=where)
      elif cells:
        yield row(header, cells, columns, where=f"{where}, line {line}")
  except ValueError as error:
    raise DataError(
      f"{where} cannot be read as a table: {error}. Get it again from its "
      "owner."
    ) from error


def check_header(
  header: Sequence[str], columns: Sequence[str], *, where: str
) -> None:
  """Refuses a table that lacks a column."""
  if absent := [name for name in columns if name not in header]:
    raise DataError(
      f"{where} has no column {' and no '.join(map(repr, absent))}; it has "
      f"{', '.join(header)[:200]}. Get it again from its owner."
    )


def row(
  header: Sequence[str],
  cells: Sequence[str],
  columns: Sequence[str],
  *,
  where: str,
) -> Row:
  """Returns the cells of a row that are needed, by column."""
  found = dict(zip(header, cells))
  if absent := [name for name in columns if name not in found]:
    raise DataError(
      f"{where}: the row ends before the column {absent[0]!r}. Get the file "
      "again from its owner."
    )
  return Row(where, {name: found[name].strip() for name in columns})


def read_list(source: RawSource, key: str) -> list[str]:
  """Returns the lines of a list that are not empty."""
  lines = text(source, key).splitlines()
  return [line.strip() for line in lines if line.strip()]


def parts(
  train: Sequence[str],
  test: Sequence[str],
  *,
  patients: Mapping[str, str],
  salt: str,
) -> dict[str, str]:
  """Returns train, validation or test by id, for a published test part.

  Validation takes a tenth of the patients of the training part, rounded up:
  those whose SHA-256 of salt and name is lowest.

  Args:
    train: ids of the published training part.
    test: ids of the published test part.
    patients: the patient of each id that is not its own patient.
    salt: of the digests, the name of the set.
  """
  people = sorted({patients.get(i, i) for i in train})
  validation = {
    *stratified_split.lowest(
      people, salt=f"{salt}:validation", count=-(-len(people) // _TENTH)
    )
  }
  found = {
    i: "validation" if patients.get(i, i) in validation else "train"
    for i in train
  }
  return found | dict.fromkeys(test, "test")


@contextlib.contextmanager
def wide_cells() -> Iterator[None]:
  """Lets tables have cells of more than 131,072 characters, as of masks.

  The limit is one of the process: one thread at a time, else the first to end
  would set it back for the others, and the last would not.
  """
  with _WIDE:
    before = csv.field_size_limit(_WIDEST)
    try:
      yield
    finally:
      csv.field_size_limit(before)
