"""A decoder that crashes, hangs or eats memory costs one file, no more."""

import io
import os
import signal
import subprocess
import sys
import time
from concurrent import futures
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from apppau_jax.checks import raw_data
from apppau_jax.datasets.prepare import prepare
from apppau_jax.errors import DataError, ResourceError
from apppau_jax.imaging import boundary, decode, isolated, pipe_messages
from apppau_jax.inference import predict_files
from apppau_jax.inference.image_input import network_input

pydicom = pytest.importorskip("pydicom")

from fixtures import dicom_files  # noqa: E402
from pydicom import dataset, encaps, uid  # noqa: E402

ROOT = Path(__file__).parents[2]


@pytest.fixture
def start(monkeypatch):
  """Starts pools of processes whose decoder does what the file says."""
  monkeypatch.setattr(isolated, "_MODULE", "fixtures.hostile_decoder")
  pools = []

  def call(size=1):
    pools.append(isolated._Pool(size))
    monkeypatch.setattr(isolated, "_pool", lambda pid: pools[-1])
    return pools[-1]

  yield call
  for pool in pools:
    pool.close()


def _read(content, name="films/x.dcm"):
  film = isolated.read_dicom(content, name=name, bits=8, max_bytes=1000)
  assert film.remarks == ()
  return film.levels


@pytest.mark.parametrize(
  ("does", "says"),
  [
    (b"abort", "SIGABRT"),
    (b"segfault", "SIGSEGV"),
    (b"leave", "status 3"),
    (b"memory", r"more than 3072 MiB"),
    (b"hang", "longer than 0.5 seconds"),
    (b"loop", "longer than 0.5 seconds"),
  ],
)
def test_what_a_decoder_does_costs_one_file(start, monkeypatch, does, says):
  start()
  seconds = 0.5 if "longer" in says else 60
  monkeypatch.setattr(isolated, "SECONDS", seconds)
  with pytest.raises(DataError, match=rf"films/x\.dcm .*{says}") as caught:
    _read(does)
  assert "\n" not in str(caught.value)
  monkeypatch.setattr(isolated, "SECONDS", 60)
  assert _read(b"next").tolist() == [[4] * 3] * 2


def test_memory_that_an_earlier_file_damaged_is_no_fault_of_the_next(start):
  start()
  assert _read(b"poison").shape == (2, 3)
  assert _read(b"film").tolist() == [[4] * 3] * 2


def test_the_process_is_kept_and_has_neither_jax_nor_tfds(start):
  pool = start()
  assert not pool._idle  # nothing starts before it is needed
  assert _read(b"modules").tolist() == [[0]]
  (first,) = pool._idle
  _read(b"film")
  assert [*pool._idle] == [first]
  with pytest.raises(DataError, match=r"refused \\x1b\[2J"):
    _read(b"refuse")
  assert [*pool._idle] == [first]
  os.kill(first._process.pid, signal.SIGKILL)  # as the kernel does
  first._process.wait()
  assert _read(b"film").shape == (2, 3)


@pytest.mark.parametrize(
  "reply",
  [b"other shape", b"no shape", b"no error", b"no message", b"no name"],
)
def test_replies_are_not_trusted(start, reply):
  start()
  with boundary.refusing("x.dcm"), pytest.raises(Exception) as caught:  # noqa: PT011
    _read(reply)
  assert isinstance(caught.value, ValueError | KeyError | TypeError)


def test_threads_get_each_their_own_answer(start):
  start(2)
  lengths = [*range(1, 30)] * 4
  with futures.ThreadPoolExecutor(8) as pool:
    read = pool.map(lambda n: _read(b"x" * n), lengths)
    assert [int(levels[0, 0]) for levels in read] == lengths


def test_a_process_that_cannot_start_is_no_fault_of_a_file(start, monkeypatch):
  start()
  monkeypatch.setattr(isolated, "_MODULE", "no.such.module")
  with pytest.raises(ResourceError, match="cannot be started"):
    _read(b"film")


def test_messages_state_their_size_and_it_is_believed_to_a_limit():
  file = io.BytesIO()
  pipe_messages.send(file, {"name": "\udcff\n"}, b"abc")
  file.seek(0)
  header, content = pipe_messages.receive(file, most=3)
  assert header == {"name": "\udcff\n", "bytes": 3}
  assert content == b"abc"
  file.seek(0)
  with pytest.raises(ValueError, match="3 bytes"):
    pipe_messages.receive(file, most=2)
  with pytest.raises(ValueError, match="a header of 4294967295 bytes"):
    pipe_messages.receive(io.BytesIO(b"\xff" * 64), most=2)
  with pytest.raises(EOFError):
    pipe_messages.receive(io.BytesIO(file.getvalue()[:-1]), most=3)


