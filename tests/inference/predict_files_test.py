"""A user's pictures: each judged, none lost, originals untouched."""

import csv

import numpy as np
import pytest
from PIL import Image

from apppau_jax.errors import ConfigError, DataError
from apppau_jax.imaging import decode
from apppau_jax.inference import (
  batched_inference,
  predict_files,
  prediction_table,
)

OPTIONS = batched_inference.Options(batch_size=2)
CLASSES = ("normal", "tb")


def bright_is_lung(image):
  """Stands for the networks: brighter than half is lung, class by mean."""
  mean = image.mean(axis=(1, 2, 3)) / 255.0
  return (image > 127).astype(np.float32), np.stack([1 - mean, mean], axis=1)


@pytest.fixture
def films(tmp_path):
  """Four pictures, one of them broken, one in a folder below, and a text."""
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
  (folder / "notes.txt").write_text("no picture")
  (folder / ".hidden.png").write_bytes(b"x")
  return folder


def _predict(films, output, infer=bright_is_lung, **kwargs):
  paths = predict_files.find_pictures(films)
  return list(
    predict_files.predict_pictures(
      paths,
      root=predict_files.check_folders(films, output),
      output=output,
      infer=infer,
      resolution=16,
      options=OPTIONS,
      **kwargs,
    )
  )


@pytest.mark.parametrize("level", [0, 255])
def test_a_picture_of_one_level_has_no_mask(tmp_path, level):
  folder = tmp_path / "films"
  folder.mkdir()
  for name, corner in (("flat.png", level), ("film.png", 100)):
    picture = np.full((9, 9), level, np.uint8)
    picture[0, 0] = corner
    Image.fromarray(picture).save(folder / name)
  film, flat = _predict(folder, tmp_path / "out")
  assert (film.status, flat.status) == ("ok", "failed")
  assert f"every pixel has the level {level}." in flat.reason
  assert not list((tmp_path / "out").glob("flat*"))


def test_masks_at_the_size_of_their_pictures(films, tmp_path):
  before = {p: p.read_bytes() for p in films.rglob("*") if p.is_file()}
  rows = _predict(films, tmp_path / "out")
  assert [(r.file, r.status) for r in rows] == [
    ("a.png", "ok"),
    ("a.tif", "ok"),
    ("below/ü b.PNG", "ok"),
    ("broken.png", "failed"),
  ]
  mask = np.asarray(Image.open(tmp_path / "out/a_png_mask.png"))
  assert mask.shape == (30, 50)
  assert set(np.unique(mask)) == {0, 255}
  assert (mask[:, 28:] == 255).all()
  assert (mask[:, :22] == 0).all()
  turned = np.asarray(Image.open(tmp_path / "out/a_tif_mask.png"))
  np.testing.assert_array_equal(turned, mask.T)
  assert rows[0].fractions == pytest.approx((0.5,), abs=0.05)
  assert rows[2].fractions == (1.0,)
  assert rows[2].probs == pytest.approx((0.0, 1.0), abs=1e-3)
  overlay = np.asarray(Image.open(tmp_path / "out/a_png_overlay.png"))
  assert overlay.shape == (30, 50, 3)
  assert (tmp_path / "out/below/ü b_PNG_mask.png").exists()
  assert "broken.png" in rows[3].reason
  assert before == {p: p.read_bytes() for p in films.rglob("*") if p.is_file()}


