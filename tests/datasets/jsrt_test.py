"""JSRT's raw layout, proved on phantoms: no copy of JSRT is at hand."""

import shutil

import numpy as np
import pytest
from PIL import Image

from apppau_jax import phantoms as drawing
from apppau_jax.datasets import jsrt, raw_index, registry
from apppau_jax.datasets.dataset import Dataset
from apppau_jax.datasets.prepare import prepare
from apppau_jax.datasets.raw_source import RawSource
from apppau_jax.errors import DataError
from apppau_jax.imaging import resample
from apppau_jax.phantoms import jsrt as phantom_jsrt

SIDE = 128
IDS = ("JPCLN001", "JPCLN002", "JPCLN003", "JPCNN001", "JPCNN002")
NAMES = (
  "left_lung", "right_lung", "heart", "left_clavicle", "right_clavicle",
)  # fmt: skip


@pytest.fixture(autouse=True)
def small(monkeypatch):
  """Films of 128 pixels; one test has the full size."""
  monkeypatch.setattr(jsrt, "SIDE", SIDE)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
  root = tmp_path_factory.mktemp("jsrt")
  drawing.write_jsrt(root, count=5, seed=4, size=SIDE)
  return root


@pytest.fixture
def raw(drawn, tmp_path):
  return shutil.copytree(drawn, tmp_path / "raw")


@pytest.fixture
def run(raw, tmp_path):
  def call(raw_dir=raw, data_dir=tmp_path, **options):
    options = {"allow_missing": True, **options}
    return prepare("jsrt", raw_dir=raw_dir, data_dir=data_dir, **options)

  return call


