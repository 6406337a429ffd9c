import json

import pytest

from apppau_jax.datasets.dataset import Dataset
from apppau_jax.datasets.prepare import prepare
from apppau_jax.errors import ConfigError
from apppau_jax.phantoms import draw_set, make_phantom

STRUCTURES = (
  *("left_lung", "right_lung", "heart"),
  *("left_clavicle", "right_clavicle"),
)
IDS = ("MCUCXR_0001_0", "MCUCXR_0002_1", "MCUCXR_7777_0")


@pytest.fixture
def drawn(raw_sets, monkeypatch):
  """The arguments of every call to a replacement of the drawing code."""
  calls = []

  def write(
    raw_dir,
    *,
    count,
    seed,
    size,
    structures,
    phantom_names,
    wide,
    workers=1,
    progress,
  ):
    assert structures
    assert phantom_names
    assert not wide
    calls.append((count, seed, size, workers))
    raw_sets.montgomery(raw_dir, IDS[:count])

  monkeypatch.setattr(draw_set, "write_montgomery", write)
  return calls


def test_drawn_once_for_the_same_arguments_and_code(
  drawn, tmp_path, monkeypatch
):
  raw = draw_set.draw(tmp_path, count=3, seed=1, size=40, workers=2)
  assert raw == tmp_path / "raw/phantom"
  assert draw_set.draw(tmp_path, count=3, seed=1, size=40) == raw
  assert drawn == [(3, 1, 40, 2)]
  draw_set.draw(tmp_path, count=2, seed=1, size=40)
  assert drawn[1:] == [(2, 1, 40, 1)]
  assert len(list(raw.rglob("CXR_png/*.png"))) == 2
  record = json.loads((raw / "phantom.json").read_text())
  assert record.pop("drawing") == draw_set.DRAWING
  assert record == {"count": 2, "seed": 1, "size": 40, "wide": False}
  monkeypatch.setattr(draw_set, "DRAWING", draw_set.DRAWING + 1)
  draw_set.draw(tmp_path, count=2, seed=1, size=40)
  assert len(drawn) == 3


def test_interrupted_drawing_is_repeated(
  raw_sets, drawn, tmp_path, monkeypatch
):
  def fail(raw_dir, **_):
    raw_sets.montgomery(raw_dir, ["MCUCXR_9999_0"])
    raise KeyboardInterrupt

  with monkeypatch.context() as patch:
    patch.setattr(draw_set, "write_montgomery", fail)
    with pytest.raises(KeyboardInterrupt):
      draw_set.draw(tmp_path, count=3)
  raw = draw_set.draw(tmp_path, count=3)
  assert len(list(raw.rglob("CXR_png/*.png"))) == 3


def test_the_builder_takes_all_images_that_exist(drawn, tmp_path):
  raw = draw_set.draw(tmp_path, count=3)
  counts = prepare("phantom", raw_dir=raw, data_dir=tmp_path)["counts"]
  assert counts == {
    "images": 3, "masks": 3, "normal": 2, "tb": 1, "unlabelled": 0,
    "missing": 0,
  }  # fmt: skip
  assert Dataset("phantom", data_dir=tmp_path).ids == IDS


def test_drawn_phantoms_pass_every_check(tmp_path):
  raw = draw_set.draw(tmp_path, count=6, size=64)
  summary = prepare("phantom", raw_dir=raw, data_dir=tmp_path)
  assert summary["verdicts"] == []
  assert summary["counts"]["images"] == summary["counts"]["masks"] == 6
  dataset = Dataset("phantom", data_dir=tmp_path)
  examples = dataset.open(dataset.ids, structures=STRUCTURES)
  phantom = make_phantom(seed=0, index=0, size=(64, 64))
  for plane, name in enumerate(STRUCTURES):
    own = getattr(phantom, name)
    half = examples.mask[0, ::2, ::2, plane]  # prepared at twice the size
    assert (half == own).mean() > 0.97
    assert own.any()


def test_names_say_that_they_are_phantoms(tmp_path):
  raw = draw_set.draw(tmp_path, count=3, size=32)
  prepare("phantom", raw_dir=raw, data_dir=tmp_path)
  dataset = Dataset("phantom", data_dir=tmp_path)
  assert dataset.labels == {
    "PHANTOM_0001_normal": 0,
    "PHANTOM_0002_normal": 0,
    "PHANTOM_0003_tb": 1,
  }


@pytest.mark.parametrize("wrong", [{"count": 10_000}, {"seed": -1}])
def test_arguments_out_of_range(tmp_path, wrong):
  with pytest.raises(ConfigError, match=next(iter(wrong))):
    draw_set.draw(tmp_path, **wrong)
  assert not list(tmp_path.iterdir())
