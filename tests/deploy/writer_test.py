"""DICOM objects beside the masks of `predict_files`."""

import numpy as np
import pydicom
import pytest
from fixtures import chest_films
from fixtures.stub_member import StubMember
from PIL import Image

from apppau_jax.deploy import request, writer
from apppau_jax.deploy.identity import Maker
from apppau_jax.errors import ConfigError
from apppau_jax.inference import predict_files, prediction_table
from apppau_jax.inference.model import Model

IDENTITY = {"config_sha256": "c0ffee", "step": 7}


def _bright(image):
  return np.where(image > 127, 40.0, -40.0).astype(np.float32)


@pytest.fixture
def films(tmp_path):
  folder = tmp_path / "films"
  folder.mkdir()
  phantom = chest_films.phantom()
  (folder / "a.dcm").write_bytes(chest_films.film(phantom))
  (folder / "lateral.dcm").write_bytes(
    chest_films.film(phantom, instance="1.2.826.1.5", ViewPosition="LL")
  )
  Image.fromarray(phantom.image).save(folder / "b.png")
  return folder


@pytest.fixture
def predict(films, tmp_path):
  model = Model([StubMember(_bright)], resolution=32, batch_size=2)

  def run(kinds="seg,sc,sr"):
    output = tmp_path / "out"
    more = request.writer(request.kinds(kinds), IDENTITY, package="0.2.0")
    rows = predict_files.predict_files(
      predict_files.find_images(films, output=output),
      model=model,
      output=output,
      identity=IDENTITY,
      more=more,
    )
    return {row.file: row for row in rows}, output

  return run


def test_dicom_films_get_objects_and_the_others_a_remark(predict):
  rows, output = predict()
  names = {path.name for path in output.glob("*.dcm")}
  assert names == {"a_seg.dcm", "a_sc.dcm", "a_sr.dcm"}
  assert "No DICOM" not in rows["a.dcm"].reason
  for name, why in (("b.png", "not a DICOM"), ("lateral.dcm", "ViewPosition")):
    assert rows[name].status == "remark"
    assert "No DICOM objects were written" in rows[name].reason
    assert why in rows[name].reason
  assert "1 of 3 images" in request.summary(rows.values())
  mask = np.asarray(Image.open(output / "a_mask.png")) > 0
  seg = pydicom.dcmread(output / "a_seg.dcm")
  np.testing.assert_array_equal(seg.pixel_array > 0, mask)
  overlay = np.asarray(Image.open(output / "a_overlay.png"))
  sc = pydicom.dcmread(output / "a_sc.dcm")
  np.testing.assert_array_equal(sc.pixel_array, overlay)
  table = (output / prediction_table.NAME).read_text()
  assert table.count("No DICOM objects were written") == 2
  report = pydicom.dcmread(output / "a_sr.dcm").to_json()
  measured = {name for name in ("thorax width", "left lung share")
              if name in report}  # fmt: skip
  values = dict(zip(prediction_table.Columns().measurements(),
                    rows["a.dcm"].measured))  # fmt: skip
  expected = {"thorax width": values["thorax_width_px"],
              "left lung share": values["left_lung_share"]}  # fmt: skip
  assert measured == {k for k, v in expected.items() if v is not None}


def test_a_later_call_writes_what_is_missing(predict):
  rows, output = predict(None)
  assert not [*output.glob("*.dcm")]
  rows, _ = predict("seg")
  assert rows["a.dcm"].status != "exists"
  assert (output / "a_seg.dcm").exists()
  assert rows["b.png"].status == "exists"
  assert "not a DICOM" in rows["b.png"].reason
  before = (output / "a_seg.dcm").stat().st_mtime_ns
  rows, _ = predict("seg")
  assert rows["a.dcm"].status == "exists"
  assert rows["b.png"].reason.count("No DICOM") == 1
  assert (output / "a_seg.dcm").stat().st_mtime_ns == before


def test_white_zero_films_give_the_masks_of_dark_zero_ones(tmp_path):
  """Inversion changes neither the masks nor the overlay."""
  model = Model([StubMember(_bright)], resolution=32)
  phantom = chest_films.phantom()
  results = []
  for white_zero in (False, True):
    path = tmp_path / f"{white_zero}.dcm"
    path.write_bytes(chest_films.film(phantom, white_zero=white_zero))
    output = tmp_path / f"out-{white_zero}"
    predict_files.predict_files(
      {"film.dcm": path},
      model=model,
      output=output,
      identity=IDENTITY,
      more=request.writer(("seg", "sc"), IDENTITY, package="0.2.0"),
    )
    results.append(
      [pydicom.dcmread(output / f"film_{k}.dcm") for k in ("seg", "sc")]
    )
  for one, other in zip(*results, strict=True):
    levels = one.pixel_array.astype(int) - other.pixel_array
    assert np.abs(levels).max() <= 1
    assert one.pixel_array.any()


def test_a_header_that_highdicom_refuses_is_a_remark(tmp_path):
  path = tmp_path / "film.dcm"
  phantom = chest_films.phantom()
  path.write_bytes(chest_films.film(phantom, SOPClassUID="1.2.3"))
  made = writer.DicomWriter(("seg",), Maker("0", "0.2.0"))
  found = chest_films.truth(phantom)
  reason = made.write(path, found, stem=tmp_path / "film")
  assert reason.startswith("No DICOM objects were written: ")
  assert "DOE" not in reason
  assert not [*tmp_path.glob("*_seg.dcm")]


def test_kinds():
  assert request.kinds(None) == ()
  assert request.kinds("sr, SEG") == ("seg", "sr")
  for wrong in ("", "seg,pdf"):
    with pytest.raises(ConfigError, match="seg, sc, sr"):
      request.kinds(wrong)


def test_a_missing_package_is_named(monkeypatch):
  monkeypatch.setattr(request, "_PACKAGES", ("pydicom", "no_such_package"))
  with pytest.raises(ConfigError, match=r"no_such_package.*\[dicom\]"):
    request.kinds("seg")
