"""A table that another program has changed is refused by its line."""

import csv

import pytest

from apppau_jax import progress
from apppau_jax.errors import DataError
from apppau_jax.inference import prediction_folder, prediction_table
from apppau_jax.inference.prediction_table import Columns, Row

COLUMNS = Columns(
  structures=("lung", "heart"),
  class_names=("normal", "tb"),
  spreads=True,
  ranges=True,
)
HEADER = (
  "file,lung_mask,heart_mask,status,reason,lung_fraction,heart_fraction,"
  "lung_quality,heart_quality,class,probability,probability_normal,"
  "probability_tb,spacing,"
  "lung_area_px,lung_area_cm2,heart_area_px,heart_area_cm2,"
  "heart_width_px,heart_width_mm,lung_area_px_sd,lung_area_cm2_sd,"
  "heart_area_px_sd,heart_area_cm2_sd,heart_width_px_sd,heart_width_mm_sd,"
  "lowest_probability_normal,highest_probability_normal,"
  "lowest_probability_tb,highest_probability_tb"
)
ROWS = [
  Row(
    *("a.png", "ok", ""),
    masks=("a_lung_mask.png", "a_heart_mask.png"),
    fractions=(0.25, 0.125),
    quality=(0.97, 0.5),
    probs=(0.375, 0.625),
    ranges=(0.25, 0.5, 0.5, 0.75),
    spacing="PixelSpacing",
    measured=(1234.0, 55.5, None, None, 7.0, 2.5),
    spreads=(10.0, 1.5, None, None, None, None),
  ),
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


def test_the_columns_and_the_predicted_class_by_name(path):
  with path.open(newline="") as file:
    first, second = csv.DictReader(file)
  assert ",".join(first) == HEADER
  assert (first["class"], first["probability"]) == ("tb", "0.625000")
  assert first["heart_mask"] == "a_heart_mask.png"
  assert first["heart_width_mm"] == "2.5"
  assert first["lung_area_cm2_sd"] == "1.5"
  assert first["lowest_probability_tb"] == "0.500000"
  assert first["highest_probability_normal"] == "0.500000"
  empty = {k for k, v in second.items() if not v}
  assert empty == {*second} - {"file", "status", "reason"}
  plain = Columns()
  assert "class" not in plain.header()
  assert not any(name.endswith("_sd") for name in plain.header())


@pytest.mark.parametrize("length", [0, 1, 30, -1])
def test_a_last_line_that_is_cut_is_noticed_and_left_out(path, capsys, length):
  """At any byte of it, as after a kill or a power failure."""
  whole = path.read_bytes()
  end = len(whole) if length < 0 else whole[:-1].rindex(b"\n") + 1 + length
  path.write_bytes(whole[: end - (length < 0)])
  with progress.verbose():
    rows = prediction_table.read(path, columns=COLUMNS)
  assert [*rows.values()] == ROWS[:1]
  assert ("within a line" in capsys.readouterr().out) == bool(length)


def test_bytes_of_a_lost_block_are_a_cut_line(path):
  path.write_bytes(path.read_bytes() + b"\0" * 512)
  assert [*prediction_table.read(path, columns=COLUMNS).values()] == ROWS


def test_rows_are_in_the_file_when_they_are_appended(path):
  more = [Row(f"{i}.png", "failed", "x") for i in range(3)]

  def stop_after(count):
    with prediction_table.appending(path, ROWS, columns=COLUMNS) as append:
      for row in more[:count]:
        append(row)
        now = prediction_table.read(path, columns=COLUMNS)
        assert [*now.values()][-1] == row
      raise KeyboardInterrupt

  for count in (0, 2):
    with pytest.raises(KeyboardInterrupt):
      stop_after(count)
    found = [*prediction_table.read(path, columns=COLUMNS).values()]
    assert found == ROWS + more[:count]


@pytest.mark.parametrize(
  ("old", "new", "says"),
  [
    ("0.375000,0.625000,P", "0.375000,P", "line 2: 29 cells instead of 30"),
    ("0.375000,0.625000,P", "0.5,0.5,0.5,P", "line 2: 31 cells"),
    ("0.250000", "", "line 2: could not convert"),
    ("0.250000", "nan", "line 2: the number nan"),
    ("0.250000", "25", "line 2: a number that is not from 0 to 1"),
    ("55.5", "-55.5", "line 2: the number -55.5"),
    ("55.5", "inf", "line 2: the number inf"),
    ("55.5", "wide", "line 2: could not convert"),
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
    prediction_folder.claim(path.parent, {}, columns=COLUMNS, overwrite=False)


def test_findings_have_probabilities_and_none_is_the_most_probable(tmp_path):
  columns = Columns(class_names=("mass", "nodule"), multi_label=True)
  row = Row(
    "a.png",
    "ok",
    masks=("a_mask.png",),
    fractions=(0.25,),
    quality=(0.9,),
    probs=(0.75, 0.625),
    measured=(None,) * len(columns.measurements()),
  )
  path = tmp_path / prediction_table.NAME
  prediction_table.write(path, [row], columns=columns)
  with path.open(newline="") as file:
    (written,) = csv.DictReader(file)
  assert "class" not in written
  assert written["probability_nodule"] == "0.625000"
  found = prediction_table.read(path, columns=columns)["a.png"]
  assert found.probs == row.probs
