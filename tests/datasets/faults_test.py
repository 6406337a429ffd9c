"""Faults of files and disks that no single module is about, each planted."""

import errno
import os
import resource
import signal
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

import pytest

from apppau_jax.datasets import prepare, prepared
from apppau_jax.datasets.dataset import Dataset
from apppau_jax.datasets.raw_source import RawSource
from apppau_jax.errors import DataError, ResourceError

IDS = ("MCUCXR_0001_0", "MCUCXR_0002_0", "MCUCXR_0113_1")


@pytest.fixture
def raw(raw_sets, tmp_path):
  return raw_sets.montgomery(tmp_path / "raw", IDS)


@pytest.fixture
def run(raw, tmp_path):
  def call(raw_dir=raw, **options):
    options = {"allow_missing": True, "data_dir": tmp_path / "data", **options}
    return prepare.prepare("montgomery", raw_dir=raw_dir, **options)

  return call


def _unharmed(run, tmp_path):
  """Nothing half-made lies about, and the same call succeeds."""
  assert not list((tmp_path / "data").rglob(".building"))
  assert not list((tmp_path / "data").rglob(prepared.RECORD))
  assert run()["counts"]["images"] == 3


# Zips that lie.


def test_a_zip_that_understates_its_members_is_refused_unread(tmp_path):
  """The directory says 100 bytes; 3 MB would come out."""
  path = tmp_path / "bomb.zip"
  with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
    archive.writestr("CXR_png/M.png", bytes(3_000_000))
  content = path.read_bytes()
  size = (3_000_000).to_bytes(4, "little")
  assert content.count(size) == 2
  path.write_bytes(content.replace(size, (100).to_bytes(4, "little")))
  with (
    RawSource(path) as source,
    pytest.raises(DataError, match=r"bomb\.zip: CXR_png/M\.png cannot be read"),
  ):
    source.read(source.find("M.png"))


def test_a_bad_zip_does_not_hide_the_other_files(raw, tmp_path):
  (raw / "a.zip").write_bytes(b"PK\x03\x04 cut short")
  with zipfile.ZipFile(raw / "b.zip", "w") as archive:
    archive.writestr("good.png", b"x")
    archive.writestr("../../evil.png", b"x")
  faults = []
  with RawSource(raw, faults=faults) as source:
    assert source.find(f"{IDS[0]}.png", "CXR_png")
    assert source.find("good.png") is None  # nothing of such a zip is used
  assert len(faults) == 2
  assert "a.zip" in str(faults[0])
  assert "leads out of the archive" in str(faults[1])
  assert not list(tmp_path.rglob("evil*"))


# Folders that are not what they seem.


@pytest.mark.parametrize("kind", ["fifo", "dangling", "loop"])
def test_a_root_that_is_no_folder_does_not_hang(tmp_path, kind):
  path = tmp_path / "raw"
  if kind == "fifo":
    os.mkfifo(path)
  else:
    path.symlink_to(path if kind == "loop" else tmp_path / "nowhere")
  began = time.monotonic()
  with pytest.raises(DataError, match="raw"):
    prepare.prepare("montgomery", raw_dir=path, data_dir=tmp_path / "data")
  assert time.monotonic() - began < 1
  assert not (tmp_path / "data").exists()


def test_a_folder_that_may_not_be_written_is_said(run, tmp_path, monkeypatch):
  def refuse(self, *args, **kwargs):
    raise OSError(errno.EROFS, "Read-only file system", str(self))

  with monkeypatch.context() as patch:
    patch.setattr(Path, "mkdir", refuse)
    with pytest.raises(DataError, match=r"Read-only.*may write to"):
      run()
  assert run()["counts"]["images"] == 3


def test_reading_prepared_data_writes_nothing(run, tmp_path):
  run()

  def state():
    return {
      path: (path.stat().st_mtime_ns, path.stat().st_size)
      for path in (tmp_path / "data").rglob("*")
    }

  before = state()
  Dataset("montgomery", data_dir=tmp_path / "data").open(IDS)
  assert state() == before


# Disks and processes.


def test_no_room_for_the_shards_while_they_are_written(run, tmp_path):
  """A limit on the size of files stops array_record's own writes."""
  kept = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, kept[1]))
  try:
    with pytest.raises(ResourceError, match="disk filled up"):
      run(resolution=128)
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, kept)
  _unharmed(run, tmp_path)


def test_a_changed_file_of_equal_size_is_another_source(run, raw):
  """As with raw images without a header, which all have one size."""
  first = run()
  path = raw / "MontgomerySet/ClinicalReadings" / f"{IDS[0]}.txt"
  path.parent.mkdir()
  path.write_text("Patient's Sex: F")
  second = run()
  assert not second["reused"]
  stamp = path.stat()
  path.write_text("Patient's Sex: M")
  os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
  third = run()
  assert not third["reused"]
  sources = {r["source_sha256"] for r in (first, second, third)}
  assert len(sources) == 3
  assert run()["reused"]


_HOLD = """
import sys
from apppau_jax.datasets import prepare
def progress(done, total):
  print(done, flush=True)
  sys.stdin.read()
prepare.prepare("montgomery", raw_dir=sys.argv[1], data_dir=sys.argv[2],
                allow_missing=True, progress=progress)
"""


def test_a_second_process_waits_and_takes_over_when_the_first_is_killed(
  run, raw, tmp_path
):
  expected = run(data_dir=tmp_path / "alone")
  command = [sys.executable, "-c", _HOLD, raw, tmp_path / "data"]
  first = subprocess.Popen(
    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
  )
  second = threading.Thread(target=lambda: done.append(run()))
  done = []
  try:
    assert first.stdout.readline() == "1\n"  # it builds, and holds the lock
    second.start()
    second.join(0.3)
    assert second.is_alive()
  finally:
    first.send_signal(signal.SIGKILL)
    first.communicate()
  second.join(60)
  (record,) = done
  assert not record["reused"]
  assert record["content_sha256"] == expected["content_sha256"]
  _folder_is_clean(Path(record["folder"]))


def _folder_is_clean(folder):
  names = {path.name for path in folder.parent.iterdir()}
  assert names <= {folder.name, ".lock"}
