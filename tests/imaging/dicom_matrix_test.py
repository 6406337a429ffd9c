"""DICOM files of all kinds against pydicom's functions and DCMTK's dcm2pnm.

Both references know nothing of this project. The stored values are those that
the files were made of, so that decoding is checked too.
"""

import io
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

from apppau_jax.imaging import decode

pydicom = pytest.importorskip("pydicom")

from fixtures import dicom_matrix  # noqa: E402
from pydicom import pixels  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
CASES = dicom_matrix.cases()
SAMPLE = 56  # every ninth, so that all syntaxes and formats occur
DCM2PNM = (
  1.0  # grey levels of 255: dcm2pnm rounds down, this project to nearest
)


def _made(case):
  made = dicom_matrix.make(case)
  if made is None:
    pytest.skip("nothing encodes this here")
  header = pydicom.dcmread(io.BytesIO(made[0]))
  syntax = header.file_meta.TransferSyntaxUID
  if not pixels.get_decoder(syntax).is_available:
    pytest.skip("nothing decodes this here")
  return *made, header


def _by_pydicom(header, values):
  """Fractions of white, by pydicom's functions alone."""
  with np.errstate(over="ignore"):
    shown = pixels.apply_modality_lut(values, header)
    if "VOILUTSequence" in header:
      shown = np.floor(shown).astype(np.int64)
      depth = header.VOILUTSequence[0].LUTDescriptor[2]
      ends = [0, 2**depth - 1]
      shown = _by_table(header, shown).astype(float)
    elif "WindowWidth" in header:
      extremes = np.array([-1e12, 1e12])
      ends = pixels.apply_voi_lut(extremes, header)
      shown = pixels.apply_voi_lut(shown, header)
    else:
      ends = [shown.min(), shown.max()]
  fraction = (shown - ends[0]) / (ends[1] - ends[0])
  if "PresentationLUTShape" in header:
    # pydicom inverts about the highest value that occurs: white is added.
    with_white = np.append(fraction, 1.0)
    turned = pixels.apply_presentation_lut(with_white, header)
    return turned[:-1].reshape(fraction.shape)
  inverse = header.PhotometricInterpretation == "MONOCHROME1"
  return 1 - fraction if inverse else fraction


def _by_table(header, values):
  """By pydicom, or by hand where its position in the table wraps round."""
  item = header.VOILUTSequence[0]
  if item.LUTDescriptor[1] > 2**15:  # no table here starts so high
    # In implicit VR pydicom takes the sign from the stored values alone.
    item.LUTDescriptor[1] -= 2**16
  count, first, depth = item.LUTDescriptor
  wraps = (depth == 8 and count > 256) or values.max() - first >= 2**16
  if not wraps:
    return pixels.apply_voi_lut(values, header)
  entries = item.LUTData
  if isinstance(entries, bytes):
    little = header.file_meta.TransferSyntaxUID.is_little_endian
    entries = np.frombuffer(entries, "<u2" if little else ">u2")
  return np.asarray(entries)[np.clip(values - first, 0, count - 1)]


def _check_against_pydicom(case):
  content, values, header = _made(case)
  if case.syntax == "baseline":  # with loss
    values = pixels.pixel_array(header)
  expected = _by_pydicom(header, values)
  read = decode.read_grey(content, bits=16)
  assert np.abs(read - 65535 * expected).max() <= 0.5 + 1e-6
  read = decode.read_grey(content)
  assert np.abs(read - 255 * expected).max() <= 0.5 + 1e-6


@pytest.mark.parametrize("case", CASES[:: len(CASES) // SAMPLE], ids=str)
def test_a_sample_is_displayed_as_by_pydicom(case):
  _check_against_pydicom(case)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_file_is_displayed_as_by_pydicom(case):
  _check_against_pydicom(case)


def _by_dcm2pnm(case, content, header, tmp_path):
  syntax = header.file_meta.TransferSyntaxUID
  program = "dcm2pnm"
  if "JPEG-LS" in syntax.name:
    program = "dcml2pnm"
  elif "JPEG 2000" in syntax.name:
    pytest.skip("DCMTK decodes no JPEG 2000")
  elif "JPEG" in syntax.name:
    program = "dcmj2pnm"
  if not shutil.which(program):
    pytest.skip(f"{program} (DCMTK) is not installed")
  if "VOILUTSequence" in header:
    window = ["+Wl", "1"]
  else:
    window = ["+Wi", "1"] if "WindowWidth" in header else ["+Wm"]
  before, after = tmp_path / "a.dcm", tmp_path / "a.png"
  before.write_bytes(content)
  command = [program, "-q", *window, "+on", str(before), str(after)]
  if subprocess.run(command, check=False).returncode:
    assert "jpegls_16-8-7" in str(case), (
      "DCMTK takes 8 bits only for 8 allocated ones"
    )
    pytest.skip("DCMTK refuses 8 bits in a JPEG-LS for 16 allocated ones")
  return np.asarray(Image.open(after).convert("L")).astype(float)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_file_is_displayed_as_by_dcm2pnm(case, tmp_path):
  content, _, header = _made(case)
  expected = _by_dcm2pnm(case, content, header, tmp_path)
  tolerance = DCM2PNM
  if case.interest == "exact":  # DCMTK 3.6.7 takes it for LINEAR
    tolerance += 0.5 + 255 / header.WindowWidth
  assert np.abs(decode.read_grey(content) - expected).max() <= tolerance
