"""A user's pictures: each judged, none lost, originals untouched."""

import csv

import numpy as np
import pytest
from PIL import Image

from apppau_jax.errors import DataError
from apppau_jax.evaluation import looking, prediction

OPTIONS = looking.Options(batch_size=2)


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
  Image.fromarray(np.full((9, 9), 255, np.uint8)).save(folder / "below/ü b.PNG")
  (folder / "broken.png").write_bytes(b"\x89PNG no")
  (folder / "notes.txt").write_text("no picture")
  (folder / ".hidden.png").write_bytes(b"x")
  return folder


def _predict(films, output, infer=bright_is_lung, **kwargs):
  paths = prediction.find_pictures(films)
  return list(
    prediction.predict_pictures(
      paths,
      root=prediction.check_folders(films, output),
      output=output,
      infer=infer,
      resolution=16,
      options=OPTIONS,
      **kwargs,
    )
  )


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
  assert rows[2].probs == pytest.approx((0.0, 1.0))
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
  prediction.write_table(
    table, rows, class_names=("normal", "tb"), structures=names
  )
  head = table.read_text().splitlines()[0].split(",")
  assert head[3:5] == ["left_lung_fraction", "heart_fraction"]
  read = prediction.read_table(table)
  assert read["a.png"].fractions == pytest.approx(rows[0].fractions, abs=1e-6)
  # The last mask says that all are there.
  (out / "a_png_heart_mask.png").unlink()
  (out / "a_tif_left_lung_mask.png").unlink()
  again = _predict(films, out, infer, structures=names)
  assert [r.status for r in again] == ["ok", "exists", "exists", "failed"]


def test_what_is_there_is_left_alone_unless_told(films, tmp_path):
  out = tmp_path / "out"
  _predict(films, out)
  mask = out / "a_png_mask.png"
  mask.write_bytes(b"mine")
  (out / "a_tif_mask.png").unlink()
  rows = _predict(films, out)
  assert [r.status for r in rows] == ["exists", "ok", "exists", "failed"]
  assert mask.read_bytes() == b"mine"
  _predict(films, out, overwrite=True)
  assert mask.read_bytes() != b"mine"


def test_the_table_is_csv(films, tmp_path):
  rows = _predict(films, tmp_path / "out")
  path = tmp_path / "t.csv"
  prediction.write_table(path, rows, class_names=("normal", "tb, active"))
  with path.open(encoding="utf-8") as file:
    read = list(csv.DictReader(file))
  assert [r["status"] for r in read] == ["ok", "ok", "ok", "failed"]
  assert float(read[2]["probability_tb, active"]) == 1.0
  assert read[3]["lung_fraction"] == read[3]["probability_normal"] == ""


def test_a_second_call_keeps_what_the_first_one_knew(films, tmp_path):
  table = tmp_path / "t.csv"
  names = ("normal", "tb")
  first = _predict(films, tmp_path / "out")
  prediction.write_table(table, first, class_names=names)
  earlier = prediction.read_table(table)
  again = [
    prediction.merge(r, earlier) for r in _predict(films, tmp_path / "out")
  ]
  assert [r.status for r in again] == ["exists"] * 3 + ["failed"]
  for before, after in zip(first[:3], again):
    assert after.fractions == pytest.approx(before.fractions, abs=1e-6)
    assert after.probs == pytest.approx(before.probs, abs=1e-6)
  assert prediction.read_table(tmp_path / "none.csv") == {}


def test_names_that_no_disk_or_text_takes(films, tmp_path):
  long = films / f"{'x' * 250}.png"
  Image.fromarray(np.zeros((9, 9), np.uint8)).save(long)
  odd = films / "odd\udce9.png"
  Image.fromarray(np.zeros((9, 9), np.uint8)).save(films / "b.png")
  (films / "b.png").rename(odd)
  rows = {r.file: r for r in _predict(films, tmp_path / "out")}
  assert rows[long.name].status == "failed"
  assert rows[odd.name].status == "ok"
  prediction.write_table(
    tmp_path / "t.csv", list(rows.values()), class_names=()
  )
  assert "odd\\udce9.png" in (tmp_path / "t.csv").read_text()


def test_large_films_have_small_overlays(tmp_path):
  (tmp_path / "in").mkdir()
  film = np.zeros((1500, 3000), np.uint8)
  Image.fromarray(film).save(tmp_path / "in/film.png")
  _predict(tmp_path / "in", tmp_path / "out")
  with Image.open(tmp_path / "out/film_png_overlay.png") as overlay:
    assert overlay.size == (1024, 512)
  with Image.open(tmp_path / "out/film_png_mask.png") as mask:
    assert mask.size == (3000, 1500)


def test_one_file_and_nothing(films, tmp_path):
  assert prediction.find_pictures(films / "a.png") == [films / "a.png"]
  (tmp_path / "empty").mkdir()
  for nothing in ("empty", "absent"):
    with pytest.raises(DataError, match="no picture"):
      prediction.find_pictures(tmp_path / nothing)


def test_output_inside_the_input_is_refused(films, tmp_path):
  for near in (films, films / "out", films.parent):
    with pytest.raises(DataError, match="lies in"):
      prediction.check_folders(films, near)
  assert prediction.check_folders(films / "a.png", films / "out") == films
  assert prediction.check_folders(films, tmp_path / "films-out") == films
