"""Images are recognised by their content."""

import io

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom import dataset, uid

from apppau_jax.imaging import file_kinds

GREY = Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8))


def _dicom(*, implicit=True, preamble=False, sop=None) -> bytes:
  made = dataset.Dataset()
  made.SpecificCharacterSet = "ISO_IR 100"
  made.ImageType = ["ORIGINAL", "PRIMARY"]
  made.SOPClassUID = sop or uid.ComputedRadiographyImageStorage
  made.SOPInstanceUID = "1.2.3"
  made.PixelData = bytes(9000)
  made["PixelData"].VR = "OW"
  content = io.BytesIO()
  if preamble:
    made.file_meta = dataset.FileMetaDataset()
    made.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    pydicom.dcmwrite(content, made, enforce_file_format=True)
  else:
    pydicom.dcmwrite(
      content, made, implicit_vr=implicit, little_endian=True,
      enforce_file_format=False,
    )  # fmt: skip
  return content.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "GIF", "BMP"])
def test_what_pillow_writes(kind):
  content = io.BytesIO()
  GREY.save(content, kind)
  head = content.getvalue()[: file_kinds.HEAD]
  assert file_kinds.image_format(head) == kind
  assert file_kinds.is_image("IM0001", head)


@pytest.mark.parametrize(
  "options",
  [{"preamble": True}, {"implicit": True}, {"implicit": False}],
)
def test_what_pydicom_writes(options):
  head = _dicom(**options)[: file_kinds.HEAD]
  assert file_kinds.image_format(head) == "DICOM"
  assert not file_kinds.is_image("DICOMDIR", head)


def test_the_directory_of_a_medium_is_no_image():
  head = _dicom(preamble=True, sop=uid.MediaStorageDirectoryStorage)
  assert not file_kinds.is_image("index", head)
  assert "directory" in file_kinds.description("index", head)


@pytest.mark.parametrize(
  ("content", "says"),
  [
    (b"", "empty"),
    (b"RIFF\x10\0\0\0WEBPVP8 ", "WebP"),
    (b"PK\3\4" + bytes(60), "archive"),
    (b"\x1f\x8b\x08" + bytes(60), "archive"),
    (b"%PDF-1.7", "PDF"),
    (bytes(344) + b"n+1\0", "NIfTI"),
    (b"BM is how this text begins, and it is no bitmap", "unknown"),
    (b"\x08\x00" + b"\xff" * 600, "unknown"),
    (b"\x08\x00\x05\x00" + bytes(600), "unknown"),
    (bytes(5000), "unknown"),
    (b"[autorun]\r\n", "unknown"),
  ],
)
def test_other_files_are_no_images(content, says):
  assert file_kinds.image_format(content) is None
  assert says in file_kinds.description("name", content)


def test_random_bytes_are_no_images():
  rng = np.random.default_rng(0)
  for _ in range(2000):
    assert file_kinds.image_format(b"\x08\0" + rng.bytes(300)) is None


@pytest.mark.parametrize(
  ("name", "bare"),
  [
    ("a.PNG", "a"),
    ("a.b.dcm", "a.b"),
    ("Film.IMA", "Film"),
    ("1.2.840.5", "1.2.840.5"),
    (".png", ".png"),
    ("x.gz", "x.gz"),
  ],
)
def test_known_suffixes_are_no_part_of_a_name(name, bare):
  assert file_kinds.name_of(name) == bare


def test_a_dicom_file_is_one_by_one_rule():
  for options in ({"preamble": True}, {"implicit": True}, {"implicit": False}):
    assert file_kinds.is_dicom(_dicom(**options))
  directory = _dicom(preamble=True, sop=uid.MediaStorageDirectoryStorage)
  assert file_kinds.is_dicom(directory)  # but no image
  assert not file_kinds.is_dicom(b"\x08\0" + bytes(300))
