"""The raw files of phantoms against the owners' published layouts."""

import os
import re

import numpy as np
import pytest
from PIL import Image

from apppau_jax import phantoms
from apppau_jax.errors import DataError
from apppau_jax.phantoms import picture as phantom_picture

SIZE = 48


def files_of(folder):
  return {
    path.relative_to(folder).as_posix(): path.read_bytes()
    for path in folder.rglob("*")
    if path.is_file()
  }


def pixels(path):
  with Image.open(path) as image:
    return image.mode, np.asarray(image)


@pytest.fixture(scope="module")
def montgomery(tmp_path_factory):
  folder = tmp_path_factory.mktemp("montgomery")
  phantoms.write_montgomery(folder, count=12, seed=3, size=SIZE)
  return folder / "MontgomerySet"


@pytest.fixture(scope="module")
def shenzhen(tmp_path_factory):
  folder = tmp_path_factory.mktemp("shenzhen")
  phantoms.write_shenzhen(folder, count=50, seed=0, size=SIZE)
  return folder


def test_montgomery_names(montgomery):
  # 12 * 80 / 138 = 6.96
  ids = [f"MCUCXR_{n:04d}_{int(n > 7)}" for n in range(1, 13)]
  for folder, ending in (
    ("CXR_png", "png"),
    ("ManualMask/leftMask", "png"),
    ("ManualMask/rightMask", "png"),
    ("ClinicalReadings", "txt"),
  ):
    names = sorted(os.listdir(montgomery / folder))
    assert names == [f"{i}.{ending}" for i in ids]


@pytest.mark.parametrize("number", [1, 12])
def test_montgomery_pixels(montgomery, number):
  expected = phantoms.make_phantom(
    seed=3,
    index=number - 1,
    finding="tb" if number > 7 else "normal",
    size=(SIZE, SIZE),
  )
  name = f"MCUCXR_{number:04d}_{int(number > 7)}.png"
  mode, image = pixels(montgomery / "CXR_png" / name)
  assert mode == "L"
  np.testing.assert_array_equal(image, expected.image)
  masks = montgomery / "ManualMask"
  # Named after the side of the picture, as in the original.
  for folder, lung in (
    ("leftMask", expected.right_lung),
    ("rightMask", expected.left_lung),
  ):
    mode, mask = pixels(masks / folder / name)
    assert mode == "1"
    np.testing.assert_array_equal(mask, lung)
  _, left = pixels(masks / "leftMask" / name)
  _, right = pixels(masks / "rightMask" / name)
  assert np.nonzero(left)[1].max() < np.nonzero(right)[1].min()


def test_montgomery_readings(montgomery):
  pattern = re.compile(
    r"Patient's Sex: [FMO] \nPatient's Age: (\d{3})Y\n(.+)\n"
  )
  ages = set()
  for path in (montgomery / "ClinicalReadings").iterdir():
    age, finding = pattern.fullmatch(path.read_text()).groups()
    assert (finding == "normal") == path.stem.endswith("_0")
    ages.add(int(age))
  assert len(ages) > 6
  assert max(ages) < 100


def test_montgomery_native_aspect(tmp_path):
  phantoms.write_montgomery(tmp_path, count=12, size=60, native_aspect=True)
  sizes = []
  for path in (tmp_path / "MontgomerySet/CXR_png").iterdir():
    with Image.open(path) as image:
      sizes.append(image.size)
  # 60 * 4020 / 4892 = 49.3
  assert set(sizes) == {(60, 49), (49, 60)}
  assert sizes.count((49, 60)) > sizes.count((60, 49))


def test_shenzhen_names(shenzhen):
  # 50 * 326 / 662 = 24.6
  ids = [f"CHNCXR_{n:04d}_0" for n in range(1, 26)]
  ids += [f"CHNCXR_{n:04d}_1" for n in range(327, 352)]
  root = shenzhen / "ChinaSet_AllFiles"
  assert sorted(os.listdir(root / "CXR_png")) == [f"{i}.png" for i in ids]
  readings = sorted(os.listdir(root / "ClinicalReadings"))
  assert readings == [f"{i}.txt" for i in ids]
  without = {"CHNCXR_0025_0", "CHNCXR_0336_1"}
  without |= {f"CHNCXR_{n:04d}_1" for n in range(341, 352)}
  masks = sorted(os.listdir(shenzhen / "mask"))
  assert masks == [f"{i}_mask.png" for i in ids if i not in without]


def test_shenzhen_images_are_palettes_or_rgb(shenzhen):
  modes, sizes = [], set()
  folder = shenzhen / "ChinaSet_AllFiles/CXR_png"
  for index, path in enumerate(sorted(folder.iterdir())):
    with Image.open(path) as image:
      modes.append(image.mode)
      grey = np.asarray(image.convert("L"))
      raw = np.asarray(image)
    sizes.add(grey.shape)
    expected = phantoms.make_phantom(
      seed=0,
      index=index,
      finding="tb" if path.stem[-1] == "1" else "normal",
      size=grey.shape,
    )
    np.testing.assert_array_equal(grey, expected.image)
    if modes[-1] == "P":
      # Taking the indices for grey values must not go unnoticed.
      assert np.corrcoef(raw.ravel(), grey.ravel())[0, 1] < -0.99
    else:
      np.testing.assert_array_equal(raw, grey[..., None].repeat(3, axis=-1))
  assert set(modes) == {"P", "RGB"}
  assert modes.count("P") > 40
  assert len(sizes) > 10
  assert all(0.9 * SIZE < n < 1.1 * SIZE for size in sizes for n in size)


