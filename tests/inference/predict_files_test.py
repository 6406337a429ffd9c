"""A user's files: each predicted, none lost, originals untouched."""

import csv
import dataclasses
import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fixtures.stub_member import StubMember
from PIL import Image

from apppau_jax.errors import ConfigError, DataError
from apppau_jax.imaging import decode, resample
from apppau_jax.inference import (
  overlay,
  predict_files,
  prediction_folder,
  prediction_table,
)
from apppau_jax.inference.member import Member
from apppau_jax.inference.model import Model
from apppau_jax.models.segmentor import Segmentor
from apppau_jax.phantoms import make_phantom

CLASSES = ("normal", "tb, active")
# The images are so small that each has a remark.
FAILED = ["failed", "failed"]  # broken.png and flat.png
MODEL = {"config_sha256": "c0ffee", "step": 7}


def _bright(image):
  """Pixels brighter than half are lung."""
  return np.where(image > 127, 40.0, -40.0).astype(np.float32)


def _mean_is_tb(image, mask):
  tb = np.clip(image.mean(axis=(1, 2, 3)) / 255.0, 1e-9, 1 - 1e-9)
  return np.log(np.stack([1 - tb, tb, tb], axis=1))


@pytest.fixture
def model():
  return Model(
    [StubMember(_bright, _mean_is_tb)], resolution=16, batch_size=2,
    class_names=CLASSES,
  )  # fmt: skip


@pytest.fixture
def films(tmp_path):
  """Five images: one in a subfolder, one broken, one of one level; a text."""
  folder = tmp_path / "films"
  (folder / "below").mkdir(parents=True)
  half = np.zeros((30, 50), np.uint8)
  half[:, 25:] = 255
  Image.fromarray(half).save(folder / "a.png")
  Image.fromarray(half.T).save(folder / "a.tif")
  bright = np.full((9, 9), 255, np.uint8)
  bright[0, 0] = 254
  Image.fromarray(bright).save(folder / "below/ü b.PNG")
  (folder / "broken.png").write_bytes(b"\x89PNG no")
  Image.fromarray(np.full((9, 9), 7, np.uint8)).save(folder / "flat.png")
  (folder / "notes.txt").write_text("no picture")
  (folder / ".hidden.png").write_bytes(b"x")
  return folder


def _predict(films, output, model, **kwargs):
  images = predict_files.find_images(films, output=output)
  return predict_files.predict_files(
    images, model=model, output=output, identity=MODEL, **kwargs
  )


def _pixels(path):
  return np.asarray(Image.open(path))


def _status(rows):
  return [row.status for row in rows]


def test_files_have_the_masks_of_model_predict(tmp_path):
  """The command is `Model.predict`, file by file."""
  rng = np.random.default_rng(0)
  network = Segmentor(base_width=2, depth=1)
  blank = jnp.zeros((1, 16, 16, 1))
  init = jax.jit(lambda key: network.init(key, blank, train=False))
  member = Member(network, init(jax.random.key(0)))
  model = Model([member], resolution=16, batch_size=2)
  paths = [tmp_path / "films" / f"{i}.png" for i in range(3)]
  paths[0].parent.mkdir()
  for i, path in enumerate(paths):
    shape, kind = (20 + 7 * i, 31), (np.uint8, np.uint16)[i % 2]
    Image.fromarray(rng.integers(0, 256, shape).astype(kind)).save(path)
  median = float(np.median(model.predict(paths[0]).probability))
  model = dataclasses.replace(model, threshold=median)
  rows = _predict(tmp_path / "films", tmp_path / "out", model)
  for row, path, found in zip(rows, paths, model.predict(paths), strict=True):
    mask = _pixels(tmp_path / f"out/{path.stem}_mask.png") > 0
    np.testing.assert_array_equal(mask, found.mask)
    assert row.fractions == (pytest.approx(found.mask.mean()),)
  assert 0.4 < rows[0].fractions[0] < 0.9


