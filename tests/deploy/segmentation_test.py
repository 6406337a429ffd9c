"""Segmentations: pixels, codes and references, read by other programs."""

import io
import shutil
import subprocess

import highdicom as hd
import numpy as np
import pydicom
import pytest
from fixtures import chest_films

from apppau_jax.deploy import segmentation, source
from apppau_jax.deploy.identity import Maker

MAKER = Maker("c0ffee" * 10, "0.2.0")


@pytest.fixture(scope="module")
def phantom():
  return chest_films.phantom()


@pytest.fixture
def write(phantom, tmp_path):
  """Writes film.dcm and returns its header as results read it."""

  def to_header(**elements):
    path = tmp_path / "film.dcm"
    path.write_bytes(chest_films.film(phantom, **elements))
    return source.read(path)

  return to_header


def _build(header, phantom, **changes):
  found = chest_films.truth(phantom)
  arguments = {"structures": found.structures, "maker": MAKER} | changes
  return segmentation.build(header, found.mask, **arguments)


def _file(result, path):
  pydicom.dcmwrite(path, result, enforce_file_format=True)
  return path


def _bits(path, shape):
  """The masks by PS3.5 8.1.1 alone: bits, the lowest first, frame on frame."""
  data = np.frombuffer(pydicom.dcmread(path).PixelData, np.uint8)
  bits = np.unpackbits(data, bitorder="little")[: np.prod(shape)]
  return bits.reshape(shape).astype(bool)


@pytest.mark.parametrize("white_zero", [False, True])
def test_masks_are_equal_pixel_for_pixel(write, phantom, tmp_path, white_zero):
  """The size is odd, so that frames begin within a byte."""
  result = _build(write(white_zero=white_zero), phantom)
  path = _file(result, tmp_path / "seg.dcm")
  masks = np.stack([getattr(phantom, n) for n in chest_films.STRUCTURES])
  np.testing.assert_array_equal(_bits(path, masks.shape), masks)
  read = hd.seg.segread(path)
  film = read.get_source_image_uids()[0][2]
  assert film == "1.2.826.1.4"
  pixels = read.get_pixels_by_source_instance([film])
  np.testing.assert_array_equal(
    pixels[0].astype(bool), masks.transpose(1, 2, 0)
  )


def test_an_empty_mask_keeps_its_frame(write, phantom, tmp_path):
  found = chest_films.truth(phantom)
  mask = found.mask.copy()
  mask[..., 2] = False
  result = segmentation.build(
    write(), mask, structures=found.structures, maker=MAKER
  )
  path = _file(result, tmp_path / "seg.dcm")
  bits = _bits(path, (5, *mask.shape[:2]))
  np.testing.assert_array_equal(bits, mask.transpose(2, 0, 1))


# CID 7150, 7151 and 244 of PS3.16 as SNOMED CT has them.
CODES = {
  "left lung": ("39607008", "7771000"),
  "right lung": ("39607008", "24028007"),
  "heart": ("80891009", None),
  "left clavicle": ("51299004", "7771000"),
  "right clavicle": ("51299004", "24028007"),
}


def test_structures_are_coded(write, phantom):
  for segment in _build(write(), phantom).SegmentSequence:
    what = segment.SegmentedPropertyTypeCodeSequence[0]
    sides = what.get("SegmentedPropertyTypeModifierCodeSequence", [])
    found = (what.CodeValue, sides[0].CodeValue if sides else None)
    assert found == CODES[segment.SegmentLabel]
    assert what.CodingSchemeDesignator == "SCT"
    category = segment.SegmentedPropertyCategoryCodeSequence[0]
    assert category.CodeValue == "91723000"
    assert segment.SegmentAlgorithmType == "AUTOMATIC"


def test_lungs_are_both_and_unknown_structures_have_our_scheme(write, phantom):
  found = chest_films.truth(phantom)
  result = _build(
    write(), phantom, structures=("lungs", "aorta", "a", "b", "c")
  )
  assert found.structures != ("lungs",)
  lungs, aorta, *_ = (
    s.SegmentedPropertyTypeCodeSequence[0] for s in result.SegmentSequence
  )
  side = lungs.SegmentedPropertyTypeModifierCodeSequence[0]
  assert (lungs.CodeValue, side.CodeValue) == ("39607008", "51440002")
  assert aorta.CodingSchemeDesignator == "99APPPAU"
  assert aorta.CodeMeaning == "aorta"


def test_uids_follow_from_film_and_model(write, phantom):
  one, again = (_build(write(), phantom) for _ in range(2))
  other = _build(write(), phantom, maker=Maker("beef" * 16, "0.2.0"))
  film = _build(write(instance="1.2.826.1.5"), phantom)
  for result in (one, other, film):
    assert pydicom.uid.UID(result.SOPInstanceUID).is_valid
  uids = [r.SOPInstanceUID for r in (one, again, other, film)]
  assert uids[0] == uids[1]
  assert len({*uids}) == 3
  assert film.SeriesInstanceUID == one.SeriesInstanceUID
  assert other.SeriesInstanceUID != one.SeriesInstanceUID


def test_a_mask_of_another_size_is_refused(write, phantom):
  with pytest.raises(ValueError, match="121 x 103"):
    segmentation.build(
      write(), np.zeros((103, 121, 1), bool), structures=["heart"], maker=MAKER
    )


@pytest.mark.skipif(not shutil.which("dcmdump"), reason="needs DCMTK")
def test_dcmtk_reads_the_same_pixels(write, phantom, tmp_path):
  path = _file(_build(write(), phantom), tmp_path / "seg.dcm")
  text = subprocess.run(
    ["dcmdump", "+W", tmp_path, path], capture_output=True, check=True
  ).stdout
  assert b"SegmentationStorage" in text
  (raw,) = tmp_path.glob("*.raw")
  masks = np.stack([getattr(phantom, n) for n in chest_films.STRUCTURES])
  bits = np.unpackbits(
    np.frombuffer(raw.read_bytes(), np.uint8), bitorder="little"
  )
  np.testing.assert_array_equal(bits[: masks.size], masks.ravel())


def test_the_file_is_what_pydicom_reads_back(write, phantom):
  file = io.BytesIO()
  pydicom.dcmwrite(file, _build(write(), phantom), enforce_file_format=True)
  read = pydicom.dcmread(io.BytesIO(file.getvalue()))
  item = read.ReferencedSeriesSequence[0]
  assert item.SeriesInstanceUID == "1.2.826.1.1"
  reference = item.ReferencedInstanceSequence[0]
  assert reference.ReferencedSOPInstanceUID == "1.2.826.1.4"
  assert read.StudyInstanceUID == "1.2.826.1"
  assert (read.SeriesNumber, read.InstanceNumber) == (901, 3)
