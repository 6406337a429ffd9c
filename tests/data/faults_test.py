"""Ways in which data go wrong, each with a test that plants it.

`COVERED` names the tests that live with the code they are about, so that none
is lost when one is renamed; what had no home there follows.
"""

import errno
import itertools
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from apppau_jax.data import examples, manifest, prepare, reading
from apppau_jax.data.source import RawSource
from apppau_jax.errors import DataError, ResourceError

IDS = ("MCUCXR_0001_0", "MCUCXR_0002_0", "MCUCXR_0113_1")
HERE = Path(__file__).parent
COVERED = {
  "root missing or empty": (
    "source_test.py::test_missing_root_is_named_and_not_created",
    "builder_test.py::test_empty_folder_names_what_was_expected",
  ),
  "half-downloaded zip": (
    "source_test.py::test_truncated_zip_is_named_and_kept",
    "source_test.py::test_damaged_member_is_named",
  ),
  "zip slip, absolute path, link member": (
    "source_test.py::test_members_that_lead_out_are_refused",
    "source_test.py::test_link_members_are_refused",
  ),
  "zip bomb": (
    "source_test.py::test_zip_bombs_are_refused_before_they_are_unpacked",
  ),
  "truncated PNG": (
    "reading_test.py::test_truncated_png_is_refused_wherever_it_is_cut",
    "builder_test.py::test_every_bad_file_is_named_and_nothing_is_built",
    "verify/raw_test.py::test_all_faults_are_found_in_one_run_worst_first",
  ),
  "picture bomb": ("reading_test.py::test_bomb_is_refused_from_its_header",),
  "16 bits, palette, transparency, CMYK, colour": (
    "reading_test.py::test_sixteen_bits_are_stretched_from_lowest_to_highest",
    "reading_test.py::test_palette_is_applied_not_the_indices",
    "reading_test.py::test_transparent_pixels_are_refused",
    "reading_test.py::test_cmyk_and_frames_are_refused",
    "reading_test.py::test_unequal_channels_are_refused_by_name",
    "reading_test.py::test_sixteen_bits_in_several_channels_are_not_cut_to_eight",
  ),
  "two files, or folders, of one name": (
    "source_test.py::test_of_two_that_differ_none_is_taken",
    "source_test.py::test_of_equal_copies_the_plain_one_with_the_shortest_path",
    "folder_test.py::test_two_folders_of_one_name_are_not_mixed",
    "folder_test.py::test_two_tables_that_differ_are_not_guessed_between",
  ),
  "constant image": (
    "builder_test.py::test_constant_image_is_remarked_on",
    "normalize_test.py::test_constant_images_become_zeros",
  ),
  "mask of other values": (
    "reading_test.py::test_masks_of_either_scale",
    "reading_test.py::test_mask_with_edge_values_is_refused_with_its_histogram",
  ),
  "mask of another size, turned image": (
    "builder_test.py::test_every_bad_file_is_named_and_nothing_is_built",
    "reading_test.py::test_grey_jpeg_is_read_and_its_rotation_refused",
  ),
  "one lung's mask missing": (
    "montgomery_test.py::test_one_sided_mask_is_missing_and_never_half_a_mask",
    "verify/raw_test.py::test_a_planted_fault_is_found_by_its_check",
  ),
  "another count of masks than published": (
    "shenzhen_test.py::"
    "test_published_without_mask_is_unlabelled_any_other_is_missing",
    "verify/checks_test.py::test_counts_name_the_ids_that_differ",
  ),
  "IMG of another size or byte order, or inverted": (
    "jsrt_test.py::test_another_number_of_bytes_is_refused",
    "jsrt_test.py::test_other_byte_order_and_more_bits_are_refused",
    "jsrt_test.py::test_bright_lungs_in_the_owners_file_are_remarked_on",
  ),
  "empty mask": (
    "reading_test.py::test_polarity_refuses_what_no_lungs_cover",
    "../losses/deep_supervision_test.py::test_empty_mask_is_finite",
    "../losses/tversky_test.py::test_smooth_decides_the_empty_mask",
    "../evaluation/metrics_test.py::test_both_masks_empty_is_a_perfect_answer",
  ),
  "one picture in two parts": (
    "verify/raw_test.py::test_one_picture_in_two_parts_is_a_leak",
    "../launch/verified_test.py::test_one_picture_in_two_parts_is_refused",
  ),
  "one patient in two parts": (
    "splits_test.py::test_check_finds_a_patient_in_two_parts",
    "verify/checks_test.py::test_a_patient_in_two_parts_is_an_error",
  ),
  "clinical text of new wording, or against the class": (
    "builder_test.py::test_readings_and_the_table_that_stands_in_for_them",
    "verify/raw_test.py::test_a_text_against_the_class_is_an_error",
  ),
  "pipes and dangling links": ("source_test.py::test_junk_is_not_listed",),
  "disk full before and while the record is written": (
    "prepare_test.py::test_full_disk_is_said_before_and_during",
  ),
  "two threads at once; a killed build": (
    "prepare_test.py::test_two_at_once_build_once",
    "prepare_test.py::test_what_a_killed_build_left_is_no_obstacle",
    "prepare_test.py::test_failed_rebuild_keeps_the_old_one",
  ),
  "prepared at another size or by other code": (
    "prepare_test.py::test_same_source_is_reused_another_is_rebuilt",
    "prepare_test.py::test_damaged_or_outdated_is_rebuilt",
  ),
  "flipped byte in the prepared shards": (
    "examples_test.py::test_flipped_byte_is_noticed_wherever_it_is",
    "prepare_test.py::test_damaged_or_outdated_is_rebuilt",
  ),
}


@pytest.mark.parametrize(
  "where", sorted(set(itertools.chain(*COVERED.values())))
)
def test_what_is_said_to_be_covered_is(where):
  file, name = where.split("::")
  text = (HERE / file).read_text(encoding="utf-8")
  assert re.search(rf"^def {name}\(", text, re.MULTILINE), where


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
  assert not list((tmp_path / "data").rglob(manifest.NAME))
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


def test_a_picture_bomb_takes_no_memory(encoded):
  data = bytearray(encoded(Image.fromarray(np.zeros((8, 8), np.uint8))))
  data[16:24] = (8000).to_bytes(4, "big") * 2  # 64 million pixels, and a few
  before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  with pytest.raises(DataError):
    reading.read_grey(bytes(data))
  after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  assert (after - before) * 1024 < 100e6


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


def test_pipes_among_prepared_files_do_not_hang(run, tmp_path):
  folder = Path(run()["folder"])
  os.mkfifo(folder / "pipe")
  (folder / "link").symlink_to(tmp_path / "nowhere")
  assert run()["reused"]
  (shard,) = folder.glob("*.array_record*")
  shard.unlink()
  os.mkfifo(shard)
  with pytest.raises(DataError, match="damaged"):
    examples.read_catalogue(
      tmp_path / "data", dataset="montgomery", resolution=128
    )


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
  where = {"dataset": "montgomery", "resolution": 128}
  examples.read_catalogue(tmp_path / "data", **where)
  examples.load_examples(tmp_path / "data", ids=IDS, **where)
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
from apppau_jax.data import prepare
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