def test_masks_at_the_size_of_their_images(films, tmp_path, model):
  before = {p: p.read_bytes() for p in films.rglob("*") if p.is_file()}
  calls = []
  rows = _predict(
    films, tmp_path / "out", model, progress=lambda *x: calls.append(x)
  )
  assert calls == [(done, 5) for done in range(1, 6)]
  names = ["a.png", "a.tif", "below/ü b.PNG", "broken.png", "flat.png"]
  assert [r.file for r in rows] == names
  assert _status(rows) == ["remark"] * 3 + FAILED
  mask = _pixels(tmp_path / "out/a_png_mask.png")
  assert mask.shape == (30, 50)
  assert set(np.unique(mask)) == {0, 255}
  assert (mask[:, 28:] == 255).all()
  assert (mask[:, :22] == 0).all()
  turned = _pixels(tmp_path / "out/a_tif_mask.png")
  np.testing.assert_array_equal(turned, mask.T)
  assert rows[0].fractions == pytest.approx((0.5,), abs=0.05)
  assert rows[2].fractions == (1.0,)
  assert rows[2].probs == pytest.approx((0.0, 1.0), abs=1e-3)
  drawn = _pixels(tmp_path / "out/a_png_overlay.png")
  assert drawn.shape[0] > 30  # a legend below
  assert (drawn[0, 25:50] == overlay.colour(0)).all()  # the edge of the mask
  assert (tmp_path / "out/below/ü b_mask.png").exists()
  assert "broken.png" in rows[3].reason
  assert "level 7" in rows[4].reason
  assert not list((tmp_path / "out").glob("flat*"))
  with (tmp_path / "out/predictions.csv").open(encoding="utf-8") as file:
    lines = [*csv.DictReader(file)]
  assert [line["status"] for line in lines] == _status(rows)
  tb = float(lines[2]["probability_tb, active"])
  assert tb == pytest.approx(1.0, abs=1e-3)
  assert lines[2]["class"] == "tb, active"
  assert float(lines[2]["probability"]) == tb
  assert lines[2]["mask"] == "below/ü b_mask.png"
  assert lines[3]["lung_fraction"] == lines[3]["probability_normal"] == ""
  assert lines[3]["mask"] == lines[3]["class"] == ""
  assert before == {p: p.read_bytes() for p in films.rglob("*") if p.is_file()}


def _film(path, kind="PNG"):
  path.parent.mkdir(parents=True, exist_ok=True)
  content = io.BytesIO()
  Image.fromarray(np.eye(9, dtype=np.uint8) * 200).save(content, kind)
  path.write_bytes(content.getvalue())


def test_content_decides_what_is_an_image(tmp_path, model):
  """Names of storescp, of a CD and of cameras; and what lies beside."""
  films, out = tmp_path / "films", tmp_path / "out"
  images = {
    "CR.1.2.840.1": "CR.1.2.840.1",
    "CR.1.2.840.2": "CR.1.2.840.2",
    "DICOM/PA1/ST1/IM000001": "DICOM/PA1/ST1/IM000001",
    "DICOM/PA2/ST1/IM000001": "DICOM/PA2/ST1/IM000001",
    "photo.jfif": "photo",
    "-x [1] %#.png": "-x [1] %#",
  }
  for i, name in enumerate(images):
    _film(films / name, ("TIFF", "JPEG")[i % 2])
  others = {
    "DICOMDIR": b"x", "AUTORUN.INF": b"[autorun]", "web.webp": b"RIFF1234WEBP",
    "DICOM/notes.txt": b"", "films.zip": b"PK\3\4",
  }  # fmt: skip
  for name, content in others.items():
    (films / name).write_bytes(content)
  for junk in ("Thumbs.db", ".DS_Store", "._photo.jfif", "__MACOSX/a.png"):
    (films / junk).parent.mkdir(exist_ok=True)
    (films / junk).write_bytes(b"x")
  passed_over = predict_files.find_others(films)
  assert passed_over.keys() == others.keys()
  assert "WebP" in passed_over["web.webp"]
  rows = _predict(films, out, model, passed_over=passed_over)
  assert {r.file for r in rows} == images.keys()
  assert {*_status(rows)} == {"remark"}  # tiny
  for name in images.values():
    assert (out / f"{name}_mask.png").exists()
    assert (out / f"{name}_overlay.png").exists()
  with (out / "predictions.csv").open(encoding="utf-8") as file:
    table = {line["file"]: line for line in csv.DictReader(file)}
  assert len(table) == len(images) + len(others)
  assert table["web.webp"]["status"] == "skipped"
  assert "WebP" in table["web.webp"]["reason"]
  again = _predict(films, out, model, passed_over=passed_over)
  assert {*_status(again)} == {"exists"}


