"""A table that another program has changed is refused by its line."""

import pytest

from apppau_jax.errors import DataError
from apppau_jax.inference import prediction_table
from apppau_jax.inference.prediction_table import Columns, Row

COLUMNS = Columns(structures=("lung", "heart"), class_names=("normal", "tb"))
ROWS = [
  Row("a.png", "ok", "", (0.25, 0.125), (0.5, 0.5)),
  Row("b, c.png", "failed", 'it is "flat"'),
]


@pytest.fixture
def path(tmp_path):
  path = tmp_path / prediction_table.NAME
  prediction_table.write(path, ROWS, columns=COLUMNS)
  return path


def test_rows_are_read_as_they_were_written(path):
  rows = prediction_table.read(path, columns=COLUMNS)
  assert [*rows.values()] == ROWS


@pytest.mark.parametrize(
  ("old", "new", "says"),
  [
    ("0.500000,0.500000", "0.500000", "line 2: 6 cells instead of 7"),
    ("0.500000,0.500000", "0.5,0.5,0.5", "line 2: 8 cells"),
    ("0.250000", "", "line 2: could not convert"),
    ("0.250000", "nan", "line 2: a number that is not from 0 to 1"),
    ("0.250000", "25", "line 2: a number"),
    (",ok,", ",OK,", "line 2: the status 'OK'"),
    ('"b, c.png"', "a.png", "line 3: a.png a second time"),
    ("a.png", "a\0.png", "line 2: a NUL"),
    ("file,", "file;", "columns"),
    ("a.png", "\udcff", "utf-8"),
  ],
)
def test_other_rows_are_refused_by_line(path, old, new, says):
  text = path.read_text()
  assert old in text
  text = text.replace(old, new, 1)
  path.write_bytes(text.encode(errors="surrogateescape"))
  with pytest.raises(ValueError, match=says):
    prediction_table.read(path, columns=COLUMNS)
  (path.parent / "predictions.json").write_text("{}")
  with pytest.raises(DataError, match="cannot be continued"):
    prediction_table.claim(path.parent, {}, columns=COLUMNS, overwrite=False)
