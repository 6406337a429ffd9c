"""The raw files of phantoms against the published layouts."""

import re

import numpy as np
import pytest
from PIL import Image

from apppau_jax import phantoms
from apppau_jax.phantoms import raw_files

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
  kinds = ["ManualMask/leftMask/{}.png", "ManualMask/rightMask/{}.png"]
  kinds += ["CXR_png/{}.png", "ClinicalReadings/{}.txt"]
  expected = {kind.format(i) for kind in kinds for i in ids}
  assert files_of(montgomery).keys() == expected


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
  # The original names masks after the side of the image.
  masks = {}
  for side, lung in (("left", expected.right_lung),
                     ("right", expected.left_lung)):  # fmt: skip
    path = montgomery / f"ManualMask/{side}Mask/{name}"
    mode, masks[side] = pixels(path)
    assert mode == "1"
    np.testing.assert_array_equal(masks[side], lung)
  left, right = (np.nonzero(masks[side])[1] for side in ("left", "right"))
  assert left.max() < right.min()


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


def test_shenzhen_names(shenzhen):
  # 50 * 326 / 662 = 24.6
  ids = [f"CHNCXR_{n:04d}_0" for n in range(1, 26)]
  ids += [f"CHNCXR_{n:04d}_1" for n in range(327, 352)]
  without = {"CHNCXR_0025_0", "CHNCXR_0336_1"}
  without |= {f"CHNCXR_{n:04d}_1" for n in range(341, 352)}
  expected = {f"ChinaSet_AllFiles/CXR_png/{i}.png" for i in ids}
  expected |= {f"ChinaSet_AllFiles/ClinicalReadings/{i}.txt" for i in ids}
  expected |= {f"mask/{i}_mask.png" for i in ids if i not in without}
  assert files_of(shenzhen).keys() == expected


def test_shenzhen_images_are_palettes_or_rgb(shenzhen):
  modes, sizes = [], set()
  folder = shenzhen / "ChinaSet_AllFiles/CXR_png"
  for index, path in enumerate(sorted(folder.iterdir())):
    with Image.open(path) as image:
      modes.append(image.mode)
      grey, raw = np.asarray(image.convert("L")), np.asarray(image)
    sizes.add(grey.shape)
    if modes[-1] == "P":
      # Indices that are mistaken for grey values are a negative.
      assert np.corrcoef(raw.ravel(), grey.ravel())[0, 1] < -0.99
    else:
      np.testing.assert_array_equal(raw, grey[..., None].repeat(3, axis=-1))
    if modes.count(modes[-1]) == 1:  # the first of either mode
      finding = "tb" if path.stem[-1] == "1" else "normal"
      expected = phantoms.make_phantom(
        seed=0, index=index, finding=finding, size=grey.shape
      )
      np.testing.assert_array_equal(grey, expected.image)
  assert set(modes) == {"P", "RGB"}
  assert modes.count("P") > 40
  assert len(sizes) > 10
  assert all(0.9 * SIZE < n < 1.1 * SIZE for size in sizes for n in size)


@pytest.mark.parametrize(
  ("name", "index"), [("CHNCXR_0003_0", 2), ("CHNCXR_0330_1", 25 + 3)]
)
def test_shenzhen_masks_hold_both_lungs(shenzhen, name, index):
  mode, mask = pixels(shenzhen / "mask" / f"{name}_mask.png")
  _, image = pixels(shenzhen / f"ChinaSet_AllFiles/CXR_png/{name}.png")
  assert mode == "L"
  assert set(np.unique(mask)) == {0, 255}
  assert image.shape[:2] == mask.shape
  drawn = phantoms.make_phantom(seed=0, index=index, size=mask.shape)
  lungs = drawn.left_lung | drawn.right_lung
  np.testing.assert_array_equal(mask == 255, lungs)


def test_shenzhen_readings_and_their_spellings(shenzhen):
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


def numbers(monkeypatch, write, **arguments):
  """The numbers of the normal and of the abnormal images of a data set."""
  jobs = []
  monkeypatch.setattr(raw_files.jobs_lib, "run", lambda j, **_: jobs.extend(j))
  write("unused", size=16, **arguments)
  return tuple(
    [j.number for j in jobs if j.abnormal == abnormal]
    for abnormal in (False, True)
  )


def test_shenzhen_numbers(monkeypatch):
  normal, tb = numbers(monkeypatch, phantoms.write_shenzhen, count=662)
  assert normal == list(range(1, 327))
  assert tb == list(range(327, 663))
  without = raw_files._WITHOUT_MASK
  assert len(without.intersection(normal + tb)) == 662 - 566
  normal, tb = numbers(monkeypatch, phantoms.write_shenzhen, count=800)
  assert sorted(normal + tb) == list(range(1, 801))


@pytest.mark.parametrize(("count", "tb"), [(1, []), (2, [2]), (3, [3])])
def test_few_phantoms(monkeypatch, count, tb):
  found = numbers(monkeypatch, phantoms.write_montgomery, count=count)
  assert found[1] == tb
  assert len(found[0] + tb) == count


@pytest.mark.parametrize(
  "write",
  [phantoms.write_montgomery, phantoms.write_shenzhen, phantoms.write_jsrt],
)
def test_same_seed_same_bytes(tmp_path, write):
  calls = []
  for name, seed in (("a", 1), ("b", 1), ("c", 2)):
    write(tmp_path / name, seed=seed, count=3, size=32,
          progress=lambda *c: calls.append(c))  # fmt: skip
  a, b, c = (files_of(tmp_path / name) for name in "abc")
  assert a == b
  assert a.keys() == c.keys()
  images = [n for n in a if "CXR_png" in n or n.endswith(".IMG")]
  assert len(images) == 3
  assert all(a[name] != c[name] for name in images)
  assert calls == 3 * [(1, 3), (2, 3), (3, 3)]


def test_several_processes_write_the_same_files(tmp_path):
  arguments = {"count": 3, "size": 32, "seed": 5}
  phantoms.write_montgomery(tmp_path / "one", **arguments)
  phantoms.write_montgomery(tmp_path / "two", **arguments, workers=2)
  assert files_of(tmp_path / "one") == files_of(tmp_path / "two")


@pytest.mark.parametrize(
  "wrong", [{"count": 0}, {"count": 10_000}, {"seed": -1}, {"size": 8}]
)
def test_arguments_out_of_range(tmp_path, wrong):
  with pytest.raises(ValueError, match=next(iter(wrong))):
    phantoms.write_montgomery(tmp_path, **{"count": 1, "size": 32, **wrong})
  assert not files_of(tmp_path)