def test_each_structure_has_its_own_mask_and_share(films, tmp_path):
  def infer(image):
    bright, classes = bright_is_lung(image)
    return np.concatenate([bright, 1 - bright], axis=-1), classes

  names = ("left_lung", "heart")
  out, table = tmp_path / "out", tmp_path / "t.csv"
  rows = _predict(films, out, infer, structures=names)
  lung, heart = (
    np.asarray(Image.open(out / f"a_png_{name}_mask.png")) for name in names
  )
  assert lung.shape == heart.shape == (30, 50)
  assert (lung[:, 28:] == 255).all()
  assert (heart[:, :22] == 255).all()
  assert not (out / "a_png_mask.png").exists()
  assert rows[0].fractions == pytest.approx((0.5, 0.5), abs=0.05)
  assert rows[2].fractions == (1.0, 0.0)
  columns = prediction_table.Columns(structures=names, class_names=CLASSES)
  prediction_table.write(table, rows, columns=columns)
  head = table.read_text().splitlines()[0].split(",")
  assert head[3:5] == ["left_lung_fraction", "heart_fraction"]
  read = prediction_table.read(table, columns=columns)
  assert read["a.png"].fractions == pytest.approx(rows[0].fractions, abs=1e-6)
  # The last mask says that all are there.
  (out / "a_png_heart_mask.png").unlink()
  (out / "a_tif_left_lung_mask.png").unlink()
  again = _predict(films, out, infer, structures=names, earlier=read)
  assert [r.status for r in again] == ["ok", "exists", "exists", "failed"]


def test_what_is_known_and_there_is_left_alone(films, tmp_path):
  out = tmp_path / "out"
  rows = {row.file: row for row in _predict(films, out)}
  mask = out / "a_png_mask.png"
  mask.write_bytes(b"mine")
  (out / "a_tif_mask.png").unlink()
  again = _predict(films, out, earlier=rows)
  assert [r.status for r in again] == ["exists", "ok", "exists", "failed"]
  assert again[0].fractions == rows["a.png"].fractions
  assert again[2].probs == rows["below/ü b.PNG"].probs
  assert mask.read_bytes() == b"mine"
  # A mask without a row is what a kill leaves: its numbers are lost.
  del rows["a.png"]
  again = _predict(films, out, earlier=rows)
  assert [r.status for r in again] == ["ok", "exists", "exists", "failed"]
  assert mask.read_bytes() != b"mine"


def test_a_row_comes_with_its_files(films, tmp_path):
  """Whoever stops in the middle of a batch knows of all that was written."""
  rows = predict_files.predict_pictures(
    predict_files.find_pictures(films),
    root=films,
    output=tmp_path / "out",
    infer=bright_is_lung,
    resolution=16,
    options=batched_inference.Options(batch_size=4),
  )
  for count in (1, 2, 3):
    assert next(rows).status == "ok"
    assert len(list((tmp_path / "out").rglob("*_mask.png"))) == count


def test_a_picture_whose_library_is_lacking_stops_no_other(
  films, tmp_path, monkeypatch
):
  read = decode.read_grey

  def without_pydicom(path, **kwargs):
    if path.name == "a.tif":
      raise ConfigError("needs pydicom")
    return read(path, **kwargs)

  monkeypatch.setattr(decode, "read_grey", without_pydicom)
  rows = _predict(films, tmp_path / "out")
  assert [r.status for r in rows] == ["ok", "failed", "ok", "failed"]
  assert rows[1].reason == "needs pydicom"


def test_the_table_is_csv(films, tmp_path):
  rows = _predict(films, tmp_path / "out")
  path = tmp_path / "t.csv"
  columns = prediction_table.Columns(class_names=("normal", "tb, active"))
  prediction_table.write(path, rows, columns=columns)
  with path.open(encoding="utf-8") as file:
    read = list(csv.DictReader(file))
  assert [r["status"] for r in read] == ["ok", "ok", "ok", "failed"]
  assert float(read[2]["probability_tb, active"]) == pytest.approx(
    1.0, abs=1e-3
  )
  assert read[3]["lung_fraction"] == read[3]["probability_normal"] == ""
  known = prediction_table.read(path, columns=columns)
  for row in rows[:3]:
    assert known[row.file].fractions == pytest.approx(row.fractions, abs=1e-6)
    assert known[row.file].probs == pytest.approx(row.probs, abs=1e-6)
  assert known["broken.png"] == rows[3]


MODEL = {"config_sha256": "c0ffee", "step": 7}
COLUMNS = prediction_table.Columns(class_names=CLASSES)


def _claim(output, model=MODEL, columns=COLUMNS, *, overwrite=False):
  return prediction_table.claim(
    output, model, columns=columns, overwrite=overwrite
  )