def test_shenzhen_masks_hold_both_lungs(shenzhen):
  for name in ("CHNCXR_0003_0", "CHNCXR_0330_1"):
    mode, mask = pixels(shenzhen / "mask" / f"{name}_mask.png")
    path = shenzhen / f"ChinaSet_AllFiles/CXR_png/{name}.png"
    with Image.open(path) as image:
      assert image.size == mask.shape[::-1]
    assert mode == "L"
    assert set(np.unique(mask)) == {0, 255}
    index = 2 if name.endswith("0") else 25 + 3
    lungs = phantoms.make_phantom(seed=0, index=index, size=mask.shape)
    np.testing.assert_array_equal(
      mask == 255, lungs.left_lung | lungs.right_lung
    )


def test_shenzhen_readings_and_their_variants(shenzhen):
  pattern = re.compile(
    r"(?:male|female|femal)[ ,]*\d+(?:yrs|month|days)?[ \t]*(?:\r\n){1,2}(.+)"
  )
  first_lines = set()
  for path in (shenzhen / "ChinaSet_AllFiles/ClinicalReadings").iterdir():
    text = path.read_bytes().decode()
    finding = pattern.fullmatch(text)[1].strip()
    assert finding.startswith("PTB" if path.stem[-1] == "1" else "normal")
    first_lines.add(re.sub(r"\d+|female|femal|male", "#", text.split("\r")[0]))
  assert len(first_lines) >= 4


@pytest.mark.parametrize("count", [662, 800])
def test_shenzhen_counts(tmp_path, monkeypatch, count):
  blank = np.zeros((16, 16), bool)
  stub = phantom_picture.Phantom(
    image=blank.astype(np.uint8),
    left_lung=blank,
    right_lung=blank,
    heart=blank,
    left_clavicle=blank,
    right_clavicle=blank,
    finding="normal",
  )
  monkeypatch.setattr(phantom_picture, "make_phantom", lambda **_: stub)
  phantoms.write_shenzhen(tmp_path, count=count, size=16)
  names = os.listdir(tmp_path / "ChinaSet_AllFiles/CXR_png")
  assert len(names) == count
  healthy = {int(n[7:11]) for n in names if n.endswith("_0.png")}
  ill = {int(n[7:11]) for n in names if n.endswith("_1.png")}
  assert not healthy & ill
  if count == 662:
    assert (len(healthy), len(ill)) == (326, 336)
    assert (max(healthy), min(ill), max(ill)) == (326, 327, 662)
    assert len(os.listdir(tmp_path / "mask")) == 566


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_phantoms(tmp_path, count):
  phantoms.write_montgomery(tmp_path, count=count, size=16)
  names = sorted(os.listdir(tmp_path / "MontgomerySet/CXR_png"))
  labels = [name[-5] for name in names]
  assert labels == [["0"], ["0", "1"], ["0", "0", "1"]][count - 1]


@pytest.mark.parametrize(
  "write", [phantoms.write_montgomery, phantoms.write_shenzhen]
)
def test_same_seed_same_bytes(tmp_path, write):
  arguments = {"count": 4, "size": 32}
  write(tmp_path / "a", seed=1, **arguments)
  write(tmp_path / "b", seed=1, **arguments)
  write(tmp_path / "c", seed=2, **arguments)
  a, b, c = (files_of(tmp_path / name) for name in "abc")
  assert a == b
  assert a.keys() == c.keys()
  pictures = [name for name in a if "CXR_png" in name]
  assert len(pictures) == 4
  assert all(a[name] != c[name] for name in pictures)


def test_workers_and_progress(tmp_path):
  calls = []
  arguments = {"count": 3, "size": 32, "seed": 5}
  phantoms.write_montgomery(tmp_path / "one", **arguments)
  phantoms.write_montgomery(
    tmp_path / "two",
    **arguments,
    workers=2,
    progress=lambda *c: calls.append(c),
  )
  assert files_of(tmp_path / "one") == files_of(tmp_path / "two")
  assert calls == [(1, 3), (2, 3), (3, 3)]


def test_a_broken_write_leaves_the_old_file(tmp_path, monkeypatch):
  phantoms.write_montgomery(tmp_path, count=1, size=32)
  before = files_of(tmp_path)
  replace = os.replace

  def fail(source, target):
    if "leftMask" in os.fspath(target):
      raise OSError("disk full")
    replace(source, target)

  monkeypatch.setattr(os, "replace", fail)
  with pytest.raises(OSError, match="disk full"):
    phantoms.write_montgomery(tmp_path, count=1, size=40)
  after = files_of(tmp_path)
  assert after.keys() == before.keys()
  left = "MontgomerySet/ManualMask/leftMask/MCUCXR_0001_0.png"
  assert after[left] == before[left]


@pytest.mark.parametrize(
  "wrong", [{"count": 0}, {"count": 10_000}, {"seed": -1}, {"size": 8}]
)
def test_impossible_sets(tmp_path, wrong):
  with pytest.raises(DataError, match="hantom"):
    phantoms.write_montgomery(tmp_path, **{"count": 1, "size": 32, **wrong})
  assert not files_of(tmp_path)
