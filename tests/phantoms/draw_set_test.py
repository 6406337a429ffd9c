import json

import pytest

from apppau_jax.datasets import phantom as phantom_set
from apppau_jax.datasets.dataset import Dataset
from apppau_jax.datasets.prepare import prepare
from apppau_jax.phantoms import draw_set, drawing

IDS = ("MCUCXR_0001_0", "MCUCXR_0002_1", "MCUCXR_7777_0")


@pytest.fixture
def drawn(raw_sets, monkeypatch):
  """The calls to a stand-in for the drawing code."""
  calls = []

  def write(raw_dir, *, count, seed, size, workers=1, progress=None):
    calls.append((count, seed, size, workers))
    raw_sets.montgomery(raw_dir, IDS[:count])
    if progress:
      progress(count, count)

  monkeypatch.setattr(drawing, "write_montgomery", write, raising=False)
  return calls


def test_drawn_once_for_the_same_arguments(drawn, tmp_path):
  raw = draw_set.draw(tmp_path, count=3, seed=1, size=40, workers=2)
  assert raw == tmp_path / "raw/phantom"
  assert draw_set.draw(tmp_path, count=3, seed=1, size=40) == raw
  assert drawn == [(3, 1, 40, 2)]
  draw_set.draw(tmp_path, count=2, seed=1, size=40)
  assert drawn[1:] == [(2, 1, 40, 1)]
  assert len(list(raw.rglob("CXR_png/*.png"))) == 2
  record = json.loads((raw / "phantom.json").read_text())
  assert record.pop("drawing") == draw_set.DRAWING
  assert record == {"count": 2, "seed": 1, "size": 40}


def test_drawn_again_by_other_drawing_code(drawn, tmp_path, monkeypatch):
  draw_set.draw(tmp_path, count=1)
  monkeypatch.setattr(draw_set, "DRAWING", draw_set.DRAWING + 1)
  draw_set.draw(tmp_path, count=1)
  assert len(drawn) == 2


def test_interrupted_drawing_is_done_again(
  raw_sets, drawn, tmp_path, monkeypatch
):
  def fail(raw_dir, **_):
    raw_sets.montgomery(raw_dir, ["MCUCXR_9999_0"])
    raise KeyboardInterrupt

  with monkeypatch.context() as patch:
    patch.setattr(drawing, "write_montgomery", fail)
    with pytest.raises(KeyboardInterrupt):
      draw_set.draw(tmp_path, count=3)
  raw = draw_set.draw(tmp_path, count=3)
  assert len(list(raw.rglob("CXR_png/*.png"))) == 3


def test_whatever_is_there_is_the_complete_set(drawn, tmp_path):
  draw_set.draw(tmp_path, count=3)
  summary = prepare(
    "phantom", raw_dir=tmp_path / "raw/phantom", data_dir=tmp_path
  )
  assert summary["counts"] == {
    "images": 3, "masks": 3, "normal": 2, "tb": 1, "unlabelled": 0,
    "missing": 0,
  }  # fmt: skip
  assert Dataset("phantom", data_dir=tmp_path).ids == IDS


def test_prepare_draws_when_no_raw_dir_is_given(drawn, tmp_path):
  assert prepare("phantom", raw_dir=None, data_dir=tmp_path)["missing"] == []
  assert drawn == [(phantom_set.COUNT, 0, draw_set.SIZE, 1)]


def test_real_phantoms_pass_every_check(tmp_path):
  raw = draw_set.draw(tmp_path, count=6, size=64)
  summary = prepare("phantom", raw_dir=raw, data_dir=tmp_path)
  assert summary["verdicts"] == []
  assert summary["counts"]["images"] == summary["counts"]["masks"] == 6
