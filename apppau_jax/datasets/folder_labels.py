"""labels.csv of a user's set: class, patient and part of each image."""

import collections
import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence

from apppau_jax import reading
from apppau_jax.datasets.folder_names import composed
from apppau_jax.datasets.raw_source import summarise
from apppau_jax.errors import DataError

NAME = "labels.csv"
COLUMNS = ("id", "label", "patient", "split")
PARTS = ("train", "validation", "test")
_SHOWN = 40  # characters of a name of a column, and columns, in a message
# Names of counts that preparing prints beside those of the classes.
_RESERVED = ("images", "masks", "unlabelled", "missing", "no class")


# Cells in which programs write that a value is absent.
_UNKNOWN = ("nan", "n/a", "#n/a", "na", "<na>", "null", "unknown", "?", "-", "")
_DOUBTFUL = ("none", "other", "undefined", "not available")
_NUMBER = re.compile(
  r"([0-9]{1,15})\.0+"
)  # a whole number, as floats are shown
# Classes without a finding, in small letters and without blanks.
_NORMAL = (
  *("normal", "healthy", "negative", "nofinding", "nofindings", "control"),
  *("0", "no"),
)
_DELIMITER = re.compile(r'"?sep=(.)"?', re.IGNORECASE)  # a line of Excel's
# Columns that are likely meant, in small letters and without blanks.
_LIKELY = {
  "id": (
    *("image", "imageid", "imageindex", "imagename", "imagepath", "filename"),
    *("file", "name", "path", "studyid", "uid", "key"),
  ),
  "label": (
    *("labels", "class", "classes", "classname", "diagnosis", "finding"),
    *("findings", "findinglabels", "category", "target", "disease"),
  ),
  "patient": (
    *("patientid", "patients", "patientname", "patientnumber", "patientno"),
    *("patientnr", "subject", "subjectid", "subjectno", "person", "personid"),
    *("participant", "participantid", "pid", "mrn", "caseid"),
  ),
}


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
    class_names: the labels that occur, sorted; classes without a finding come
      first.
    unread: names of columns that are not used.
    remarks: what a user should know about how the table was read.
  """

  rows: Mapping[str, Row] = dataclasses.field(default_factory=dict)
  class_names: tuple[str, ...] = ()
  unread: tuple[str, ...] = ()
  remarks: tuple[str, ...] = ()


def read_labels(
  content: bytes, *, where: str, columns: Mapping[str, str] | None = None
) -> Labels:
  """Parses a table with the columns id, label and optionally patient, split.

  The columns may come in any order, separated by commas, semicolons or TABs.
  Cells that are absent at the end of a line are empty.

  Args:
    content: the file, UTF-8, or UTF-16 with a byte order mark.
    where: its name for messages.
    columns: what the table calls id, label or patient, in any case.

  Raises:
    DataError: it is no such table, or has invalid rows; all are listed.
  """
  try:
    lines = list(_lines(reading.decode_text(content)))
  except ValueError as error:
    raise DataError(
      f"{where} cannot be read as a table in UTF-8 ({error}). Save it again "
      "as 'CSV UTF-8'."
    ) from error
  first = lines[0][1] if lines else []
  first = _renamed(first, columns or {}, where=where)
  header, remarks = _header(first, where=where)
  rows: dict[str, Row] = {}
  faults = []
  unknown: collections.Counter[str] = collections.Counter()
  for number, cells in lines[1:]:
    name, row = _row(dict(zip(header, cells)), unknown)
    if fault := _fault(cells, name, row, header=header, rows=rows):
      faults.append(f"line {number}: {fault}")
    rows[name] = row
  if faults:
    raise DataError(
      f"{where} has {len(faults)} lines that cannot be used: "
      f"{summarise(faults)}"
    )
  names = sorted({r.label for r in rows.values()} - {""}, key=_normal_first)
  _check_spellings(names, where=where)
  _check_patients({r.patient for r in rows.values()} - {""}, where=where)
  if unknown:
    cells = ", ".join(f"{text} ({n})" for text, n in sorted(unknown.items()))
    remarks.append(f"{unknown.total()} cells are read as unknown: {cells}")
  if doubtful := [name for name in names if name.lower() in _DOUBTFUL]:
    remarks.append(
      f"{' and '.join(doubtful)} is read as a class; leave the cell empty "
      "where the class is unknown"
    )
  return Labels(
    rows=rows,
    class_names=tuple(names),
    unread=tuple(name for name in header if name and name not in COLUMNS),
    remarks=tuple(remarks),
  )


def _normal_first(name: str) -> tuple[bool, str]:
  return re.sub(r"[\s_.-]", "", name.casefold()) not in _NORMAL, name


def _renamed(
  cells: Sequence[str], columns: Mapping[str, str], *, where: str
) -> list[str]:
  """Returns the header with the names that this module knows.

  A column of a known name that another one replaces is not used.

  Raises:
    DataError: there is no such column, it is there twice, or it has two names.
  """
  header = [cell.casefold() for cell in cells]
  renamed = [*cells]
  given = [column.casefold() for column in columns.values()]
  if len({*given}) < len(given):
    named = {name: column[:_SHOWN] for name, column in columns.items()}
    flags = ", ".join(f"--{n}_column={c!r}" for n, c in named.items())
    raise DataError(
      f"Two flags name one column of {where}: {flags}. Name one for each."
    )
  for name, column in columns.items():
    if header.count(column.casefold()) != 1:
      raise DataError(
        f"{where} has {header.count(column.casefold())} columns "
        f"{column[:_SHOWN]!r}, which --{name}_column names; it has "
        f"{_named(cells)}."
      )
    place = header.index(column.casefold())
    for other, known in enumerate(header):
      if known == name and other != place:
        renamed[other] = f"{cells[other]} (not used)"
    renamed[place] = name
  return renamed


def _named(cells: Sequence[str]) -> str:
  """Lists the names of columns, as far as a person would read them."""
  shown = [repr(cell[:_SHOWN]) for cell in cells[:_SHOWN]]
  return ", ".join(shown + ["…"] * (len(cells) > _SHOWN))


def _header(cells: Sequence[str], *, where: str) -> tuple[list[str], list[str]]:
  """Returns the names of the columns, and remarks on that of the patients."""
  header, remarks = [cell.lower() for cell in cells], []
  missing = [name for name in ("id", "label") if header.count(name) != 1]
  twice = [name for name in COLUMNS if header.count(name) > 1]
  if missing or twice:
    likely = [
      f"perhaps {' or '.join(map(repr, found))} is meant as {name}: pass "
      f"--{name}_column={found[0]!r}; "
      if (found := _likely(name, header))
      else f"if {name} has another name there, pass --{name}_column=NAME; "
      for name in missing
      if name not in header
    ]
    raise DataError(
      f"{where} must begin with a line that names its columns, each once: id "
      "and label, and optionally patient and split. It begins with "
      f"{_named(header) or 'nothing'}"
      f"{'; ' * bool(likely)}{''.join(likely).rstrip('; ')}."
    )
  likely = [] if "patient" in header else _likely("patient", header)
  if len(likely) == 1:
    header[header.index(likely[0])] = "patient"
    remarks.append(f"the column {likely[0]!r} is read as patient")
  elif likely:
    remarks.append(
      f"which of {', '.join(map(repr, likely))} names the patient is not "
      "clear, so none is read: images of one patient may come into training "
      "and test; call the right one patient"
    )
  return header, remarks


def _likely(name: str, header: Sequence[str]) -> list[str]:
  """Returns the columns that may be meant by a name."""
  known = (name, *_LIKELY[name])
  return [h for h in header if re.sub(r"[\s_.-]", "", h) in known]


def _row(
  values: Mapping[str, str], unknown: collections.Counter[str]
) -> tuple[str, Row]:
  """Returns an id and its row, and counts cells that say unknown."""

  def cell(name: str) -> str:
    text = " ".join(values.get(name, "").split())
    if text and text.lower() in _UNKNOWN:
      unknown[text] += 1
      return ""
    whole = _NUMBER.fullmatch(text)
    return whole[1] if whole else text

  row = Row(cell("label"), cell("patient"), cell("split").lower())
  return composed(values.get("id", "")), row


def _check_patients(names: set[str], *, where: str) -> None:
  """Refuses patients whose names differ only in case or in leading zeros."""
  spelt = collections.defaultdict(list)
  for name in sorted(names):
    spelt[name.casefold().lstrip("0") or "0"].append(name)
  several = [" and ".join(same) for same in spelt.values() if len(same) > 1]
  if several:
    raise DataError(
      f"{where} writes patients in several ways: {summarise(several)} They "
      "would count as different people, in training and in test. Write each "
      "in one way."
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


def _lines(text: str) -> Iterator[tuple[int, list[str]]]:
  """Yields number and cells of every line that is not empty."""
  first = next((line for line in text.splitlines() if line.strip()), "")
  stated = _DELIMITER.fullmatch(first.strip(" "))
  delimiter = stated[1] if stated else max(",;\t", key=first.count)
  is_first = True
  for number, cells in reading.read_rows(text, delimiter=delimiter):
    cells = [cell.strip() for cell in cells]
    if any(cells) and not (is_first and stated):
      yield number, cells
    is_first &= not any(cells)


def _fault(
  cells: Sequence[str],
  name: str,
  row: Row,
  *,
  header: Sequence[str],
  rows: Mapping[str, Row],
) -> str:
  """Returns why a line is invalid, or ""."""
  if any(cells[len(header) :]):
    return f"{len(cells)} cells, where the header has {len(header)}"
  if not name:
    return "no id"
  if name in rows:
    return f"{name} a second time"
  if row.split not in ("", *PARTS):
    return f"split {row.split!r}, which is none of {', '.join(PARTS)}"
  if row.label in _RESERVED:
    return f"a class cannot be called {row.label!r}"
  if "|" in row.label:
    return (
      f"{row.label!r} names several findings, and an image has one class: "
      "write one of them, or leave the cell empty"
    )
  return ""
