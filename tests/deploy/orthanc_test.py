"""From a real Orthanc to masks and back, by the command."""

import io
import os
import shutil
import subprocess

import highdicom as hd
import numpy as np
import pydicom
import pytest
from fixtures import chest_films, orthanc
from PIL import Image

from apppau_jax.deploy import dicomweb

pytestmark = [
  pytest.mark.slow,
  pytest.mark.skipif(
    not (orthanc.IS_INSTALLED and shutil.which("storescu")),
    reason="needs the Debian packages orthanc, orthanc-dicomweb and dcmtk",
  ),
]
SEG = "1.2.840.10008.5.1.4.1.1.66.4"
SC = "1.2.840.10008.5.1.4.1.1.7"
SR = "1.2.840.10008.5.1.4.1.1.88.33"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
  with orthanc.running(tmp_path_factory.mktemp("orthanc")) as found:
    yield found


@pytest.fixture
def films(tmp_path):
  """Two studies; dark zero, white zero, and one that is lateral."""
  folder = tmp_path / "films"
  folder.mkdir()
  kinds = {
    "dark": {"size": (256, 231)},
    "white": {"size": (301, 263), "white_zero": True},
    "lateral": {"size": (128, 128), "ViewPosition": "LL"},
  }
  for number, (name, kind) in enumerate(kinds.items()):
    phantom = chest_films.phantom(number, size=kind.pop("size"))
    content = chest_films.film(
      phantom,
      instance=f"1.2.826.9.{number}",
      StudyInstanceUID=f"1.2.826.8.{number % 2}",
      SeriesInstanceUID=f"1.2.826.7.{number % 2}",
      **kind,
    )
    (folder / f"{name}.dcm").write_bytes(content)
  return folder


def _send(server, films):
  """By C-STORE and by STOW-RS."""
  store = ["storescu", "127.0.0.1", str(server.dicom)]
  subprocess.run([*store, films / "dark.dcm"], check=True)
  client = dicomweb.Server(
    server.url, user=orthanc.USER, password=orthanc.PASSWORD
  )
  client.store(
    [pydicom.dcmread(films / f"{n}.dcm") for n in ("white", "lateral")]
  )


def _dcmtk_bits(content, folder, shape):
  """Masks as DCMTK's dcmdump takes them out of the file."""
  folder.mkdir()
  (folder / "seg.dcm").write_bytes(content)
  subprocess.run(
    ["dcmdump", "+W", folder, folder / "seg.dcm"],
    check=True,
    capture_output=True,
  )
  (raw,) = folder.glob("*.raw")
  bits = np.unpackbits(
    np.frombuffer(raw.read_bytes(), np.uint8), bitorder="little"
  )
  return bits[: np.prod(shape)].reshape(shape)


def _validated(content, path):
  """The errors that dciodvfy (dicom3tools) finds."""
  path.write_bytes(content)
  done = subprocess.run(["dciodvfy", path], capture_output=True, text=True)
  return [line for line in done.stderr.splitlines() if "Error" in line]


def test_round_trip(server, films, tmp_path, call, monkeypatch):
  monkeypatch.setenv(dicomweb.USER, orthanc.USER)
  monkeypatch.setenv(dicomweb.PASSWORD, orthanc.PASSWORD)
  run = tmp_path / "run"
  trained = call(run)
  assert trained.returncode == 0, trained.stderr
  _send(server, films)

  first = call(run, f"--url={server.url}", "--once", module="pacs")
  assert first.returncode == 3, first.stderr  # of the lateral film
  assert "2 stored, 0 had results" in first.stdout
  assert "1.2.826.9.2" in first.stderr
  assert "ViewPosition (0018,5101)" in first.stderr

  contents = server.files()
  assert len(contents) == 3 + 2 * 3
  by_kind = {}
  for content in contents:
    header = pydicom.dcmread(io.BytesIO(content))
    by_kind.setdefault(header.SOPClassUID, []).append((header, content))
  assert {k: len(by_kind[k]) for k in (SEG, SC, SR)} == {SEG: 2, SC: 2, SR: 2}

  done = call(
    run, f"--input={films}", f"--output={tmp_path / 'out'}", module="predict"
  )
  assert done.returncode == 0, done.stderr
  names = {"1.2.826.9.0": "dark", "1.2.826.9.1": "white"}
  for header, content in by_kind[SEG]:
    segmentation = hd.seg.segread(io.BytesIO(content))
    ((study, series, film),) = segmentation.get_source_image_uids()
    source = pydicom.dcmread(films / f"{names[film]}.dcm")
    assert (study, series) == (
      source.StudyInstanceUID,
      source.SeriesInstanceUID,
    )
    mask = np.asarray(Image.open(tmp_path / f"out/{names[film]}_mask.png")) > 0
    assert mask.shape == (source.Rows, source.Columns)
    assert 0.02 < mask.mean() < 0.9
    pixels = segmentation.get_pixels_by_source_instance([film])
    np.testing.assert_array_equal(pixels[0, ..., 0] > 0, mask)
    bits = _dcmtk_bits(content, tmp_path / names[film], mask.shape)
    np.testing.assert_array_equal(bits > 0, mask)
    assert header.PatientName == source.PatientName
    print(names[film], mask.shape, f"{mask.mean():.3f} of pixels")
  for header, _ in by_kind[SC]:
    (item,) = header.SourceImageSequence
    assert item.ReferencedSOPInstanceUID in names
  for header, _ in by_kind[SR]:
    (study,) = header.CurrentRequestedProcedureEvidenceSequence
    seen = {
      item.ReferencedSOPInstanceUID
      for series in study.ReferencedSeriesSequence
      for item in series.ReferencedSOPSequence
    }
    assert seen & {*names}
    assert seen & {h.SOPInstanceUID for h, _ in by_kind[SEG]}
  if shutil.which("dciodvfy"):
    for kind in (SEG, SC, SR):
      for _, content in by_kind[kind]:
        assert _validated(content, tmp_path / "one.dcm") == []

  again = call(run, f"--url={server.url}", "--once", module="pacs")
  assert "0 stored, 2 had results" in again.stdout
  print(first.stdout, first.stderr, again.stdout, sep="\n")
  assert len(server.files()) == len(contents)


def test_a_wrong_password_and_a_wrong_address(server, films, monkeypatch):
  for user, url, word in (
    ("nobody", server.url, "401"),
    (orthanc.USER, f"{server.root}/elsewhere", "404"),
    (orthanc.USER, "http://127.0.0.1:9", "cannot be reached"),
  ):
    client = dicomweb.Server(url, user=user, password=orthanc.PASSWORD)
    with pytest.raises(dicomweb.ConfigError, match=word):
      client.series({"Modality": "CR"})


def test_results_are_found_page_by_page(server, films):
  """Orthanc is asked until it has no more."""
  _send(server, films)
  client = dicomweb.Server(
    server.url, user=orthanc.USER, password=orthanc.PASSWORD
  )
  assert len(client.instances("1.2.826.8.0")) >= 2
  assert os.environ.get(dicomweb.PASSWORD) is None
