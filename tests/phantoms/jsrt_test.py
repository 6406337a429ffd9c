"""The raw files of phantoms against the published layouts of JSRT and SCR."""

import numpy as np
import pytest
from PIL import Image

from apppau_jax import phantoms

SIZE = 48


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  root = tmp_path_factory.mktemp("jsrt")
  phantoms.write_jsrt(root, count=8, seed=1, size=SIZE)
  return root


def test_names_and_folds(folder):
  # 8 * 154 / 247 = 4.99
  ids = [f"JPCLN00{i}" for i in range(1, 6)]
  ids += [f"JPCNN00{i}" for i in range(1, 4)]
  expected = {f"All247images/{i}.IMG" for i in ids}
  expected |= {f"Clinical_Information/C{k}" for k in
               ("LNDAT_EN.txt", "NNDAT_EN.TXT")}  # fmt: skip
  for part in ("heart", "left lung", "right lung", "left clavicle",
               "right clavicle"):  # fmt: skip
    for place, name in enumerate(ids):
      expected.add(f"scratch/fold{1 + place % 2}/masks/{part}/{name}.gif")
  found = {
    path.relative_to(folder).as_posix()
    for path in folder.rglob("*")
    if path.is_file()
  }
  assert found == expected


def test_images_are_headerless_big_endian_and_inverted(folder):
  drawn = phantoms.make_phantom(
    seed=1, index=1, finding="nodule", size=(SIZE, SIZE)
  ).image
  drawn[: SIZE // 40, : SIZE // 8] = 0
  raw = np.fromfile(folder / "All247images/JPCLN002.IMG", ">u2")
  assert raw.size == SIZE**2
  density = raw.reshape(SIZE, SIZE).astype(int)
  np.testing.assert_array_equal(np.maximum(4095 - density, 0) // 16, drawn)
  assert len(np.unique(density % 16)) == 16  # all twelve bits are used


def test_masks_have_the_side_of_the_patient_and_half_the_size(folder):
  masks = {}
  for name in ("left lung", "right lung"):
    path = folder / f"scratch/fold2/masks/{name}/JPCLN002.gif"
    with Image.open(path) as image:
      assert image.size == (SIZE // 2, SIZE // 2)
      masks[name] = np.asarray(image.convert("L"))
    assert set(np.unique(masks[name])) == {0, 255}
  # The patient's left lung is on the right of the image.
  left, right = (np.nonzero(m)[1].mean() for m in masks.values())
  assert left > SIZE / 4 > right


def test_texts_end_lines_in_cr_and_cut_words(folder):
  texts = folder / "Clinical_Information"
  nodules = (texts / "CLNDAT_EN.txt").read_bytes()
  normal = (texts / "CNNDAT_EN.TXT").read_bytes()
  for text, count in ((nodules, 5), (normal, 3)):
    assert b"\n" not in text
    assert text.count(b"\r") == count
    assert text.endswith(b"\r")
  rows = [line.split(b"\t") for line in nodules.split(b"\r")[:-1]]
  assert {len(row) for row in rows} == {12}
  assert [row[1] for row in rows] == [b"5", b"4", b"3", b"2", b"1"]
  assert all(len(row[8]) <= 7 and len(row[10]) <= 12 for row in rows)
  assert all(row[11] for row in rows if len(row[10]) == 12)
  assert normal.startswith(b"JPCNN001.IMG ")


@pytest.mark.parametrize("wrong", [{"count": 0}, {"count": 1000}, {"size": 8}])
def test_arguments_out_of_range(tmp_path, wrong):
  with pytest.raises(ValueError, match=next(iter(wrong))):
    phantoms.write_jsrt(tmp_path, **{"count": 1, "size": 32, **wrong})
  assert not list(tmp_path.rglob("*.IMG"))
