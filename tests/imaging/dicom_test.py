"""DICOM files made here, against formulas of the standard and pydicom."""

import io
import subprocess
import sys
import types

import numpy as np
import pytest

from apppau_jax.datasets.dataset import Dataset
from apppau_jax.datasets.prepare import prepare
from apppau_jax.errors import ConfigError, DataError
from apppau_jax.imaging import decode, dicom, resample

pydicom = pytest.importorskip("pydicom")

from fixtures import dicom_files  # noqa: E402
from pydicom import dataset, encaps, pixels, uid  # noqa: E402


def _by_pydicom(content):
  """The same by pydicom's own functions, scaled to its range of output."""
  header = pydicom.dcmread(io.BytesIO(content))
  values = pixels.apply_modality_lut(header.pixel_array, header)
  return pixels.apply_voi_lut(values, header).astype(float)


def _ends(values, low, high):
  return (values - low) / (high - low) * 255


def test_a_table_of_few_bits_has_many_entries(make):
  """pydicom's own function wraps round at 256 entries."""
  table = np.arange(4096) // 16
  read = decode.read_grey(make(VOILUTSequence=dicom_files.table(table, bits=8)))
  np.testing.assert_array_equal(read, dicom_files.RAMP // 16)


def test_without_a_window_the_frame_is_stretched(make):
  read = decode.read_grey(make())
  assert read.dtype == np.uint8
  expected = dicom_files.RAMP / 4032 * 255  # 4032 is the highest
  assert np.abs(read - expected).max() <= 0.5


@pytest.mark.parametrize(("slope", "intercept"), [(1, 0), (2.5, -1000)])
@pytest.mark.parametrize("function", ["", "LINEAR_EXACT", "SIGMOID"])
def test_windows_are_those_of_the_standard(make, function, slope, intercept):
  """PS3.3 C.11.2.1.2.1, C.11.2.1.3.1 and C.11.2.1.3.2."""
  center, width = 1500 * slope + intercept, 900
  content = make(
    RescaleSlope=slope, RescaleIntercept=intercept, WindowCenter=center,
    WindowWidth=width, VOILUTFunction=function,
  )  # fmt: skip
  x = dicom_files.RAMP * float(slope) + intercept
  fraction = {
    "": (x - (center - 0.5)) / (width - 1) + 0.5,
    "LINEAR_EXACT": (x - center) / width + 0.5,
    "SIGMOID": 1 / (1 + np.exp(-4 * (x - center) / width)),
  }[function]
  read = decode.read_grey(content)
  assert np.abs(read - 255 * np.clip(fraction, 0, 1)).max() <= 0.5 + 1e-6
  assert 2 < len(np.unique(read)) < 64  # something is cut off


def test_the_formula_of_the_standard_by_hand(make):
  # PS3.3 C.11.2.1.2.1: center 2048, width 4096 runs from 0 to 4095.
  values = np.array([[0, 1024, 2048, 4095]], np.uint16)
  content = make(values, WindowCenter=[2048, 10], WindowWidth=[4096, 5])
  read = decode.read_grey(content)
  assert read.tolist() == [[0, 64, 128, 255]]  # 63.77, 127.53
  narrow = make(values, WindowCenter=1025, WindowWidth=3)  # 1023.5 to 1025.5
  assert decode.read_grey(narrow).tolist() == [[0, 64, 255, 255]]
  threshold = make(values, WindowCenter=1024.5, WindowWidth=1)
  assert decode.read_grey(threshold).tolist() == [[0, 0, 255, 255]]


def test_sixteen_bits_by_hand(make):
  values = np.array([[0, 1024, 2048, 4095]], np.uint16)
  window = {"WindowCenter": 2048, "WindowWidth": 4096}
  read = decode.read_grey(make(values, **window), bits=16)
  assert read.dtype == np.uint16
  assert read.tolist() == [[0, 16388, 32776, 65535]]  # 65535 x / 4095
  one = make(values, PhotometricInterpretation="MONOCHROME1", **window)
  read = decode.read_grey(one, bits=16)
  assert read.tolist() == [[65535, 49147, 32759, 0]]


def test_a_negative_slope_turns_the_order_round(make):
  content = make(RescaleSlope=-10, RescaleIntercept=0)
  read = decode.read_grey(content)
  np.testing.assert_array_equal(read, decode.read_grey(make())[::-1, ::-1])
  window = make(RescaleSlope=-10, RescaleIntercept=0, WindowCenter=-20000,
                WindowWidth=20001)  # fmt: skip
  expected = np.clip((-10.0 * dicom_files.RAMP + 30000) / 20000, 0, 1) * 255
  assert np.abs(decode.read_grey(window) - expected).max() <= 0.51


def test_monochrome1_is_turned_round_last(make):
  window = {"WindowCenter": 1000, "WindowWidth": 800}
  one = make(PhotometricInterpretation="MONOCHROME1", **window)
  expected = 255 - decode.read_grey(make(**window))
  np.testing.assert_array_equal(decode.read_grey(one), expected)


def test_look_up_tables_are_those_of_pydicom(make):
  rng = np.random.default_rng(0)
  modality = np.sort(rng.integers(0, 4096, 4000))
  voi = np.sort(rng.integers(300, 30000, 3000))
  content = make(
    ModalityLUTSequence=dicom_files.table(modality, first=50),
    VOILUTSequence=dicom_files.table(voi, first=200),
    WindowCenter=10, WindowWidth=5,
  )  # fmt: skip
  expected = _ends(_by_pydicom(content), 0, 65535)  # of 16 bits
  read = decode.read_grey(content)
  assert np.abs(read - expected).max() <= 0.5
  assert len(np.unique(read)) > 20


def test_tables_as_words_in_either_order(make):
  data = np.linspace(0, 65535, 4096).astype(np.uint16)
  read = []
  for syntax in (uid.ImplicitVRLittleEndian, uid.ExplicitVRBigEndian):
    item = dataset.Dataset()
    item.add_new("LUTDescriptor", "US", [4096, 0, 16])
    order = "<" if syntax.is_little_endian else ">"
    item.add_new("LUTData", "OW", data.astype(f"{order}u2").tobytes())
    read.append(
      decode.read_grey(
        make(syntax=syntax, VOILUTSequence=pydicom.Sequence([item]))
      )
    )
    assert np.abs(read[-1] - dicom_files.RAMP / 4095 * 255).max() <= 0.51
  np.testing.assert_array_equal(*read)


def test_signed_values_and_padding(make):
  values = np.array([[-2000, -1000, 0, 1000], [-2000, 3000, 3000, 3000]])
  signed = {"PixelPaddingValue": -2000, "BitsStored": 16, "HighBit": 15}
  read = decode.read_grey(make(values.astype(np.int16), **signed))
  assert read.tolist() == [[0, 0, 64, 128], [0, 255, 255, 255]]
  one = make(
    values.astype(np.int16), PhotometricInterpretation="MONOCHROME1", **signed
  )
  assert decode.read_grey(one).tolist() == [
    [0, 255, 191, 127],
    [0, 0, 0, 0],
  ]
  limit = make(values.astype(np.int16), PixelPaddingRangeLimit=-1000, **signed)
  assert decode.read_grey(limit).tolist() == [[0, 0, 0, 85], [0, *[255] * 3]]


def test_compressed_frames(make):
  header = pydicom.dcmread(io.BytesIO(make()))
  header.compress(uid.RLELossless)
  file = io.BytesIO()
  header.save_as(file)
  np.testing.assert_array_equal(
    decode.read_grey(file.getvalue()), decode.read_grey(make())
  )


@pytest.mark.parametrize(
  ("elements", "reason"),
  [
    ({"PixelData": None}, "no pixel data"),
    (
      {"values": np.stack([dicom_files.RAMP] * 2), "NumberOfFrames": 2},
      "2 frames",
    ),
    ({"PhotometricInterpretation": "RGB"}, r"SamplesPerPixel .* are RGB"),
    ({"BitsAllocated": 32}, "32 bits a pixel"),
    ({"PhotometricInterpretation": None}, "not stated"),
    ({"PixelData": b"\0" * 10}, "damaged or not supported"),
    ({"Rows": None}, "damaged or not supported"),
    ({"WindowCenter": 5, "WindowWidth": 0}, r"WindowWidth \(0028,1051\)"),
    (
      {"WindowCenter": 5, "WindowWidth": 9, "VOILUTFunction": "LOG"},
      r"VOILUTFunction \(0028,1056\)",
    ),
    (
      {"syntax": uid.MPEG2MPML, "PixelData": encaps.encapsulate([b"ab"])},
      "MPEG2",
    ),
    (
      {"syntax": uid.DeflatedExplicitVRLittleEndian},
      "deflated",
    ),
  ],
)  # fmt: skip
def test_each_reason_is_one_line(make, elements, reason):
  with pytest.raises(DataError, match=reason) as caught:
    decode.read_grey(make(**elements), name="films/a.dcm")
  message = str(caught.value)
  assert message.startswith("The DICOM file films/a.dcm cannot be used: ")
  assert "\n" not in message
  assert "DOE" not in message


def test_a_missing_decoder_is_named(make, monkeypatch):
  absent = types.SimpleNamespace(is_available=False)
  monkeypatch.setattr(pixels, "get_decoder", lambda syntax: absent)
  frame = encaps.encapsulate([b"\xff\x4f"])
  content = make(syntax=uid.JPEG2000Lossless, PixelData=frame)
  with pytest.raises(DataError, match=r"JPEG 2000"):
    dicom.read_dicom(content, name="a.dcm", check_size=decode.check_size)


def test_a_giant_is_refused_before_it_is_decoded(make):
  with pytest.raises(DataError, match="60000x60000"):
    decode.read_grey(make(Rows=60000, Columns=60000))


def test_a_folder_of_dicom_leaves_the_tags_behind(make, raw_sets, tmp_path):
  raw = tmp_path / "raw"
  (raw / "images").mkdir(parents=True)
  grey = raw_sets.image("a")
  values = grey.astype(np.uint16) * 16
  for name in ("a.dcm", "b", "1.2.840.7"):
    (raw / "images" / name).write_bytes(
      make(values, WindowCenter=2040.5, WindowWidth=4081)
    )
  raw_sets.png(raw / "masks/a.png", np.logical_or(*raw_sets.lungs("a")))
  summary = prepare("folder", raw_dir=raw, data_dir=tmp_path)
  prepared = Dataset("folder", data_dir=tmp_path)
  assert prepared.ids == ("1.2.840.7", "a", "b")
  kept = repr((summary, list(prepared.records())))
  for secret in ("DOE", "JANE", "SECRET"):
    assert secret not in kept
  np.testing.assert_array_equal(
    prepared.open(["a"]).image[0, ..., 0],
    resample.resize_area(grey, (128, 128)),
  )
  (raw / "images/b").write_bytes(make(values, PixelData=None))
  with pytest.raises(DataError, match=r"1 of 3 .* images/b"):
    prepare("folder", raw_dir=raw, data_dir=tmp_path)


def test_pydicom_is_imported_when_it_is_needed_and_named_when_not(
  make, tmp_path, monkeypatch
):
  code = (
    "import sys\n"
    "from apppau_jax.datasets import prepare\n"
    "from apppau_jax.imaging import decode\n"
    "from apppau_jax.inference import predict_files\n"
    "print('pydicom' in sys.modules)\n"
  )
  done = subprocess.run(
    [sys.executable, "-c", code], capture_output=True, text=True, check=True
  )
  assert done.stdout == "False\n"
  monkeypatch.setitem(sys.modules, "pydicom", None)
  with pytest.raises(ConfigError, match=r"a\.dcm .*\[dicom\]") as e:
    decode.read_grey(make(), name="a.dcm")
  assert "\n" not in str(e.value)
