"""Every check of raw files finds its planted fault, and nothing else."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from apppau_jax import phantoms as drawing
from apppau_jax.checks import radiograph_checks, raw_data, validation
from apppau_jax.datasets import jsrt
from apppau_jax.errors import ConfigError, DataError

ONE, OTHER, TB = "MCUCXR_0002_0", "MCUCXR_0003_0", "MCUCXR_0008_1"


def _found(spoilt, **options):
  return {
    (f.level, f.check, f.ids) for f in spoilt.validate(**options)
  }  # fmt: skip


def test_a_clean_set_yields_no_finding(spoilt):
  assert spoilt.validate() == []


def _truncated(s):
  s.image(ONE).write_bytes(s.image(ONE).read_bytes()[:-30])


def _truncated_mask(s):
  path = s.masks(ONE)[1]
  path.write_bytes(path.read_bytes()[:-20])


def _tiny(s):
  for path in (s.image(ONE), *s.masks(ONE)):
    s.change(path, lambda x: x[::2, ::2])


def _coloured(s):
  grey = s.pixels(s.image(ONE))
  s.put(s.image(ONE), np.dstack([grey, grey, 255 - grey]))


def _few_of_16_bits(s):
  s.put(s.image(ONE), s.pixels(s.image(ONE)).astype(np.uint16) // 20 * 5000)


def _constant(s):
  s.change(s.image(ONE), lambda x: np.full_like(x, 90))


def _flat(s):
  s.change(s.image(ONE), lambda x: 100 + x // 5)


def _negative(s):
  s.change(s.image(ONE), lambda x: 255 - x)


def _grey_edges(s):
  s.change(s.masks(ONE)[0], lambda x: np.where(x > 0, 200, 0).astype(np.uint8))


def _narrow_mask(s):
  s.change(s.masks(ONE)[0], lambda x: x[:, :-1])


def _one_lung(s):
  s.masks(ONE)[0].unlink()


def _empty(s):
  for path in s.masks(ONE):
    s.change(path, np.zeros_like)


def _inverted(s):
  s.change(s.masks(ONE)[0], lambda x: 255 - x)


def _speck(s):
  def add(x):
    x = x.copy()
    x[2:9, 2:9] = 255
    return x

  s.change(s.masks(ONE)[0], add)


def _swapped_files(s):
  left, right = s.masks(ONE)
  content = left.read_bytes()
  left.write_bytes(right.read_bytes())
  right.write_bytes(content)


def _mirrored_mask(s):
  """As a whole: each file holds the other lung, mirrored."""
  left, right = (s.pixels(path) for path in s.masks(ONE))
  s.put(s.masks(ONE)[0], right[:, ::-1].copy())
  s.put(s.masks(ONE)[1], left[:, ::-1].copy())


def _upside_down(s):
  for path in s.masks(ONE):
    s.change(path, lambda x: x[::-1])


def _says_normal(s):
  s.text(TB).write_text("Patient's Sex: F\nPatient's Age: 030Y\nnormal\n")


def _says_ill(s):
  s.text(ONE).write_text("Patient's Sex: F\nPatient's Age: 030Y\nscars\n")


def _new_wording(s):
  s.text(ONE).write_text("Geschlecht: W")


def _same_file(s):
  s.image(OTHER).write_bytes(s.image(ONE).read_bytes())
  for a, b in zip(s.masks(OTHER), s.masks(ONE)):
    a.write_bytes(b.read_bytes())


@pytest.mark.parametrize(
  ("spoil", "expected"),
  [
    (_truncated, {("error", "readable")}),
    (_truncated_mask, {("error", "readable")}),
    (_tiny, {("warning", "size")}),
    (_coloured, {("error", "mode")}),
    (_few_of_16_bits, {("error", "depth"), ("warning", "contrast")}),
    (_constant, {("warning", "constant")}),
    (_flat, {("warning", "contrast")}),
    (_negative, {("error", "polarity")}),
    (_grey_edges, {("error", "values")}),
    (_narrow_mask, {("error", "shape")}),
    (_one_lung, {("error", "mask")}),
    (_empty, {("error", "fraction")}),
    (_inverted, {("error", "fraction")}),
    (_speck, {("warning", "components")}),
    (_swapped_files, {("warning", "sides")}),
    (_mirrored_mask, {("warning", "sides")}),
    (_upside_down, {("warning", "sides")}),
    (_says_ill, {("warning", "text")}),
    (_new_wording, {("warning", "text")}),
  ],
)
def test_a_planted_fault_is_found_by_its_check(spoilt, spoil, expected):
  spoil(spoilt)
  assert _found(spoilt) == {(*what, (ONE,)) for what in expected}


def test_a_text_against_the_class_is_an_error(spoilt):
  _says_normal(spoilt)
  assert _found(spoilt) == {("error", "text", (TB,))}


def test_all_faults_are_found_in_one_run_worst_first(spoilt):
  _truncated(spoilt)
  spoilt.change(spoilt.image(OTHER), lambda x: 255 - x)
  _says_normal(spoilt)
  spoilt.image("stray").write_bytes(b"not looked at")
  (spoilt.root / "more.zip").write_bytes(b"PK\x03\x04 cut short")
  found = spoilt.validate()
  assert [(f.level, f.check) for f in found] == [
    ("error", "readable"),
    ("error", "readable"),
    ("error", "polarity"),
    ("error", "text"),
  ]
  assert "more.zip" in found[0].what
  assert found[1].ids == (ONE,)
  assert all(f.advice for f in found)


def test_a_bomb_is_distinguished_from_damage(spoilt, monkeypatch):
  monkeypatch.setattr("apppau_jax.imaging.decode.MAX_PIXELS", 100 * 100)
  found = spoilt.validate()
  assert {(f.level, f.check) for f in found} == {
    ("error", "size"), ("error", "split"),
  }  # fmt: skip
  assert len([f for f in found if f.check == "size"]) == 30


def _reencoded(pixels):
  """A copy of three quarters the size, as JPEG of quality 50, brightened."""
  image = Image.fromarray(pixels).resize((96, 96), Image.Resampling.BILINEAR)
  file = io.BytesIO()
  image.point(lambda x: min(255, x + 12)).save(file, "JPEG", quality=50)
  small = Image.open(io.BytesIO(file.getvalue()))
  return np.asarray(small.resize((128, 128), Image.Resampling.BICUBIC))


@pytest.mark.parametrize("exact", [True, False])
def test_one_picture_in_two_parts_is_a_leak(spoilt, tmp_path, exact):
  _same_file(spoilt)
  if not exact:
    spoilt.change(spoilt.image(OTHER), _reencoded)
  paths = [f"CXR_png/{i}.png" for i in (ONE, OTHER)]
  for test, level in ((OTHER, "error"), (TB, "warning")):
    split = tmp_path / f"{test}.json"
    train = [i for i in (ONE, OTHER) if i != test]
    parts = {"train_labelled": train[:1], "train_unlabelled": train[1:]}
    parts |= {"validation": ["MCUCXR_0004_0"], "test": [test]}
    split.write_text(json.dumps(parts))
    (found,) = spoilt.validate(splits=[str(split)])
    assert (found.level, found.check, found.ids) == (
      level, "twins", (ONE, OTHER),
    )  # fmt: skip
    assert all(path in found.what for path in paths)
    assert ("equal pixels" in found.what) == exact
    assert ("in train and test" in found.what) == (level == "error")


def test_one_picture_with_two_classes_is_an_error(spoilt):
  spoilt.image(TB).write_bytes(spoilt.image(ONE).read_bytes())
  for a, b in zip(spoilt.masks(TB), spoilt.masks(ONE)):
    a.write_bytes(b.read_bytes())
  (found,) = spoilt.validate(splits=())
  assert (found.level, found.check) == ("error", "twins")
  assert "their classes differ" in found.what


def test_a_split_that_cannot_be_made_is_reported(spoilt):
  found = spoilt.validate(splits=["idiap", "paper"])
  assert [(f.level, f.check) for f in found] == [("warning", "split")]
  assert "no Idiap list" in found[0].what


def test_a_negative_without_mask_is_found_by_the_mean(spoilt):
  for path in spoilt.masks(ONE):
    path.unlink()
  assert _found(spoilt) == set()
  _negative(spoilt)
  expected = ("warning", "polarity", (ONE,))
  assert _found(spoilt) == {expected, ("warning", "view", (ONE,))}
  # A picture that is flat but for one pixel hides none of the others.
  for path in spoilt.masks(OTHER):
    path.unlink()
  flat = np.full((2048, 2048), 7, np.uint8)
  flat[0, 0] = 8
  spoilt.put(spoilt.image(OTHER), flat)
  assert expected in _found(spoilt)


def test_a_set_mirrored_as_a_whole_is_found(spoilt):
  for path in sorted(spoilt.root.glob("CXR_png/*.png")):
    spoilt.change(path, lambda x: x[:, ::-1])
    left, right = (spoilt.pixels(p) for p in spoilt.masks(path.stem))
    spoilt.put(spoilt.masks(path.stem)[0], right[:, ::-1].copy())
    spoilt.put(spoilt.masks(path.stem)[1], left[:, ::-1].copy())
  whole = [f for f in spoilt.validate() if not f.ids]
  assert [(f.level, f.check) for f in whole] == [("warning", "sides")]
  assert "as a whole" in whole[0].what


# The other layouts.


def _of(dataset, root):
  films, found = raw_data.read(dataset, root, workers=1)
  found = validation.validate(films, found=found).findings
  return films, {(f.level, f.check) for f in found}, found


def test_jsrt_is_read_as_its_owner_publishes_it(tmp_path, monkeypatch):
  monkeypatch.setattr(jsrt, "SIDE", 128)
  drawing.write_jsrt(tmp_path, count=5, seed=4, size=128)
  films, found, _ = _of("jsrt", tmp_path)
  assert found == {("warning", "counts")}
  assert [f.label for f in films] == ["nodule"] * 3 + ["normal"] * 2
  assert {f.text for f in films[3:]} == {"non-nodule"}
  left, right = (
    tmp_path / f"scratch/fold1/masks/{side} lung/JPCLN001.gif"
    for side in ("left", "right")
  )
  content = left.read_bytes()
  left.write_bytes(right.read_bytes())
  right.write_bytes(content)
  assert ("warning", "sides") in _of("jsrt", tmp_path)[1]
  right.write_bytes(left.read_bytes())
  left.write_bytes(content)

  first, second, third = sorted(tmp_path.glob("All247images/*.IMG"))[:3]
  first.write_bytes(first.read_bytes()[:-1])
  pixels = jsrt.read_raw(second.read_bytes(), "")
  second.unlink()
  Image.fromarray(255 - pixels).save(second.with_suffix(".png"))
  swapped = np.frombuffer(third.read_bytes(), "<u2").astype(">u2")
  third.write_bytes(swapped.tobytes())
  left = tmp_path / f"scratch/fold2/masks/left lung/{second.stem}.gif"
  with Image.open(left) as image:
    image.resize((50, 50), Image.Resampling.NEAREST).save(left)
  _, found, listed = _of("jsrt", tmp_path)
  assert found == {
    ("error", "readable"), ("error", "shape"), ("error", "polarity"),
    ("warning", "counts"), ("warning", "view"),
  }  # fmt: skip
  broken = [f.ids for f in listed if f.check == "readable"]
  assert sorted(broken) == [(first.stem,), (third.stem,)]


def test_a_set_of_the_users_own_is_read_with_its_table(spoilt, tmp_path):
  own, rows = tmp_path / "own", ["id,label,patient,split"]
  (own / "images").mkdir(parents=True)
  (own / "masks").mkdir()
  for i, path in enumerate(sorted(spoilt.root.glob("CXR_png/*.png"))):
    left, right = (spoilt.pixels(mask) for mask in spoilt.masks(path.stem))
    spoilt.put(own / f"images/{i}.png", spoilt.pixels(path))
    spoilt.put(own / f"masks/{i}.png", left | right)
    part = ("train", "validation", "test")[i % 3]
    rows.append(f"{i},{'ab'[i % 2]},p{i - i % 2},{part}")
  (own / "labels.csv").write_text("\n".join(rows))
  films, found, _ = _of("folder:mine", own)
  assert found == set()
  assert [f.label for f in films] == list("ab" * 5)
  listed = validation.with_splits(
    validation.validate(films), films, dataset="folder:mine", names=["given"]
  )
  # Every two neighbours are one patient, and in two parts.
  assert [(f.level, f.check) for f in listed] == [("error", "split")]
  assert "Patient 'p0' is in two parts" in listed[0].what

  rows[0] = "Accession,Diagnosis,Case,split"
  (own / "labels.csv").write_text("\n".join(rows))
  columns = {"id": "Accession", "label": "Diagnosis", "patient": "Case"}
  again, found = raw_data.read("folder:mine", own, columns=columns)
  assert found == []
  assert [(f.label, f.patient) for f in again] == [
    (f.label, f.patient) for f in films
  ]
  with pytest.raises(ConfigError, match=r"--id_column.*montgomery"):
    raw_data.read("montgomery", own, columns=columns)


def test_a_folder_without_the_set_is_an_error_that_says_so(tmp_path):
  with pytest.raises(DataError, match="expected MontgomerySet"):
    raw_data.read("montgomery", tmp_path)


def test_films_that_are_not_frontal_and_upright_are_found(tmp_path):
  pytest.importorskip("pydicom")
  from fixtures import dicom_files

  (tmp_path / "images").mkdir()
  image = drawing.make_phantom(seed=2, index=1, size=(256, 220)).image
  values = image.astype(np.uint16) << 4
  for name, pixels, view in (
    ("frontal", values, "PA"), ("lateral", values, "LL"),
    ("turned", values[::-1], "AP"),
  ):  # fmt: skip
    content = dicom_files.make(pixels, ViewPosition=view)
    (tmp_path / f"images/{name}.dcm").write_bytes(content)
  films, found = raw_data.read("folder:clinic", tmp_path)
  assert not [f for f in found if f.level == "error"]
  view = [f for film in films for f in radiograph_checks.view(film)]
  assert [f.ids for f in view] == [("lateral",), ("turned",)]
  assert "ViewPosition (0018,5101)" in view[0].what
  assert "upside down" in view[1].what