def test_each_structure_has_its_own_mask_and_share(films, tmp_path):
  def both(image):
    return np.concatenate([_bright(image), -_bright(image)], axis=-1)

  names = ("left_lung", "heart")
  model = Model(
    [StubMember(both)], resolution=16, batch_size=2, structures=names
  )
  out = tmp_path / "out"
  rows = _predict(films, out, model)
  lung, heart = (_pixels(out / f"a_png_{name}_mask.png") for name in names)
  assert (lung[:, 28:] == 255).all()
  assert (heart[:, :22] == 255).all()
  assert not (out / "a_png_mask.png").exists()
  assert rows[0].fractions == pytest.approx((0.5, 0.5), abs=0.05)
  assert rows[2].fractions == (1.0, 0.0)
  with (out / "predictions.csv").open(encoding="utf-8") as file:
    line = next(csv.DictReader(file))
  assert float(line["heart_fraction"]) == pytest.approx(0.5, abs=0.05)
  assert line["heart_mask"] == "a_png_heart_mask.png"
  assert int(line["heart_area_px"]) == (heart > 0).sum()
  assert int(line["heart_width_px"]) == (heart > 0).any(axis=0).sum()
  # The last mask marks completion.
  (out / "a_png_heart_mask.png").unlink()
  (out / "a_tif_left_lung_mask.png").unlink()
  again = _predict(films, out, model)
  assert _status(again) == ["remark", "exists", "exists", *FAILED]


def test_predicted_images_are_left_alone(films, tmp_path, model):
  out = tmp_path / "out"
  rows = _predict(films, out, model)
  mask, table = out / "a_png_mask.png", out / "predictions.csv"
  mask.write_bytes(b"mine")
  (out / "a_tif_mask.png").unlink()
  again = _predict(films, out, model)
  assert _status(again) == ["exists", "remark", "exists", *FAILED]
  for row, before in zip(again, rows):
    assert row.fractions == pytest.approx(before.fractions, abs=1e-6)
    assert row.probs == pytest.approx(before.probs, abs=1e-6)
  assert mask.read_bytes() == b"mine"
  # A mask without a row is what a kill leaves: its numbers are lost.
  lines = table.read_text().splitlines(keepends=True)
  table.write_text("".join(x for x in lines if not x.startswith("a.png")))
  again = _predict(films, out, model)
  assert _status(again) == ["remark", "exists", "exists", *FAILED]
  assert mask.read_bytes() != b"mine"
  assert (
    _status(_predict(films, out, model, overwrite=True))[:2] == ["remark"] * 2
  )


def test_an_interrupted_call_leaves_a_complete_table(films, tmp_path, model):
  """A row is in the table as soon as its files are on disk."""

  def stop(done, total):
    if done == 1:
      raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    _predict(films, tmp_path / "out", model, progress=stop)
  assert len(list((tmp_path / "out").rglob("*_mask.png"))) == 1
  again = _predict(films, tmp_path / "out", model)
  assert _status(again) == ["exists", "remark", "remark", *FAILED]


def test_a_killed_call_leaves_a_table_that_the_next_one_continues(
  films, tmp_path, model, monkeypatch
):
  """Neither the end of the call nor that of its last line is written."""
  out, table = tmp_path / "out", tmp_path / "out/predictions.csv"
  left = []

  def look(done, total):
    left.append(table.read_bytes())

  _predict(films, out, model, progress=look)
  whole = table.read_bytes()
  assert [content.count(b"\n") for content in left] == [2, 3, 4, 5, 6]
  table.write_bytes(left[2][:-9])  # a.png, a.tif and a part of the third
  again = _predict(films, out, model, progress=lambda *x: left.append(x))
  assert _status(again) == ["exists", "exists", "remark", *FAILED]
  assert left[5:] == [(3, 5), (4, 5), (5, 5)]
  assert table.read_bytes() == whole.replace(b",remark,", b",exists,", 2)


def test_the_table_is_sorted_at_the_end_whatever_came_first(
  films, tmp_path, model
):
  out = tmp_path / "out"
  _predict(films, out, model)
  (out / "a_png_mask.png").unlink()  # its row is appended behind the others
  _predict(films, out, model)
  with (out / "predictions.csv").open(encoding="utf-8") as file:
    names = [line["file"] for line in csv.DictReader(file)]
  assert names == sorted(names)