def _header(syntax, pixels, *, stored=8):
  header = dicom_files.grey_header(syntax, pixels.shape)
  header.BitsAllocated, header.BitsStored, header.HighBit = (
    8,
    stored,
    stored - 1,
  )
  header.PixelRepresentation = 0
  header.PixelData = pixels.tobytes()
  header["PixelData"].VR = "OW"
  return header


def _file(header):
  file = io.BytesIO()
  pydicom.dcmwrite(file, header, enforce_file_format=True)
  return file.getvalue()


def _jpeg(pixels, *, stored):
  jpeg = io.BytesIO()
  Image.fromarray(pixels).save(jpeg, "JPEG", quality=95)
  header = _header(uid.JPEGBaseline8Bit, pixels, stored=stored)
  header.PixelData = encaps.encapsulate([jpeg.getvalue()])
  header["PixelData"].VR = "OB"
  return _file(header)


def _by_gdcm(pixels, syntax, folder):
  """Compresses pixels by gdcm; `syntax` is a name of its TransferSyntax."""
  gdcm = pytest.importorskip("gdcm")
  source, target = str(folder / "plain.dcm"), str(folder / "packed.dcm")
  Path(source).write_bytes(_file(_header(uid.ExplicitVRLittleEndian, pixels)))
  reader = gdcm.ImageReader()
  reader.SetFileName(source)
  assert reader.Read()
  change = gdcm.ImageChangeTransferSyntax()
  kind = getattr(gdcm.TransferSyntax, syntax)
  change.SetTransferSyntax(gdcm.TransferSyntax(kind))
  change.SetInput(reader.GetImage())
  assert change.Change()
  writer = gdcm.ImageWriter()
  writer.SetFileName(target)
  writer.SetFile(reader.GetFile())
  writer.SetImage(change.GetOutput())
  assert writer.Write()
  return pydicom.dcmread(target)


GREY = np.arange(256, dtype=np.uint8).reshape(16, 16)


def _seven_bits(folder):
  return _jpeg(GREY, stored=7)


def _more_rows(folder):
  header = _by_gdcm(GREY, "JPEGLSLossless", folder)
  header.Rows = 20
  return _file(header)


@pytest.mark.parametrize("make", [_seven_bits, _more_rows])
def test_gdcm_aborts_the_process(make, tmp_path):
  """Why it is kept apart; our own reader asks it for neither of these."""
  pytest.importorskip("gdcm")
  path = tmp_path / "x.dcm"
  path.write_bytes(make(tmp_path))
  code = (
    "import pydicom, sys\n"
    "header = pydicom.dcmread(sys.argv[1])\n"
    "header.pixel_array_options(decoding_plugin='gdcm')\n"
    "header.pixel_array\n"
  )
  done = subprocess.run(
    [sys.executable, "-c", code, str(path)], cwd=ROOT, capture_output=True,
    check=False,
  )  # fmt: skip
  assert done.returncode == -signal.SIGABRT


@pytest.mark.parametrize(
  ("make", "named"),
  [(_seven_bits, "BitsStored"), (_more_rows, "Rows")],
)
def test_what_gdcm_aborts_on_is_refused_by_element(make, named, tmp_path):
  pytest.importorskip("gdcm")
  with pytest.raises(DataError, match=rf"x\.dcm .*{named}"):
    decode.read_grey(make(tmp_path), name="x.dcm")


def test_values_within_the_bits_stored_are_read(tmp_path):
  """As pydicom reads the same JPEG where Bits Stored is 8."""
  pytest.importorskip("gdcm")
  half = GREY // 2
  found = decode.read_grey(_jpeg(half, stored=7))
  stated = pydicom.dcmread(io.BytesIO(_jpeg(half, stored=8))).pixel_array
  low, high = int(stated.min()), int(stated.max())
  expected = (stated.astype(float) - low) * 255 / (high - low)
  np.testing.assert_allclose(found, expected, atol=1)


