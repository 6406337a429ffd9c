"""Reports: numbers, units and references, read by highdicom and DCMTK."""

import shutil
import subprocess

import highdicom as hd
import pydicom
import pytest
from fixtures import chest_films
from highdicom.sr import CodedConcept
from pydicom.sr.codedict import codes

from apppau_jax.deploy import (
  measurements,
  segmentation,
  source,
  structured_report,
)
from apppau_jax.deploy.identity import Maker
from apppau_jax.deploy.measurements import Measurement
from apppau_jax.inference import measurements as inference_measurements

MAKER = Maker("c0ffee" * 10, "0.2.0")


@pytest.fixture(scope="module")
def phantom():
  return chest_films.phantom()


@pytest.fixture
def header(phantom, tmp_path):
  path = tmp_path / "film.dcm"
  path.write_bytes(chest_films.film(phantom))
  return source.read(path)


@pytest.fixture
def write(header, tmp_path):
  def one(measured, **more):
    result = structured_report.build(header, measured, maker=MAKER, **more)
    path = tmp_path / "sr.dcm"
    pydicom.dcmwrite(path, result, enforce_file_format=True)
    return path

  return one


def _areas(phantom):
  """cm2 of pixels of 2.5 by 2 mm, counted here."""
  return {
    name.replace("_", " "): getattr(phantom, name).sum() * 0.05
    for name in chest_films.STRUCTURES
  }


def test_areas_refer_to_segments(write, header, phantom):
  found = chest_films.truth(phantom)
  masks = segmentation.build(
    header, found.mask, structures=found.structures, maker=MAKER
  )
  measured = [
    one
    for one in measurements.reported(found.measurements)
    if one.name == "area"
  ]
  report = hd.sr.srread(write(measured, masks=masks))
  groups = report.content.get_planar_roi_measurement_groups()
  values = {}
  for number, group in enumerate(groups, 1):
    (area,) = group.get_measurements(name=codes.SCT.Area)
    assert area.unit == CodedConcept("cm2", "UCUM", "square centimeter")
    values[group.tracking_identifier] = area.value
    frame, film = group.referenced_segmentation_frame
    item = frame.ReferencedSOPSequence[0]
    assert item.ReferencedSOPInstanceUID == masks.SOPInstanceUID
    assert item.ReferencedFrameNumber == number
    assert film.referenced_sop_instance_uid == "1.2.826.1.4"
    tracked = masks.SegmentSequence[number - 1].TrackingUID
    assert group.tracking_uid == tracked
  assert values == pytest.approx(_areas(phantom), rel=1e-5)


def test_without_a_segmentation_the_report_refers_to_the_film(write):
  measured = [
    Measurement("area", 12345678.9, "pixels", "heart"),
    Measurement("cardiothoracic_ratio", 0.4567891, "ratio"),
    Measurement("thorax_width", 271.25, "mm"),
  ]
  report = hd.sr.srread(write(measured))
  heart, chest = report.content.get_image_measurement_groups()
  assert heart.finding_type == codes.SCT.Heart
  (area,) = heart.get_measurements()
  assert (area.value, area.unit.value) == (12345700, "{pixels}")
  assert heart.source_images[0].referenced_sop_instance_uid == "1.2.826.1.4"
  ratio, width = chest.get_measurements()
  assert (ratio.name.scheme_designator, ratio.value) == ("99APPPAU", 0.456789)
  assert (width.name.meaning, width.unit.value) == ("thorax width", "mm")
  assert chest.finding_type == codes.SCT.Chest


def test_remarks_are_a_comment_of_ascii(write):
  path = write(
    [Measurement("area", 1.0, "cm2", "heart")], remarks=("Lungs – odd.",)
  )
  texts = [
    item.TextValue
    for item in pydicom.dcmread(path).ContentSequence
    if item.ValueType == "TEXT"
    and item.ConceptNameCodeSequence[0].CodeValue == "121106"
  ]
  assert texts == ["For research only; not for diagnosis. Lungs \\u2013 odd."]


def test_status_is_preliminary(write):
  read = pydicom.dcmread(write([Measurement("area", 1.0, "cm2", "heart")]))
  flags = (read.CompletionFlag, read.PreliminaryFlag, read.VerificationFlag)
  assert flags == ("COMPLETE", "PRELIMINARY", "UNVERIFIED")
  assert read.ContentTemplateSequence[0].TemplateIdentifier == "1500"


def test_a_unit_without_a_code_is_refused(write):
  with pytest.raises(ValueError, match="inch"):
    write([Measurement("area", 1.0, "inch", "heart")])


def test_numbers_are_in_pixels_only_where_the_spacing_is_unknown():
  of = inference_measurements.Measurement
  found = measurements.reported(
    {
      "heart_area_px": of(900.0),
      "heart_area_cm2": of(90.0),
      "left_lung_area_px": of(8.0),
      "left_lung_share": of(0.45),
      "thorax_width_px": of(200.0),
      "thorax_width_mm": of(280.0),
      "heart_width_px": of(100.0),
      "cardiothoracic_ratio": of(0.5, 0.01),
    }
  )
  assert found == [
    Measurement("area", 90.0, "cm2", "heart"),
    Measurement("area", 8.0, "pixels", "left_lung"),
    Measurement("left_lung_share", 0.45, "ratio"),
    Measurement("thorax_width", 280.0, "mm"),
    Measurement("heart_width", 100.0, "pixels"),
    Measurement("cardiothoracic_ratio", 0.5, "ratio"),
  ]


@pytest.mark.skipif(not shutil.which("dsrdump"), reason="needs DCMTK")
def test_dcmtk_reads_the_report(write):
  path = write([Measurement("area", 1602.4, "cm2", "heart")])
  done = subprocess.run(
    ["dsrdump", path], capture_output=True, text=True, check=True
  )
  assert 'NUM:(,,"Area")="1602.4" (cm2,UCUM' in done.stdout
  assert "W:" not in done.stderr
  assert "E:" not in done.stderr