def _person(index):
  finding = "nodule" if index < 3 else "normal"
  made = drawing.make_phantom(
    seed=4, index=index, finding=finding, size=(SIDE, SIDE)
  )
  made.image[: SIDE // 40, : SIDE // 8] = 0
  return made


def _index(root):
  with RawSource(root) as source:
    return raw_index.index(source, jsrt.JSRT)


def _png(path, pixels):
  path.parent.mkdir(parents=True, exist_ok=True)
  Image.fromarray(pixels).save(path, "PNG")


# The layout.


def test_published_set_has_154_nodules_and_93_normal_films():
  assert len(jsrt.JSRT.ids) == 247
  assert sum(map(jsrt.label, jsrt.JSRT.ids)) == 154


def test_raw_files_become_the_pictures_that_were_drawn(run, tmp_path):
  summary = run()
  assert summary["counts"] == {
    "images": 5, "masks": 5, "normal": 2, "nodule": 3, "unlabelled": 0,
    "missing": 242,
  }  # fmt: skip
  assert summary["verdicts"] == []
  loaded = Dataset("jsrt", data_dir=tmp_path).open(IDS)
  assert loaded.label.tolist() == [1, 1, 1, 0, 0]
  for i in range(5):
    person = _person(i)
    np.testing.assert_array_equal(loaded.image[i, ..., 0], person.image)
    half = [
      resample.resize_mask(lung, (SIDE // 2, SIDE // 2))
      for lung in (person.left_lung, person.right_lung)
    ]
    both = np.kron(half[0] | half[1], np.ones((2, 2), bool))
    np.testing.assert_array_equal(loaded.mask[i, ..., 0], both)


def test_folds_and_texts_as_zips_beside_the_images(run, raw, raw_sets):
  folder = run()
  for fold in ("fold1", "fold2"):
    path = raw / f"scratch/{fold}"
    raw_sets.zipped(path, raw / f"{fold}.zip")
    shutil.rmtree(path)
  for name in ("All247images", "Clinical_Information"):
    raw_sets.zipped(raw / name, raw / f"{name}.zip")
    shutil.rmtree(raw / name)
  zips = run(data_dir=raw)
  assert zips["content_sha256"] == folder["content_sha256"]
  assert zips["verdicts"] == []


def test_half_a_mask_is_none_and_missing_files_are_listed(run, raw):
  (raw / "scratch/fold1/masks/left lung/JPCLN001.gif").unlink()
  (raw / "All247images/JPCNN002.IMG").unlink()
  found = _index(raw)
  assert [len(e.masks) for e in found.examples] == [0, 2, 2, 2]
  assert set(found.missing) >= {"left lung/JPCLN001.gif", "JPCNN002.IMG"}
  assert len(found.missing) == 242 + 2
  with pytest.raises(DataError, match="244 files that belong to the set"):
    run(allow_missing=False)
  assert run()["counts"]["masks"] == 3


# Structures kept apart.


def _load(data_dir, ids=IDS, **which):
  opened = Dataset("jsrt", data_dir=data_dir)
  return opened.open(ids, structures=NAMES, **which)


def test_the_five_structures_are_kept_apart(run, tmp_path):
  run()
  loaded = _load(tmp_path)
  assert registry.structure_names("jsrt") == NAMES
  assert (loaded.mask.dtype, loaded.has_mask.all()) == (np.uint8, True)
  for i in range(5):
    person = _person(i)
    for k, name in enumerate(NAMES):
      drawn = getattr(person, name)
      half = resample.resize_mask(drawn, (SIDE // 2, SIDE // 2))
      whole = np.kron(half, np.ones((2, 2), np.uint8))
      np.testing.assert_array_equal(loaded.mask[i, ..., k], whole)
  united = Dataset("jsrt", data_dir=tmp_path).open(IDS).mask[..., 0]
  np.testing.assert_array_equal(united, loaded.mask[..., :2].max(axis=-1))
  opened = Dataset("jsrt", data_dir=tmp_path)
  some = opened.open(IDS, structures=("heart", "left_lung"))
  np.testing.assert_array_equal(some.mask, loaded.mask[..., [2, 0]])
  assert [e.structures for e in opened.entries] == [NAMES] * 5


def test_structures_are_all_there_or_unknown(run, raw, tmp_path):
  first = run()["content_sha256"]
  (raw / "scratch/fold1/masks/heart/JPCLN001.gif").unlink()
  summary = run()
  assert summary["counts"]["masks"] == 5  # the lungs are there
  assert summary["content_sha256"] != first
  loaded = _load(tmp_path, IDS[:3], masks_of=IDS[:2])
  assert loaded.has_mask.tolist() == [False, True, False]
  assert loaded.mask.any(axis=(1, 2, 3)).tolist() == [False, True, False]
  entries = Dataset("jsrt", data_dir=tmp_path).entries
  assert [entry.structures for entry in entries] == [(), *[NAMES] * 4]
  assert all(entry.has_mask for entry in entries)


# The pixels.


def _raw(levels):
  return np.asarray(levels).astype(">u2").tobytes()


def test_twelve_bits_are_inverted_and_the_upper_eight_kept(monkeypatch):
  monkeypatch.setattr(jsrt, "SIDE", 12)
  levels = np.full((12, 12), 2000)
  levels[0, :8] = [0, 15, 16, 2047, 2048, 4079, 4080, 4095]
  levels[1, 0] = 4200  # a few lie above twelve bits
  grey = jsrt.read_raw(_raw(levels), "x")
  assert grey.dtype == np.uint8
  # (4095 - 16) / 16 = 254.9
  assert grey[0, :8].tolist() == [255, 255, 254, 128, 127, 1, 0, 0]
  assert grey[1, 0] == 0


@pytest.mark.parametrize("size", [0, 2 * SIDE**2 - 1, 2 * SIDE**2 + 1])
def test_another_number_of_bytes_is_refused(size):
  with pytest.raises(DataError, match=rf"a\.IMG has {size:,} bytes.*32,768"):
    jsrt.read_raw(bytes(size), "a.IMG")


def test_other_byte_order_and_more_bits_are_refused(raw):
  content = (raw / "All247images/JPCLN001.IMG").read_bytes()
  swapped = np.frombuffer(content, "<u2").astype(">u2")
  with pytest.raises(DataError, match=r"a\.IMG .* are above 4095.*other order"):
    jsrt.read_raw(swapped.tobytes(), "a.IMG")
  deep = np.linspace(0, 65535, SIDE**2)
  with pytest.raises(DataError, match=r"94% of them are above 4095; it has m"):
    jsrt.read_raw(_raw(deep), "a.IMG")


def test_one_film_of_full_size(tmp_path, monkeypatch):
  monkeypatch.undo()
  drawing.write_jsrt(tmp_path, count=1, seed=4)
  path = tmp_path / "All247images/JPCLN001.IMG"
  assert path.stat().st_size == 8_388_608
  gif = tmp_path / "scratch/fold1/masks/right clavicle/JPCLN001.gif"
  with Image.open(gif) as mask:
    assert mask.size == (1024, 1024)
    assert np.unique(np.asarray(mask)).tolist() == [0, 255]
  summary = prepare(
    "jsrt", raw_dir=tmp_path, data_dir=tmp_path, allow_missing=True
  )
  assert summary["verdicts"] == []
  opened = Dataset("jsrt", data_dir=tmp_path)
  (entry,) = opened.entries
  assert (entry.height, entry.width, entry.label) == (2048, 2048, 1)
  loaded = opened.open([entry.id])
  lungs = loaded.mask[0] == 1
  assert loaded.image[0][lungs].mean() < loaded.image[0][~lungs].mean()


# Copies as PNG.


def _copies(raw, *, bright, mode="L"):
  """Replaces the owner's files by pictures, palettes and all."""
  shutil.rmtree(raw / "All247images")
  for i, name in enumerate(IDS):
    shown = 255 - _person(i).image if bright else _person(i).image
    path = raw / f"images/images/{name}.png"
    if mode == "L":
      _png(path, shown)
      continue
    indexed = Image.fromarray(255 - shown).convert("P")
    indexed.putpalette(np.arange(255, -1, -1).repeat(3).astype(np.uint8))
    path.parent.mkdir(parents=True, exist_ok=True)
    indexed.save(path)


@pytest.mark.parametrize(("mode", "bright"), [("L", False), ("P", True)])
def test_copies_of_either_polarity_end_with_dark_lungs(
  run, raw, tmp_path, mode, bright
):
  _copies(raw, bright=bright, mode=mode)
  summary = run()
  loaded = Dataset("jsrt", data_dir=tmp_path).open(IDS)
  for i in range(5):
    np.testing.assert_array_equal(loaded.image[i, ..., 0], _person(i).image)
  notes = [(v["id"], v["level"]) for v in summary["verdicts"]]
  assert notes == ([(i, "warning") for i in IDS] if bright else [])
  assert all("inverted" in v["message"] for v in summary["verdicts"])


def test_copies_whose_unclear_polarity_are_refused(run, raw):
  _copies(raw, bright=False)
  (raw / "scratch/fold1/masks/left lung/JPCLN001.gif").unlink()
  _png(raw / "images/images/JPCLN002.png", np.full((SIDE, SIDE), 90, np.uint8))
  with pytest.raises(DataError) as caught:
    run()
  message = str(caught.value)
  assert "2 of 5" in message
  assert "image JPCLN001" in message
  assert "image JPCLN002" in message
  assert "+0.0 grey levels" in message


def test_bright_lungs_in_the_owners_file_are_remarked_on(run, raw):
  path = raw / "All247images/JPCLN003.IMG"
  content = phantom_jsrt.to_raw(
    255 - _person(2).image, rng=np.random.default_rng(0)
  )
  path.write_bytes(content)
  (verdict,) = run()["verdicts"]
  assert (verdict["id"], verdict["level"]) == ("JPCLN003", "warning")
  assert "not darker" in verdict["message"]


def test_masks_must_show_the_frame_of_their_image(run, raw):
  path = raw / "scratch/fold1/masks/left lung/JPCLN001.gif"
  with Image.open(path) as mask:
    mask.crop((0, 0, 64, 63)).save(path)
  path = raw / "scratch/fold2/masks/left lung/JPCLN002.gif"
  with Image.open(path) as mask:
    mask.resize((128, 128), Image.Resampling.NEAREST).save(path)
  with pytest.raises(DataError) as caught:
    run()
  assert "JPCLN001.gif is 64x63 pixels but its image is 128" in str(
    caught.value
  )
  assert "2 of 5" in str(caught.value)


# The texts.


def test_nodule_text():
  line = "JPCLN002.IMG\t5\t30\t?\tfemale\t1614\t1090\tbenign\t"
  text = (
    f"{line}l.upper\t lobe(S5)\tpulmonary he\tmatoma\r"
    "JPCLN003.IMG\t1\t?\t63\tmale\t1303\t447\tmalignant\tr.middl\te lobe\t"
    "lung cancer\r\r"
    "JPCLN004.IMG\t2\t9\t5\tmale\t13\t7\tbenign\tr.upper\tlobe\r"
    "JPCLN005.IMG\r"
    "stray words\r"
  )
  read = jsrt.parse_nodules(text)
  assert sorted(read) == [f"JPCLN00{i}" for i in (2, 3, 4, 5)]
  two, three, four, five = (read[name] for name in sorted(read))
  assert (two.sex, two.age, two.finding) == ("F", "", "pulmonary hematoma")
  assert two.details == {
    "subtlety": 5, "nodule_mm": 30, "nodule_x": 1614, "nodule_y": 1090,
    "malignancy": "benign", "position": "l.upper lobe(S5)",
  }  # fmt: skip
  assert (three.sex, three.age, three.finding) == ("M", "63", "lung cancer")
  assert "nodule_mm" not in three.details
  assert three.details["position"] == "r.middle lobe"
  assert four.details["position"] == "r.upper lobe"
  assert (five.understood, five.finding) == (False, "JPCLN005.IMG")


def test_normal_text():
  read = jsrt.parse_normal(
    "JPCNN001.IMG 60  male  non-nodule\rJPCNN002.IMG ?  female  non-nodule\r"
    "JPCNN003.IMG\r"
  )
  assert [(r.sex, r.age, r.finding, r.understood) for r in read.values()] == [
    ("M", "60", "non-nodule", True),
    ("F", "", "non-nodule", True),
    ("", "", "JPCNN003.IMG", False),
  ]


def test_a_line_that_is_not_understood_is_remarked_on(run, raw):
  path = raw / "Clinical_Information/CLNDAT_EN.txt"
  lines = path.read_bytes().split(b"\r")
  lines[1] = b"JPCLN002.IMG 5 15 53 male 1634 692 malignant"  # no tabs
  path.write_bytes(b"\r".join(lines))
  (verdict,) = run()["verdicts"]
  assert verdict["id"] == "JPCLN002"
  assert "reading not understood: 'JPCLN002.IMG 5 15" in verdict["message"]
