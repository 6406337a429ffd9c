import numpy as np
import pytest
from PIL import Image

from apppau_jax.datasets import raw_index
from apppau_jax.datasets.dataset import Dataset
from apppau_jax.datasets.prepare import prepare
from apppau_jax.datasets.raw_source import RawSource
from apppau_jax.datasets.shenzhen import SHENZHEN, parse_reading

IDS = ("CHNCXR_0001_0", "CHNCXR_0025_0", "CHNCXR_0327_1", "CHNCXR_0336_1")
WITHOUT = ("CHNCXR_0025_0", "CHNCXR_0336_1")


def _index(root):
  with RawSource(root) as source:
    return raw_index.index(source, SHENZHEN)


def test_published_set_has_326_normal_336_tb_and_96_without_mask():
  ids = SHENZHEN.ids
  assert len(ids) == 662
  assert sum(i.endswith("_0") for i in ids) == 326
  assert ids[325:327] == ("CHNCXR_0326_0", "CHNCXR_0327_1")
  without = SHENZHEN.without_mask
  assert sum(i.endswith("_0") for i in without) == 47
  assert sum(i.endswith("_1") for i in without) == 49


def test_published_without_mask_is_unlabelled_any_other_is_missing(
  raw_sets, tmp_path
):
  raw = raw_sets.shenzhen(tmp_path, IDS, without=WITHOUT)
  found = _index(raw)
  assert found.unlabelled == WITHOUT
  assert len(found.missing) == 662 - 4
  (raw / f"mask/{IDS[0]}_mask.png").unlink()
  found = _index(raw)
  assert found.unlabelled == WITHOUT
  assert set(found.missing) >= {f"{IDS[0]}_mask.png"}
  assert len(found.missing) == 662 - 4 + 1


def test_mask_of_an_id_that_had_none_is_left_out(raw_sets, tmp_path):
  found = _index(raw_sets.shenzhen(tmp_path, IDS))
  assert found.unlabelled == WITHOUT
  assert [i for i, _ in found.notes] == list(WITHOUT)
  assert "its mask is left out" in found.notes[0][1]
  assert [len(e.masks) for e in found.examples] == [1, 0, 1, 0]


@pytest.mark.parametrize("folder", ["mask/mask", "ChinaSet_AllFiles/mask"])
def test_masks_are_found_where_archives_put_them(raw_sets, tmp_path, folder):
  raw = raw_sets.shenzhen(tmp_path / "raw", IDS, without=WITHOUT)
  expected = _index(raw)
  (raw / "mask").rename(tmp_path / "moved")
  (raw / folder).parent.mkdir(exist_ok=True)
  (tmp_path / "moved").rename(raw / folder)
  found = _index(raw)
  assert found.missing == expected.missing
  assert [len(e.masks) for e in found.examples] == [1, 0, 1, 0]


def test_palette_and_colour_files_give_the_same_pixels(raw_sets, tmp_path):
  grey = raw_sets.shenzhen(tmp_path / "grey", IDS, without=WITHOUT)
  other = raw_sets.shenzhen(tmp_path / "other", IDS, without=WITHOUT)
  for i, name in enumerate(IDS):
    path = other / f"ChinaSet_AllFiles/CXR_png/{name}.png"
    Image.open(path).convert("P" if i % 2 else "RGB").save(path)
  loaded = []
  for raw in (grey, other):
    prepare("shenzhen", raw_dir=raw, data_dir=raw, allow_missing=True)
    loaded.append(Dataset("shenzhen", data_dir=raw).open(IDS))
  np.testing.assert_array_equal(loaded[0].image, loaded[1].image)
  assert loaded[0].has_mask.tolist() == [True, False, True, False]
  assert loaded[0].mask[1].max() == 0
  assert loaded[0].label.tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize(
  ("text", "expected"),
  [
    ("male 45yrs\r\nnormal", ("M", "45", "normal")),
    ("femal 32yrs\nnormale", ("F", "32", "normal")),
    ("female24yrs\r\n\r\nbilateral PTB \t", ("F", "24", "bilateral PTB")),
    ("male , 29yrs\nRight PTB", ("M", "29", "Right PTB")),
    ("male 42\nnormal", ("M", "42", "normal")),
    ("Male 16month\nSTB", ("M", "1", "STB")),
    ("female 64days\n", ("F", "0", "")),
    ("male 38yrs  \t\nPTB  left field \t", ("M", "38", "PTB left field")),
    ("male normal", ("M", "", "normal")),
    ("something else", ("", "", "something else")),
    ("", ("", "", "")),
  ],
)  # fmt: skip
def test_readings(text, expected):
  read = parse_reading(text)
  assert (read.sex, read.age, read.finding) == expected