@pytest.mark.parametrize("structures", [(), ("left_lung", "heart")])
def test_probability_maps_at_the_size_of_the_image(films, tmp_path, structures):
  def logits(image):
    planes = [image / 64.0 - 2.0, 1.0 - image / 128.0]
    return np.concatenate(planes[: len(structures) or 1], axis=-1)

  model = Model(
    [StubMember(logits)], resolution=16, batch_size=2, structures=structures
  )
  out = tmp_path / "out"
  _predict(films, out, model)
  assert not [*out.rglob("*probability*")]
  # Images that have no map yet are predicted again, then left alone.
  rows = _predict(films, out, model, save_probability=True)
  assert _status(rows)[:3] == ["remark"] * 3
  rows = _predict(films, out, model, save_probability=True)
  assert _status(rows)[:3] == ["exists"] * 3
  found = np.atleast_3d(model.predict(films / "a.tif").probability)
  for k, name in enumerate(structures or ("",)):
    path = out / f"a_tif_{name}_probability.png".replace("__", "_")
    with Image.open(path) as picture:
      assert picture.mode == "I;16"
      levels = np.asarray(picture)
    np.testing.assert_allclose(levels / 65535, found[..., k], atol=1e-5)


def test_a_missing_decoder_stops_no_other_image(
  films, tmp_path, monkeypatch, model
):
  read = decode.read_film

  def without_pydicom(path, **kwargs):
    if path.name == "a.tif":
      raise ConfigError("needs pydicom")
    return read(path, **kwargs)

  monkeypatch.setattr(decode, "read_film", without_pydicom)
  rows = _predict(films, tmp_path / "out", model)
  assert _status(rows) == ["remark", "failed", "remark", *FAILED]
  assert rows[1].reason == "needs pydicom"


def _claim(output, model=MODEL, *, overwrite=False):
  columns = prediction_table.Columns(class_names=CLASSES)
  return prediction_folder.claim(
    output, model, columns=columns, overwrite=overwrite
  )


def test_a_folder_belongs_to_one_model(films, tmp_path, model):
  out = tmp_path / "out"
  rows = _predict(films, out, model)
  assert [*_claim(out)] == [row.file for row in rows]
  other = {**MODEL, "step": 8}
  with pytest.raises(DataError, match=r"step 7.*step 8.*--overwrite"):
    _claim(out, other)
  with pytest.raises(DataError, match=r"step 7 \+ 123"):
    _claim(out, {**MODEL, "step": [7, 123]})
  assert len(_claim(out)) == 5  # refused, and nothing changed
  assert _claim(out, other, overwrite=True) == {}
  assert _claim(out, other) == {}  # after a kill the old rows are gone
  with pytest.raises(DataError, match="another model"):
    _claim(out)


@pytest.mark.parametrize(
  "table",
  [
    "name,score\nx,1\n",
    "file;status;reason;lung_fraction;probability_normal;probability_tb\n",
    "file,status,reason,lung_fraction,probability_x,probability_normal\n",
    'file,status,reason,lung_fraction,probability_normal,"probability_tb, '
    'active"\na.png,ok,,many,.5,.5\n',
    "\udcff\udcfe",
    "",
  ],
)
def test_another_table_is_refused(tmp_path, table):
  _claim(tmp_path)
  content = table.encode(errors="surrogateescape")
  (tmp_path / prediction_table.NAME).write_bytes(content)
  with pytest.raises(DataError, match=str(tmp_path)):
    _claim(tmp_path)
  assert (tmp_path / prediction_table.NAME).read_bytes() == content
  assert _claim(tmp_path, overwrite=True) == {}


def test_masks_without_a_table_are_not_replaced(tmp_path):
  (tmp_path / "below").mkdir()
  (tmp_path / "below/a_png_mask.png").write_bytes(b"mine")
  with pytest.raises(DataError, match="a_png_mask"):
    _claim(tmp_path)
  assert _claim(tmp_path, overwrite=True) == {}


def test_names_that_no_disk_or_text_takes(films, tmp_path, model):
  picture = Image.fromarray(np.eye(9, dtype=np.uint8))
  long, odd = films / f"{'x' * 250}.png", films / "odd\udce9.png"
  picture.save(long)
  picture.save(films / "b.png")
  (films / "b.png").rename(odd)
  rows = {r.file: r for r in _predict(films, tmp_path / "out", model)}
  assert rows[long.name].status == "remark"
  masks = {p.name for p in (tmp_path / "out").glob("x*_mask.png")}
  assert len(masks) == 1
  again = {r.file: r for r in _predict(films, tmp_path / "out", model)}
  assert again[long.name].status == "exists"
  assert rows[odd.name].status == "remark"
  assert "odd\\udce9.png" in (tmp_path / "out/predictions.csv").read_text()


