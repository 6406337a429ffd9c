"""CheXmask's table is read row by row, and what does not fit is named."""

import numpy as np
import pytest
from fixtures import field_sets

from apppau_jax.datasets import chexmask
from apppau_jax.datasets.raw_source import RawSource
from apppau_jax.errors import DataError

HEADER = ["Image Index", "Dice RCA (Max)", "Dice RCA (Mean)", "Landmarks"]
HEADER += ["Left Lung", "Right Lung", "Heart", "Height", "Width"]
MASKS = np.random.default_rng(0).random((3, 3, 5, 4)) < 0.4


def _row(i, **changes):
  values = [f"{i}.png", 0.9, 0.8, "[[1 2]\n [3 4]]"]
  values += [field_sets.rows_from_one(mask) for mask in MASKS[i]] + [5, 4]
  row = dict(zip(HEADER, values), **changes)
  return [*row.values()]


def _read(root, rows, header=HEADER):
  field_sets.table(root / "masks.csv", header, rows)
  with RawSource(root) as source:
    return chexmask.read(source, source.find("masks.csv"), image="Image Index")


def test_masks_of_each_row(tmp_path):
  found = _read(tmp_path, [_row(0), _row(1), _row(2)])
  assert [*found.annotations] == ["0.png", "1.png", "2.png"]
  for i in (2, 0, 1):
    drawn = found.annotations[f"{i}.png"].draw((5, 4))
    np.testing.assert_array_equal(drawn.structures, MASKS[i])
    np.testing.assert_array_equal(drawn.mask, MASKS[i][0] | MASKS[i][1])


def test_poor_masks_are_named(tmp_path):
  rows = [
    _row(0, **{"Dice RCA (Mean)": 0.7}),
    _row(1, **{"Dice RCA (Mean)": 0.699}),
  ]
  found = _read(tmp_path, rows)
  assert [*found.annotations] == ["0.png"]
  assert found.poor == {"1.png"}


@pytest.mark.parametrize(
  ("rows", "reason"),
  [
    ([_row(0), _row(0)], r"masks\.csv, row 2.*0\.png"),
    ([_row(0)[:6]], r"masks\.csv, row 1.*'Heart'"),
    ([_row(0, **{"Dice RCA (Mean)": "nan"})], r"row 1.*Dice RCA \(Mean\)"),
    ([_row(0, **{"Dice RCA (Mean)": "1" * 99})], r"row 1.*Dice"),
  ],
)
def test_other_rows_are_refused(tmp_path, rows, reason):
  with pytest.raises(DataError, match=reason):
    _read(tmp_path, rows)


def test_other_columns_are_refused(tmp_path):
  with pytest.raises(DataError, match=r"masks\.csv has no column 'Left Lung'"):
    _read(tmp_path, [], header=[*HEADER[:4], *HEADER[5:]])


@pytest.mark.parametrize(
  ("changes", "size", "reason"),
  [
    ({}, (10, 8), "4x5 pixels and the image is 8x10"),
    ({"Heart": "1 99"}, (5, 4), "leave"),
    ({"Heart": ""}, (5, 4), "pairs"),
  ],
)
def test_masks_that_do_not_fit_are_refused(tmp_path, changes, size, reason):
  found = _read(tmp_path, [_row(0, **changes)])
  with pytest.raises(ValueError, match=reason):
    found.annotations["0.png"].draw(size)


def test_a_table_in_a_zip_is_refused(tmp_path, raw_sets):
  field_sets.table(tmp_path / "raw/masks.csv", HEADER, [_row(0)])
  path = raw_sets.zipped(tmp_path / "raw", tmp_path / "raw.zip")
  with RawSource(path) as source, pytest.raises(DataError, match="Unpack"):
    chexmask.read(source, source.find("masks.csv"), image="Image Index")


def test_bytes_that_are_no_table(tmp_path):
  (tmp_path / "masks.csv").write_bytes(b"a,b\n\xff\xfe,1\n")
  with RawSource(tmp_path) as source, pytest.raises(DataError, match="masks"):
    chexmask.read(source, source.find("masks.csv"), image="a")
