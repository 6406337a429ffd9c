"""Headers as devices write them: read rightly, or refused by element."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from apppau_jax.errors import DataError
from apppau_jax.imaging import decode

pydicom = pytest.importorskip("pydicom")

from fixtures import dicom_files  # noqa: E402
from pydicom import dataset, encaps, pixels, uid  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
RAMP = dicom_files.RAMP
WINDOW = {"WindowCenter": 2048, "WindowWidth": 4096}
WINDOWED = np.rint(RAMP / 4095 * 255)  # PS3.3 C.11.2.1.2.1: from 0 to 4095
STRETCHED = np.rint(RAMP / 4032 * 255)  # 4032 is the highest


def _empty_item():
  item = dataset.Dataset()
  item.add_new("LUTDescriptor", "US", None)
  item.add_new("LUTData", "OW", None)
  return pydicom.Sequence([item])


@pytest.mark.parametrize(
  ("elements", "expected"),
  [
    ({"VOILUTSequence": _empty_item(), **WINDOW}, WINDOWED),
    ({"VOILUTSequence": pydicom.Sequence([]), **WINDOW}, WINDOWED),
    ({"RescaleSlope": "", "RescaleIntercept": "", **WINDOW}, WINDOWED),
    ({"VOILUTFunction": "linear", **WINDOW}, WINDOWED),
    ({"WindowCenter": [2048, 7], "WindowWidth": [4096, 3]}, WINDOWED),
    ({"WindowCenter": "", "WindowWidth": ""}, STRETCHED),
    ({"WindowCenter": "", "WindowWidth": 4096}, STRETCHED),
    ({"WindowWidth": 4096}, STRETCHED),
    ({"WindowCenter": 2048}, STRETCHED),
    ({"PresentationLUTShape": "INVERSE", **WINDOW}, 255 - WINDOWED),
    ({"PresentationLUTShape": "", **WINDOW}, WINDOWED),
    (
      {
        "PhotometricInterpretation": "MONOCHROME1",
        "PresentationLUTShape": "INVERSE",
        **WINDOW,
      },
      255 - WINDOWED,
    ),
  ],
)
def test_forms_that_devices_write_are_read(make, elements, expected):
  read = decode.read_grey(make(**elements)).astype(float)
  assert np.abs(read - expected).max() <= 1


@pytest.mark.parametrize(
  ("elements", "named"),
  [
    ({"WindowCenter": "nan", "WindowWidth": 9}, "WindowCenter (0028,1050)"),
    ({"WindowCenter": 9, "WindowWidth": "inf"}, "WindowWidth (0028,1051)"),
    ({"WindowCenter": 9, "WindowWidth": -4}, "WindowWidth (0028,1051)"),
    ({"RescaleSlope": "nan", "RescaleIntercept": 0}, "(0028,1053)"),
    ({"RescaleSlope": 1, "RescaleIntercept": "-inf"}, "(0028,1052)"),
    ({"RescaleSlope": 0, "RescaleIntercept": 0}, "RescaleSlope (0028,1053)"),
    ({"RescaleSlope": "1e308", "RescaleIntercept": 0}, "RescaleSlope"),
    ({"PresentationLUTShape": "LIN OD"}, "PresentationLUTShape (2050,0020)"),
    ({"PresentationLUTSequence": _empty_item()}, "(2050,0010)"),
    ({"BitsStored": 0}, "BitsStored (0028,0101)"),
    ({"BitsStored": 17}, "BitsStored (0028,0101)"),
    ({"HighBit": 9}, "HighBit (0028,0102)"),
    ({"HighBit": 16}, "HighBit (0028,0102)"),
    ({"PhotometricInterpretation": "PALETTE COLOR"}, "(0028,0004)"),
    ({"Rows": 7}, "PixelData (7FE0,0010)"),
    ({"PixelData": RAMP.tobytes() + b"\0\1"}, "PixelData (7FE0,0010)"),
    ({"PixelData": RAMP.tobytes() + bytes(16)}, "PixelData (7FE0,0010)"),
  ],
)
def test_what_contradicts_itself_is_refused_by_element(make, elements, named):
  with pytest.raises(DataError) as caught:
    decode.read_grey(make(**elements), name="a.dcm")
  assert "a.dcm" in str(caught.value)
  assert named in str(caught.value)


def test_zeros_that_fill_up_a_file_are_left_out(make):
  longer = make(PixelData=RAMP.tobytes() + bytes(6))
  np.testing.assert_array_equal(
    decode.read_grey(longer), decode.read_grey(make())
  )


@pytest.mark.parametrize("keyword", ["VOILUTSequence", "ModalityLUTSequence"])
@pytest.mark.parametrize("words", [False, True])
def test_a_table_shorter_than_it_says_is_refused(make, keyword, words):
  tables = dicom_files.table(np.arange(4096))
  data = np.arange(4000, dtype="<u2")
  if words:
    tables[0].add_new("LUTData", "OW", data.tobytes())
  else:
    tables[0].LUTData = data.tolist()
  with pytest.raises(DataError, match=r"LUTData \(0028,3006\).* 4000 .*4096"):
    decode.read_grey(make(**{keyword: tables}))


def test_a_table_with_entries_of_more_bits_than_it_says_is_refused(make):
  tables = dicom_files.table(np.arange(4096), bits=10)
  with pytest.raises(DataError, match=r"LUTDescriptor \(0028,3002\)"):
    decode.read_grey(make(VOILUTSequence=tables))


def test_a_table_of_bytes_packed_in_words(make):
  """PS3.3 C.11.2.1.1 does not exclude it, and dcm2pnm reads it."""
  tables = dicom_files.table(np.arange(4096), bits=8)
  entries = (np.arange(4096) // 16).astype(np.uint8)
  tables[0].add_new("LUTData", "OW", entries.tobytes())
  read = decode.read_grey(make(VOILUTSequence=tables))
  np.testing.assert_array_equal(read, RAMP // 16)


@pytest.mark.parametrize("syntax", ["native", "rle"])
@pytest.mark.parametrize("signed", [False, True])
def test_bits_that_are_stored_at_the_upper_end(make, syntax, signed):
  values = RAMP.astype(np.int32) - (2048 if signed else 0)
  cells = (values << 4).astype(np.int16 if signed else np.uint16)
  content = make(cells, HighBit=15)
  if syntax == "rle":
    header = pydicom.dcmread(io.BytesIO(content))
    header.compress(uid.RLELossless, encoding_plugin="pydicom")
    file = io.BytesIO()
    header.save_as(file)
    content = file.getvalue()
  read = decode.read_grey(content).astype(float)
  assert np.abs(read - STRETCHED).max() <= 1


@pytest.mark.parametrize("written", [-2048, 2048, 63488])
def test_signed_padding_that_was_written_as_unsigned(make, written):
  values = RAMP.astype(np.int16) - 2048
  values[:, :3] = -2048
  content = make(values, **WINDOW)
  header = pydicom.dcmread(io.BytesIO(content))
  kind = "SS" if written < 0 else "US"
  header.add_new("PixelPaddingValue", kind, written)
  header.PresentationLUTShape = "INVERSE"  # padding stays black
  file = io.BytesIO()
  header.save_as(file)
  read = decode.read_grey(file.getvalue())
  assert (read[:, :3] == 0).all()
  assert (read[:, 3:] > 0).all()


def test_overlay_bits_above_those_stored_in_jpeg_2000(make):
  if not pixels.get_decoder(uid.JPEG2000Lossless).is_available:
    pytest.skip("nothing decodes JPEG 2000 here")
  text = np.zeros_like(RAMP)
  text[2:4, 2:6] = 1 << 15 | 1 << 12
  file = io.BytesIO()
  Image.fromarray(RAMP | text).save(
    file, "JPEG2000", no_jp2=True, num_resolutions=1
  )
  frame = encaps.encapsulate([file.getvalue()])
  content = make(syntax=uid.JPEG2000Lossless, PixelData=frame)
  read = decode.read_grey(content)
  assert np.abs(read - STRETCHED).max() <= 1


@pytest.mark.parametrize("kind", ["JPEG", "JPEG2000"])
def test_a_frame_of_another_shape_than_stated_is_refused(make, kind):
  grey = (RAMP[:4] >> 4).astype(np.uint8)  # 4 x 8, stated as 8 x 4
  file = io.BytesIO()
  options = {"no_jp2": True, "num_resolutions": 1} if kind[4:] else {}
  Image.fromarray(grey).save(file, kind, **options)
  content = make(
    syntax=uid.JPEG2000Lossless if kind[4:] else uid.JPEGBaseline8Bit,
    PixelData=encaps.encapsulate([file.getvalue()]),
    Rows=8, Columns=4, BitsAllocated=8, BitsStored=8, HighBit=7,
  )  # fmt: skip
  with pytest.raises(DataError, match=r"Rows \(0028,0010\).* 4 x 8"):
    decode.read_grey(content)


def _without_preamble(content, *, implicit):
  header = pydicom.dcmread(io.BytesIO(content))
  del header.file_meta
  header.preamble = None
  header.Modality = "CR"
  file = io.BytesIO()
  pydicom.dcmwrite(
    file, header, implicit_vr=implicit, little_endian=True,
    enforce_file_format=False,
  )  # fmt: skip
  return file.getvalue()


@pytest.mark.parametrize("implicit", [False, True])
def test_files_without_a_preamble(make, implicit):
  bare = _without_preamble(make(**WINDOW), implicit=implicit)
  assert bare[:2] == b"\x08\x00"
  assert np.abs(decode.read_grey(bare) - WINDOWED).max() <= 1


def test_a_compressed_file_that_states_no_syntax_is_refused(make):
  header = pydicom.dcmread(io.BytesIO(make()))
  header.Modality = "CR"
  header.compress(uid.RLELossless, encoding_plugin="pydicom")
  file = io.BytesIO()
  header.save_as(file)
  at = file.getvalue().index(b"\x08\x00")  # the data set itself
  with pytest.raises(DataError, match="transfer syntax"):
    decode.read_grey(file.getvalue()[at:])


def _colour(make, channels, kind="RGB", **elements):
  return make(
    RAMP, PhotometricInterpretation=kind, SamplesPerPixel=3,
    PlanarConfiguration=0, BitsAllocated=8, BitsStored=8, HighBit=7,
    PixelData=channels.tobytes(), **elements,
  )  # fmt: skip


def test_equal_channels_are_grey(make):
  grey = (RAMP >> 4).astype(np.uint8)
  channels = np.repeat(grey[..., None], 3, axis=2)
  read = decode.read_grey(_colour(make, channels))
  np.testing.assert_array_equal(read, grey)
  middle = np.full_like(grey, 128)  # Cb and Cr of grey
  content = _colour(make, np.dstack([grey, middle, middle]), "YBR_FULL")
  np.testing.assert_array_equal(decode.read_grey(content), grey)
  channels[3, 3, 0] += 1
  with pytest.raises(DataError, match="is in colour"):
    decode.read_grey(_colour(make, channels))


def test_grey_as_jpeg_of_three_channels(make):
  grey = (RAMP >> 4).astype(np.uint8)
  file = io.BytesIO()
  Image.fromarray(grey).convert("RGB").save(file, "JPEG", quality=95)
  content = make(
    syntax=uid.JPEGBaseline8Bit, PhotometricInterpretation="YBR_FULL_422",
    PixelData=encaps.encapsulate([file.getvalue()]), SamplesPerPixel=3,
    PlanarConfiguration=0, BitsAllocated=8, BitsStored=8, HighBit=7,
  )  # fmt: skip
  expected = np.asarray(Image.open(file).convert("L")).astype(int)
  assert np.abs(decode.read_grey(content) - expected).max() <= 1


@pytest.mark.parametrize(
  ("elements", "named"),
  [
    ({"ViewPosition": "LL"}, ["ViewPosition (0018,5101)", "LL"]),
    ({"ViewPosition": "PA"}, []),
    ({"PatientOrientation": ["A", "F"]}, ["PatientOrientation (0020,0020)"]),
    ({"PatientOrientation": ["L", "H"]}, ["(0020,0020)", "L/H"]),
    ({"PatientOrientation": ["L", "F"]}, []),
    ({"PresentationLUTShape": "INVERSE"}, ["negative", "(2050,0020)"]),
    (
      {
        "PhotometricInterpretation": "MONOCHROME1",
        "PresentationLUTShape": "IDENTITY",
      },
      ["negative", "(0028,0004)"],
    ),
  ],
)
def test_headers_against_a_frontal_film_have_a_remark(make, elements, named):
  film = decode.read_film(make(**elements))
  assert len(film.remarks) == bool(named)
  assert all(word in film.remarks[0] for word in named)


def test_what_begins_as_a_picture_is_no_dicom():
  for start in (b"\x89PNG\r\n", b"\xff\xd8\xff", b"GIF89a", b"II*\0", b"BM"):
    with pytest.raises(DataError, match="not one of PNG"):
      decode.read_grey(start + struct.pack("<40I", *range(40)))
