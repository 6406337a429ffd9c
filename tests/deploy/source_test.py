"""What is read of a header, and which films get no results."""

import pydicom
import pytest
from fixtures import chest_films

from apppau_jax.deploy import source
from apppau_jax.errors import DataError


@pytest.fixture
def read(tmp_path):
  def one(**elements):
    path = tmp_path / "film.dcm"
    path.write_bytes(chest_films.film(chest_films.phantom(), **elements))
    return source.read(path)

  return one


@pytest.mark.parametrize(
  ("elements", "named"),
  [
    ({"StudyInstanceUID": None}, r"StudyInstanceUID \(0020,000D\)"),
    ({"SeriesInstanceUID": ""}, r"SeriesInstanceUID \(0020,000E\)"),
    ({"ViewPosition": "LL"}, r"ViewPosition \(0018,5101\)"),
    ({"PatientOrientation": ["R", "F"]}, r"PatientOrientation .*'R/F'"),
    ({"PatientOrientation": ["L", "H"]}, r"PatientOrientation .*'L/H'"),
  ],
)
def test_films_whose_results_would_be_wrong(read, elements, named):
  with pytest.raises(DataError, match=named):
    read(**elements)


def test_other_files_are_no_dicom(tmp_path):
  (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(200))
  with pytest.raises(DataError, match="not a DICOM file"):
    source.read(tmp_path / "a.png")


def test_a_deflated_file_is_not_inflated(tmp_path):
  content = chest_films.film(chest_films.phantom())
  plain, deflated = b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.1.99"
  assert plain in content
  path = tmp_path / "film.dcm"
  path.write_bytes(content.replace(plain, deflated))
  with pytest.raises(DataError, match="deflated"):
    source.read(path)


@pytest.mark.parametrize(
  ("number", "expected"), [(7, 7), (0, 1), (-3, 1), (None, 1), ("", 1)]
)
def test_instance_number(read, number, expected):
  assert source.instance_number(read(InstanceNumber=number)) == expected


@pytest.mark.parametrize(
  ("charset", "name"),
  [
    ("ISO_IR 100", "Müller^Jürgen"),
    ("ISO_IR 192", "Ωmega^Ασλάν"),
    (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎"),
  ],
)
def test_names_keep_their_letters(read, charset, name, tmp_path):
  header = read(SpecificCharacterSet=charset, PatientName=name, PatientSex="U")
  result = pydicom.Dataset()
  source.identify(result, header)
  assert result.PatientSex == "U"
  pydicom.dcmwrite(
    tmp_path / "out.dcm", result, implicit_vr=False, little_endian=True
  )
  copied = pydicom.dcmread(tmp_path / "out.dcm", force=True)
  assert str(copied.PatientName) == name
