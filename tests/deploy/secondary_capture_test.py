"""The overlay as an image that refers to its film."""

import numpy as np
import pydicom
import pytest
from fixtures import chest_films

from apppau_jax.deploy import secondary_capture, source
from apppau_jax.deploy.identity import Maker

MAKER = Maker("c0ffee" * 10, "0.2.0")


@pytest.fixture
def build(tmp_path):
  def one(drawn, **elements):
    path = tmp_path / "film.dcm"
    path.write_bytes(chest_films.film(chest_films.phantom(), **elements))
    result = secondary_capture.build(source.read(path), drawn, maker=MAKER)
    pydicom.dcmwrite(tmp_path / "sc.dcm", result, enforce_file_format=True)
    return pydicom.dcmread(tmp_path / "sc.dcm")

  return one


def test_pixels_reference_and_words(build):
  drawn = np.random.default_rng(0).integers(0, 256, (7, 5, 3), np.uint8)
  read = build(drawn)
  np.testing.assert_array_equal(read.pixel_array, drawn)
  assert read.PhotometricInterpretation == "RGB"
  (item,) = read.SourceImageSequence
  assert item.ReferencedSOPInstanceUID == "1.2.826.1.4"
  assert item.PurposeOfReferenceCodeSequence[0].CodeValue == "121322"
  assert "burned into" in read.DerivationDescription
  assert "not removed" in read.DerivationDescription
  assert "PixelSpacing" not in read


@pytest.mark.parametrize("stated", ["YES", "NO", None])
def test_burned_in_text_and_orientation_are_those_of_the_film(build, stated):
  more = {} if stated is None else {"BurnedInAnnotation": stated}
  read = build(np.zeros((2, 2, 3), np.uint8), **more)
  assert read.get("BurnedInAnnotation") == stated
  assert read.PatientOrientation == ["L", "F"]
