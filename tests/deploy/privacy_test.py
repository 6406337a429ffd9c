"""No element of a film is in a result but those that docs/dicom.md lists."""

import io
import pathlib
import re

import numpy as np
import pydicom
import pytest
from fixtures import chest_films
from PIL import Image
from pydicom import datadict

from apppau_jax.deploy.identity import KINDS, Maker
from apppau_jax.deploy.writer import DicomWriter

PAGE = pathlib.Path(__file__).parents[2] / "docs/dicom.md"
MAKER = Maker("c0ffee" * 10, "0.2.0")
# Elements that decide how the file is read, and the references to the film.
_FIXED = {
  *("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "Modality"),
  *("ViewPosition", "SpecificCharacterSet", "SamplesPerPixel", "PixelData"),
  *("PhotometricInterpretation", "PresentationLUTShape", "NumberOfFrames"),
}
_TEXT = {"SH", "LO", "ST", "LT", "UC", "UT", "UR", "PN", "AE", "CS"}
_DATES = {
  "DA": "1901{:02d}{:02d}",
  "DT": "19020304{:02d}{:02d}",
  "TM": "{:02d}{:02d}",
}


def _listed(kind):
  """Keywords that the page lists for a kind of object."""
  rows = re.findall(
    r"(?m)^\| (\w+) \| \((\w{4}),(\w{4})\) \| ([\w, ]+) \|$", PAGE.read_text()
  )
  assert len(rows) > 10
  for keyword, group, number, _ in rows:
    assert datadict.tag_for_keyword(keyword) == int(group + number, 16)
  return {row[0] for row in rows if kind in row[3].split(", ")}


def _sentinel(vr, number):
  """A value that no other element has."""
  if vr in _TEXT:
    return f"Q{number:05d}X"
  if vr == "UI":
    return f"1.9.{number}.7"
  if vr in _DATES:
    return _DATES[vr].format(1 + number // 28 % 12, 1 + number % 28)
  if vr == "AS":
    return f"{number % 1000:03d}Y"
  return None


def _full_film(phantom):
  """A film with every element of the standard that can hold text."""
  header = pydicom.dcmread(io.BytesIO(chest_films.film(phantom)))
  taken = {}
  for number, (tag, entry) in enumerate(datadict.DicomDictionary.items()):
    vr, _, _, retired, keyword = entry
    value = _sentinel(vr, number)
    wanted = keyword and value and not retired and 8 <= tag >> 16 < 0x7FE0
    if wanted and keyword not in _FIXED and tag not in header:
      header.add_new(tag, vr, value)
      taken[keyword] = value
  for keyword in ("PatientName", "PatientID"):
    taken[keyword] = str(header[keyword].value)
  block = header.private_block(0x0011, "MAKER", create=True)
  block.add_new(1, "LO", "Q99999X")
  item = pydicom.Dataset()
  item.PatientID = "Q88888X"
  header.OtherPatientIDsSequence = pydicom.Sequence([item])
  header.SpecificCharacterSet = "ISO_IR 192"
  header.BurnedInAnnotation = "NO"
  header.LossyImageCompression = "01"
  header.LossyImageCompressionRatio = "12.5"
  file = io.BytesIO()
  pydicom.dcmwrite(file, header, enforce_file_format=True)
  return file.getvalue(), header, taken


@pytest.fixture(scope="module")
def written(tmp_path_factory):
  folder = tmp_path_factory.mktemp("films")
  phantom = chest_films.phantom()
  content, header, taken = _full_film(phantom)
  path = folder / "film.dcm"
  path.write_bytes(content)
  Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(
    folder / "film_overlay.png"
  )
  writer = DicomWriter(tuple(KINDS), MAKER)
  found = chest_films.truth(phantom)
  assert writer.write(path, found, stem=folder / "film") == ""
  results = {
    kind: pydicom.dcmread(folder / f"film_{kind}.dcm") for kind in KINDS
  }
  return header, taken, results


# Values that a film and a result share by chance, since both are images.
_COINCIDENCE = {
  *("SamplesPerPixel", "PhotometricInterpretation", "PixelRepresentation"),
  "PresentationLUTShape",
}


@pytest.mark.parametrize("kind", [*KINDS])
def test_the_page_lists_what_is_taken_over(written, kind):
  header, taken, results = written
  assert len(taken) > 1500
  same = {
    element.keyword
    for element in results[kind]
    if element.keyword in header
    and header[element.keyword].value == element.value
  }
  assert same - _COINCIDENCE == _listed(kind)


@pytest.mark.parametrize("kind", [*KINDS])
def test_no_value_of_another_element_is_anywhere(written, kind):
  """Also not within sequences: every value of the result is looked at."""
  _, taken, results = written
  listed = _listed(kind)
  secret = {v for k, v in taken.items() if k not in listed and v[0] in "Q1"}
  # Days of one study may be those of another element.
  secret -= {v for k, v in taken.items() if k in listed}
  secret |= {"Q99999X", "Q88888X"}
  assert len(secret) > 1400
  seen = [str(e.value) for e in results[kind].iterall() if e.VR != "SQ"]
  assert not {*seen} & secret
  text = " ".join(seen)
  assert not [v for v in secret if v.startswith("Q") and v in text]


@pytest.mark.parametrize("kind", [*KINDS])
def test_the_required_elements_are_there_though_empty(tmp_path, kind):
  phantom = chest_films.phantom()
  path = tmp_path / "film.dcm"
  path.write_bytes(chest_films.film(phantom, PatientName=None, PatientID=None))
  Image.new("RGB", (8, 8)).save(tmp_path / "film_overlay.png")
  writer = DicomWriter((kind,), MAKER)
  found = chest_films.truth(phantom)
  assert writer.write(path, found, stem=tmp_path / "film") == ""
  result = pydicom.dcmread(tmp_path / f"film_{kind}.dcm")
  assert result["PatientName"].value in ("", None)
  assert result["AccessionNumber"].value in ("", None)
