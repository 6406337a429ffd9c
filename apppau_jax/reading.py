"""Read JSON and tables that a user or another program may have written.

Whatever is wrong with such a file becomes one error of this package that names
the file. A JSON file is checked against a form:

  a type, such as `str`   a value of it; `float` also accepts whole numbers
  `None`                  null
  `object`                any value
  `[form]`                a list of such values
  `{str: form}`           an object with any keys and such values
  `{"a": form, "b?": …}`  an object with the key a, perhaps b, and any others
  `(form, form, …)`       a value of one of the forms
"""

import csv
import io
import json
import math
import os
import pathlib
from collections.abc import Iterator
from typing import Any

from apppau_jax import errors

MAX_BYTES = 2**30  # of a JSON file
MAX_DEPTH = 32  # of its lists and objects
_WORDS = {
  bool: "true or false",
  int: "a whole number",
  float: "a number",
  str: "text",
  type(None): "null",
}


def read_json(
  path: str | os.PathLike[str],
  form: Any,
  *,
  error: type[errors.UserError] = errors.DataError,
  advice: str = "Restore the file from a copy.",
) -> Any:
  """Reads a JSON file of a form.

  Args:
    path: the file.
    form: see the top of this module.
    error: what to raise.
    advice: what the user can do, the end of the message.

  Raises:
    UserError: of the type `error`; the file is absent, is not JSON in UTF-8 or
      has another form.
  """
  path = pathlib.Path(path)
  try:
    value = parse_json(_content(path))
    if fault := misfit(value, form):
      raise ValueError(fault)
  except (OSError, ValueError) as e:
    raise error(f"{path} cannot be read: {e}. {advice}") from e
  return value


def json_or_none(path: str | os.PathLike[str], form: Any) -> Any:
  """Returns the value of a JSON file; None if `read_json` would refuse it."""
  try:
    return read_json(path, form)
  except errors.UserError:
    return None


def decode_text(content: bytes) -> str:
  """Decodes UTF-8, or UTF-16 with a byte order mark.

  Raises:
    ValueError: it is neither; names the line. Other encodings are not guessed.
  """
  try:
    wide = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    return content.decode("utf-16" if wide else "utf-8-sig")
  except UnicodeDecodeError as error:
    line = 1 + content.count(b"\n", 0, error.start)
    raise ValueError(
      f"line {line} has the byte 0x{content[error.start]:02x}, which is not "
      f"{error.encoding.upper()}; in a spreadsheet choose 'CSV UTF-8'"
    ) from error


def parse_json(content: str | bytes) -> Any:
  """Parses JSON whose numbers fit into 64 bits.

  Raises:
    ValueError: it is not JSON, not in UTF-8, nested deeply, or has a number
      that is not finite or a whole number of more than 64 bits.
  """
  text = content if isinstance(content, str) else content.decode()
  try:
    value = json.loads(
      text, parse_int=_int, parse_float=_float, parse_constant=_float
    )
  except RecursionError as e:
    raise ValueError("it is nested too deeply") from e
  if "\\u" in text:  # half of a surrogate pair is no text
    json.dumps(value, ensure_ascii=False).encode()
  if _depth(value) > MAX_DEPTH:
    raise ValueError("it is nested too deeply")
  return value


def misfit(value: Any, form: Any, *, at: str = "") -> str:
  """Returns where and why a value of JSON has not a form, or ""."""
  if isinstance(form, tuple):
    faults = [misfit(value, one, at=at) for one in form]
    return "" if "" in faults else faults[0]
  if isinstance(form, list):
    items = enumerate(value) if isinstance(value, list) else None
    return _first(items, {}, form[0], at=at, kind="a list")
  if isinstance(form, dict):
    items = value.items() if isinstance(value, dict) else None
    if form.keys() == {str}:
      return _first(items, {}, form[str], at=at, kind="an object")
    named = {key.removesuffix("?"): inner for key, inner in form.items()}
    for key in form if items is not None else ():
      if not key.endswith("?") and key not in value:
        return f"{at or 'it'} has no {key!r}"
    return _first(items, named, object, at=at, kind="an object")
  wanted = type(None) if form is None else form
  accepted = (int, float) if wanted is float else (wanted,)
  if wanted is object or type(value) in accepted:
    return ""
  return f"{at or 'it'} is not {_WORDS.get(wanted, wanted.__name__)}"


def read_rows(
  text: str, *, delimiter: str = ","
) -> Iterator[tuple[int, list[str]]]:
  """Yields number and cells of each line of a table; an empty line has none.

  Lines may end in LF, CR LF or CR.

  Raises:
    ValueError: it is not a table; the line is named.
  """
  lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
  try:
    for cells in lines:
      if any("\0" in cell for cell in cells):
        raise csv.Error("a NUL character, as in a binary file or in UTF-16")
      yield lines.line_num, cells
  except csv.Error as e:
    raise ValueError(f"line {lines.line_num}: {e}") from e


def _content(path: pathlib.Path) -> bytes:
  if path.exists() and not path.is_file():  # a pipe would block
    raise ValueError("it is not a file")
  with path.open("rb") as file:
    content = file.read(MAX_BYTES + 1)
  if len(content) > MAX_BYTES:
    raise ValueError(f"it is larger than {MAX_BYTES:,} bytes")
  return content


def _first(
  items: Any, named: dict[str, Any], other: Any, *, at: str, kind: str
) -> str:
  """Returns the first fault of the parts of a list or object."""
  if items is None:
    return f"{at or 'it'} is not {kind}"
  faults = (
    misfit(inner, named.get(key, other), at=f"{at}.{key}".lstrip("."))
    for key, inner in items
  )
  return next(filter(None, faults), "")


def _int(text: str) -> int:
  value = int(text) if len(text) < 21 else 2**64
  if not -(2**63) <= value < 2**63:
    raise ValueError(f"the number {text[:21]}… has more than 64 bits")
  return value


def _float(text: str) -> float:
  value = float(text)
  if not math.isfinite(value):
    raise ValueError(f"the number {text[:21]} is not finite")
  return value


def _depth(value: Any) -> int:
  depth, level = 0, [value]
  while level := [v for v in level if isinstance(v, dict | list)]:
    depth += 1
    if depth > MAX_DEPTH:
      break
    level = [
      inner
      for outer in level
      for inner in (outer.values() if isinstance(outer, dict) else outer)
    ]
  return depth
