"""The spacing of raw pixels in prepared sets, and areas in cm2 from it."""

import functools

import numpy as np
import pytest
from fixtures import chest_films
from PIL import Image

from apppau_jax.datasets import decoding, features, prepared
from apppau_jax.datasets.dataset import Dataset
from apppau_jax.datasets.jsrt import JSRT
from apppau_jax.datasets.prepare import prepare
from apppau_jax.reports import measured_masks

FILMS = {"a": {}, "b": {"PixelSpacing": None}, "c": {"PixelSpacing": [1, 1]}}


@pytest.fixture
def build(tmp_path):
  """Prepares three DICOM films with masks of a user's folder."""
  raw, phantom = tmp_path / "raw", chest_films.phantom(size=(160, 128))
  for name in ("images", "masks"):
    (raw / name).mkdir(parents=True)
  lungs = phantom.left_lung | phantom.right_lung
  for number, (name, elements) in enumerate(FILMS.items()):
    content = chest_films.film(
      phantom, instance=f"1.2.826.2.{number}", **elements
    )
    (raw / f"images/{name}.dcm").write_bytes(content)
    Image.fromarray(lungs).save(raw / f"masks/{name}.png")

  def run(data_dir="data"):
    prepare("folder:own", raw_dir=raw, data_dir=tmp_path / data_dir, workers=1)
    return Dataset("folder:own", data_dir=tmp_path / data_dir)

  return run


def test_spacing_is_kept_through_preparation(build):
  entries = {entry.id: entry for entry in build().entries}
  assert entries["a"].spacing == (2.5, 2.0, "PixelSpacing")
  assert entries["b"].spacing is None
  assert entries["c"].spacing == (1, 1, "PixelSpacing")


def test_sets_of_format_1_are_read(build, monkeypatch, tmp_path):
  new = build()
  make = functools.partial(features.features, spacing=False)
  monkeypatch.setattr(features, "features", make)
  monkeypatch.setattr(decoding, "SPACING", ())
  monkeypatch.setattr(prepared, "FORMAT", 1)
  build("old")
  monkeypatch.undo()
  there = prepared.Prepared(data_dir=tmp_path / "old", dataset="folder:own")
  assert there.verified_record()["format"] == 1
  old = Dataset("folder:own", data_dir=tmp_path / "old")
  assert [entry.spacing for entry in old.entries] == [None] * 3
  assert old.content_sha256 == new.content_sha256


def test_the_owners_word_holds_for_the_size_that_it_names():
  spacing = JSRT.documented_spacing((2048, 2048))
  assert spacing == (0.175, 0.175, "documentation")
  assert JSRT.documented_spacing((512, 512)) is None


def test_areas_of_prepared_masks_are_those_of_the_film():
  """A film of 400 x 200 pixels of 2.5 by 2 mm, prepared at 100 x 100."""
  mask = np.zeros((100, 100, 1), bool)
  mask[10:60, 20:40] = mask[10:60, 60:90] = True
  frame = measured_masks.Frame((400, 200), chest_films.SPACING)
  found = measured_masks.measure(mask, ~mask, structures=(), frame=frame)
  assert found["spacing"] == "PixelSpacing"
  predicted = found["predicted"]
  # 50 x 50 prepared pixels of 10 by 4 mm each.
  assert predicted["lungs_area_cm2"] == pytest.approx(2500 * 40 / 100)
  assert predicted["thorax_height_mm"] == pytest.approx(50 * 10)
  assert predicted["thorax_width_mm"] == pytest.approx(70 * 4)
  assert found["reference"]["lungs_area_cm2"] == pytest.approx(7500 * 40 / 100)