def test_the_folder_of_one_model_is_no_others(films, tmp_path):
  out = tmp_path / "out"
  assert _claim(out) == {}
  rows = _predict(films, out)
  prediction_table.write(out / prediction_table.NAME, rows, columns=COLUMNS)
  assert [*_claim(out)] == [row.file for row in rows]
  other = {**MODEL, "step": 8}
  with pytest.raises(DataError, match=r"step 7; now .* step 8.*--overwrite"):
    _claim(out, other)
  several = {**MODEL, "step": [7, 123]}
  with pytest.raises(DataError, match=r"now .* step 7 \+ 123\)"):
    _claim(out, several)
  assert len(_claim(out)) == 4  # refused, and nothing changed
  assert _claim(out, other, overwrite=True) == {}
  assert _claim(out, other) == {}  # killed at once, the old rows are no one's
  with pytest.raises(DataError, match="another model"):
    _claim(out)


@pytest.mark.parametrize(
  "table",
  [
    "name,score\nx,1\n",
    "file;status;reason;lung_fraction;probability_normal;probability_tb\n",
    "file,status,reason,lung_fraction,probability_tb,probability_normal\n",
    "file,status,reason,lung_fraction,probability_normal,probability_tb\n"
    "a.png,ok,,many,.5,.5\n",
    b"\xff\xfe",
    "",
  ],
)
def test_a_table_that_is_not_ours_is_refused(tmp_path, table):
  _claim(tmp_path)
  content = table if isinstance(table, bytes) else table.encode()
  (tmp_path / prediction_table.NAME).write_bytes(content)
  with pytest.raises(DataError, match="cannot be gone on with"):
    _claim(tmp_path)
  assert (tmp_path / prediction_table.NAME).read_bytes() == content
  assert _claim(tmp_path, overwrite=True) == {}


def test_masks_of_nobody_knows_whom_are_not_replaced(tmp_path):
  (tmp_path / "below").mkdir()
  (tmp_path / "below/a_png_mask.png").write_bytes(b"mine")
  with pytest.raises(DataError, match="no table tells of"):
    _claim(tmp_path)
  assert _claim(tmp_path, overwrite=True) == {}


def test_names_that_no_disk_or_text_takes(films, tmp_path):
  long = films / f"{'x' * 250}.png"
  Image.fromarray(np.eye(9, dtype=np.uint8)).save(long)
  odd = films / "odd\udce9.png"
  Image.fromarray(np.eye(9, dtype=np.uint8)).save(films / "b.png")
  (films / "b.png").rename(odd)
  rows = {r.file: r for r in _predict(films, tmp_path / "out")}
  assert rows[long.name].status == "failed"
  assert rows[odd.name].status == "ok"
  prediction_table.write(
    tmp_path / "t.csv",
    list(rows.values()),
    columns=prediction_table.Columns(),
  )
  assert "odd\\udce9.png" in (tmp_path / "t.csv").read_text()


def test_large_films_have_small_overlays(tmp_path):
  (tmp_path / "in").mkdir()
  film = np.zeros((1500, 3000), np.uint8)
  film[700:800] = 200
  Image.fromarray(film).save(tmp_path / "in/film.png")
  _predict(tmp_path / "in", tmp_path / "out")
  with Image.open(tmp_path / "out/film_png_overlay.png") as overlay:
    assert overlay.size == (1024, 512)
  with Image.open(tmp_path / "out/film_png_mask.png") as mask:
    assert mask.size == (3000, 1500)


def test_one_file_and_nothing(films, tmp_path):
  assert predict_files.find_pictures(films / "a.png") == [films / "a.png"]
  (tmp_path / "empty").mkdir()
  for nothing in ("empty", "absent"):
    with pytest.raises(DataError, match="no picture"):
      predict_files.find_pictures(tmp_path / nothing)


def test_output_inside_the_input_is_refused(films, tmp_path):
  for near in (films, films / "out", films.parent):
    with pytest.raises(DataError, match="lies in"):
      predict_files.check_folders(films, near)
  assert predict_files.check_folders(films / "a.png", films / "out") == films
  assert predict_files.check_folders(films, tmp_path / "films-out") == films