@pytest.mark.parametrize(
  "syntax", ["JPEGLSLossless", "JPEG2000Lossless", "JPEGLosslessProcess14_1"]
)
def test_compressed_pixels_are_those_that_were_written(syntax, tmp_path):
  packed = _file(_by_gdcm(GREY, syntax, tmp_path))
  assert isolated.is_compressed(packed)
  np.testing.assert_array_equal(decode.read_grey(packed), GREY)


@pytest.mark.parametrize(
  ("syntax", "compressed"),
  [
    (uid.ImplicitVRLittleEndian, False),
    (uid.ExplicitVRLittleEndian, False),
    (uid.ExplicitVRBigEndian, False),
    (uid.RLELossless, True),
    (uid.DeflatedExplicitVRLittleEndian, True),
  ],
)
def test_plain_pixels_stay_in_the_process(syntax, compressed):
  header = _header(uid.ExplicitVRLittleEndian, GREY)
  content = _file(header)
  padded = str(syntax).ljust(20, "\0") if len(syntax) % 2 else str(syntax)
  del header.file_meta.TransferSyntaxUID
  meta = dataset.FileMetaDataset()
  meta.TransferSyntaxUID = uid.UID(padded.rstrip("\0"))
  file = io.BytesIO(content[:132])
  file.seek(132)
  pydicom.filewriter.write_file_meta_info(file, meta, enforce_standard=False)
  assert isolated.is_compressed(file.getvalue()) == compressed


@pytest.mark.parametrize(
  "meta", [b"", b"\0" * 40, b"\x02\0\x10\0UI\xff\xff1.2"]
)
def test_what_states_no_syntax_is_not_taken_for_plain(meta):
  assert isolated.is_compressed(b"\0" * 128 + b"DICM" + meta)


@pytest.fixture
def clinic(raw_sets, tmp_path, start):
  """A folder of two films, of which one aborts its decoder."""
  start()
  raw = tmp_path / "raw"
  raw_sets.png(raw / "images/a.png", raw_sets.image("a"))
  raw_sets.png(raw / "masks/a.png", np.logical_or(*raw_sets.lungs("a")))
  (raw / "images/b.dcm").write_bytes(b"\0" * 128 + b"DICMabort")
  return raw


def test_preparing_names_the_file(clinic, tmp_path):
  with pytest.raises(DataError, match=r"1 of 2 .*b\.dcm.*SIGABRT"):
    prepare("folder", raw_dir=clinic, data_dir=tmp_path / "data")


def test_validation_names_the_file_and_examines_the_others(clinic):
  images, found = raw_data.read("folder", clinic)
  assert [image.id for image in images] == ["a"]
  (fault,) = [f for f in found if f.level == "error" and "SIGABRT" in f.what]
  assert fault.check == "readable"
  assert "b.dcm" in fault.what


class _Model:
  """Predicts every pixel of every file."""

  structures, class_names, batch_size = (), (), 2
  multi_label, members = False, ()
  has_samples = False

  def read(self, path):
    return network_input(path, resolution=16, bits=8)

  def predict_inputs(self, inputs, *, batch_size):
    del batch_size
    for given in inputs:
      yield _Found(np.ones(given.size, bool))


class _Found:
  structures, class_probability, class_range, remarks = (), None, None, ()
  measurements, quality, spacing = {}, {}, None

  def __init__(self, mask):
    self.mask = mask


def test_predicting_marks_the_file_and_goes_on(clinic, tmp_path):
  films = clinic / "images"
  rows = predict_files.predict_files(
    predict_files.find_images(films, output=tmp_path / "out"),
    model=_Model(), output=tmp_path / "out", identity={},
  )  # fmt: skip
  assert [(r.file, r.status) for r in rows] == [
    ("a.png", "ok"),
    ("b.dcm", "failed"),
  ]
  assert "SIGABRT" in rows[1].reason


def test_a_killed_parent_leaves_no_process_behind():
  """Also if the process hangs: its processor time is limited."""
  code = (
    "import os, signal\n"
    "from apppau_jax.imaging import isolated\n"
    "decoder = isolated._Decoder(1000)\n"
    "print(decoder._process.pid, flush=True)\n"
    "os.kill(os.getpid(), signal.SIGKILL)\n"
  )
  done = subprocess.run(
    [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True,
    check=False,
  )  # fmt: skip
  status = Path(f"/proc/{int(done.stdout)}/stat")
  until = time.monotonic() + 20
  while status.exists() and status.read_text().split()[2] != "Z":
    assert time.monotonic() < until
    time.sleep(0.02)
