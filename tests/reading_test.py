"""JSON has a form or is refused; tables are read line by line."""

import json
import os

import pytest

from apppau_jax import reading
from apppau_jax.errors import CheckpointError, DataError

FORM = {"a": int, "b?": [str], "c?": {str: (float, None)}}


def _read(tmp_path, content, form=FORM):
  path = tmp_path / "x.json"
  path.write_bytes(content if isinstance(content, bytes) else content.encode())
  return reading.read_json(path, form)


@pytest.mark.parametrize(
  "value",
  [
    {"a": 1},
    {"a": 1, "b": ["x"], "c": {"k": 0.5, "l": 2, "m": None}, "more": [1]},
    {"a": -(2**63)},
    {"a": 0, "b": ["\N{MUSICAL SYMBOL G CLEF}"]},
  ],
)
def test_what_has_the_form_is_returned(tmp_path, value):
  assert _read(tmp_path, json.dumps(value)) == value


@pytest.mark.parametrize(
  ("content", "says"),
  [
    ("[]", "it is not an object"),
    ("{}", "it has no 'a'"),
    ('{"a": true}', "a is not a whole number"),
    ('{"a": 1.0}', "a is not a whole number"),
    ('{"a": 1, "b": "x"}', "b is not a list"),
    ('{"a": 1, "b": ["x", 1]}', "b.1 is not text"),
    ('{"a": 1, "c": {"k": "1"}}', "c.k is not a number"),
    ('{"a": 9223372036854775808}', "64 bits"),
    (f'{{"a": {"9" * 5000}}}', "64 bits"),
    ('{"a": 1, "c": {"k": NaN}}', "not finite"),
    ('{"a": 1, "c": {"k": 1e999}}', "not finite"),
    ("[" * 100_000, "too deeply"),
    ('{"a": 1, "x": ' + "[" * 50 + "]" * 50 + "}", "too deeply"),
    ('{"a": 1, "b": ["\\ud800"]}', "surrogates"),
    ('{"a": 1', "Expecting"),
    (b"\xff\xfe{\0}\0", "utf-8"),
    ("", "Expecting value"),
  ],
)
def test_anything_else_is_refused_by_file_and_place(tmp_path, content, says):
  with pytest.raises(DataError, match=says) as caught:
    _read(tmp_path, content)
  assert str(tmp_path / "x.json") in str(caught.value)


def test_no_file_a_folder_and_a_pipe(tmp_path):
  os.mkfifo(tmp_path / "pipe")
  for name in ("absent", ".", "pipe"):
    with pytest.raises(CheckpointError, match="Get another"):
      reading.read_json(
        tmp_path / name, dict, error=CheckpointError, advice="Get another."
      )
    assert reading.json_or_none(tmp_path / name, dict) is None


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_of_a_table_may_end_in_any_way(end):
  rows = reading.read_rows(end.join(["a;b", '"x', 'y";2']), delimiter=";")
  assert [cells for _, cells in rows] == [["a", "b"], [f"x{end}y", "2"]]


@pytest.mark.parametrize(
  ("text", "says"),
  [
    ("a\n" + "x" * 140_000, "line 2: field larger"),
    ("a,b\n1,\0", "line 2: a NUL"),
  ],
)
def test_what_is_no_table_is_refused_by_line(text, says):
  with pytest.raises(ValueError, match=says):
    list(reading.read_rows(text))