def test_unusual_films_are_never_plain_ok(tmp_path):
  film = make_phantom(seed=2, index=1, size=(256, 220))
  lungs = resample.resize_mask(film.left_lung | film.right_lung, (32, 32))
  logits = np.where(lungs, 9.0, -9.0).astype(np.float32)[None, ..., None]
  member = StubMember(lambda image: np.repeat(logits, len(image), axis=0))
  pictures = {
    "a.png": (film.image, ""),
    "black.png": (film.image // 16, "grey levels"),
    "negative.png": (~film.image, "negative"),
    "tiny.png": (film.image[::100, ::100], "3x3"),
    "turned.png": (film.image[::-1], "upside down"),
  }
  (tmp_path / "films").mkdir()
  for name, (pixels, _) in pictures.items():
    Image.fromarray(pixels).save(tmp_path / "films" / name)
  model = Model([member], resolution=32)
  rows = _predict(tmp_path / "films", tmp_path / "out", model)
  assert _status(rows) == ["ok"] + ["remark"] * 4
  assert all(word in r.reason for r, (_, word) in zip(rows, pictures.values()))
  again = _predict(tmp_path / "films", tmp_path / "out", model)
  assert [r.reason for r in again] == [r.reason for r in rows]


def test_large_images_have_small_overlays(tmp_path, model):
  """And a single file is named by itself."""
  film = np.zeros((1500, 3000), np.uint8)
  film[700:800] = 200
  Image.fromarray(film).save(tmp_path / "film.png")
  _predict(tmp_path / "film.png", tmp_path / "out", model)
  drawn = _pixels(tmp_path / "out/film_overlay.png")
  assert 512 < drawn.shape[0] < 600
  assert drawn.shape[1:] == (1024, 3)
  assert _pixels(tmp_path / "out/film_mask.png").shape == (1500, 3000)


@pytest.mark.parametrize(
  ("source", "output"),
  [
    ("empty", "out"),
    ("absent", "out"),
    ("films", "films"),
    ("films", "films/out"),
    ("films", "."),
  ],
)
def test_input_without_images_and_output_within_it_are_refused(
  films, tmp_path, source, output
):
  (tmp_path / "empty").mkdir()
  with pytest.raises(DataError, match=source):
    predict_files.find_images(tmp_path / source, output=tmp_path / output)
  apart = tmp_path / "films-out"
  assert len(predict_files.find_images(films, output=apart)) == 5


HOSTILE = ("=cmd|' calc'!A0.png", "-2+3.png", "@x.png", "\t=1.png", "'=1.png",
           "a\r=1.png", "a\x1b[2Jb.png")  # fmt: skip


def test_names_that_a_spreadsheet_runs_are_harmless_and_read_again(
  films, tmp_path, model
):
  folder, out = tmp_path / "hostile", tmp_path / "out"
  folder.mkdir()
  for name in HOSTILE:
    (folder / name).write_bytes((films / "a.png").read_bytes())
  assert set(_status(_predict(folder, out, model))) == {"remark"}
  with (out / "predictions.csv").open(encoding="utf-8", newline="") as file:
    rows = list(csv.reader(file))
  assert len(rows) == 1 + len(HOSTILE)
  for cell in (cell for row in rows for cell in row[:2]):
    assert cell.lstrip(' "')[0] not in "=+-@\t\r"
    assert cell.isprintable()
  assert {row[4] for row in rows[1:]} == {"0.500000"}  # numbers stay numbers
  assert set(_status(_predict(folder, out, model))) == {"exists"}


def test_names_of_columns_are_harmless_and_read_again(tmp_path):
  columns = prediction_table.Columns(structures=["=1+1"], class_names=["-x"])
  row = prediction_table.Row(
    *("a", "failed", "=reason"),
    masks=("+1.png",),
    fractions=(0.25,),
    quality=(0.75,),
    probs=(0.5,),
    measured=(3.0, None),
  )
  prediction_table.write(tmp_path / "t.csv", [row], columns=columns)
  header, line = (tmp_path / "t.csv").read_text().splitlines()
  assert header == (
    "file,'=1+1_mask,status,reason,'=1+1_fraction,'=1+1_quality,class,"
    "probability,probability_-x,spacing,'=1+1_area_px,'=1+1_area_cm2"
  )
  assert line == (
    "a,'+1.png,failed,'=reason,0.250000,0.7500,'-x,0.500000,0.500000,,3,"
  )
  assert prediction_table.read(tmp_path / "t.csv", columns=columns) == {
    "a": row
  }
