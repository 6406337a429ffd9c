import errno
import json

import pytest

from apppau_jax import files
from apppau_jax.datasets import prepare, prepared
from apppau_jax.datasets.dataset import Dataset
from apppau_jax.errors import ConfigError, DataError, ResourceError

IDS = ("MCUCXR_0001_0", "MCUCXR_0002_0", "MCUCXR_0113_1")


@pytest.fixture
def raw(raw_sets, tmp_path):
  return raw_sets.montgomery(tmp_path / "raw", IDS)


@pytest.fixture
def run(raw, tmp_path):
  def call(raw_dir=raw, **options):
    options = {"allow_missing": True, "data_dir": tmp_path, **options}
    return prepare.prepare("montgomery", raw_dir=raw_dir, **options)

  return call


def _count(tmp_path):
  return len(Dataset("montgomery", data_dir=tmp_path).ids)


def test_the_record_says_what_was_found(run, tmp_path):
  summary = run()
  assert not summary["reused"]
  folder = tmp_path / "montgomery/128/1.0.0"
  assert summary["folder"] == str(folder)
  record = json.loads((folder / "prepare.json").read_text())
  assert record["counts"] == {
    "images": 3, "masks": 3, "normal": 2, "tb": 1, "unlabelled": 0,
    "missing": 135,
  }  # fmt: skip
  assert len(record["missing"]) == 135
  assert any("array_record" in name for name in record["files"])
  assert not (tmp_path / "montgomery/128/.building").exists()


def test_folder_and_zip_give_the_same_files(run, raw, raw_sets, tmp_path):
  archive = raw_sets.zipped(raw, tmp_path / "NLM-MontgomeryCXRSet.zip")
  from_folder = run()
  from_zip = run(raw_dir=archive, data_dir=tmp_path / "other")
  for key in (
    "files",
    "content_sha256",
    "counts",
    "source_sha256",
    "missing",
    "verdicts",
  ):
    assert from_folder[key] == from_zip[key], key
  assert run(raw_dir=archive)["reused"]


def test_same_source_is_reused_another_is_rebuilt(run, raw, raw_sets, tmp_path):
  run()
  assert run()["reused"]
  assert not run(resolution=256)["reused"]
  raw_sets.montgomery(raw, ["MCUCXR_0003_0"])
  assert not run()["reused"]
  assert _count(tmp_path) == 4


def test_damaged_or_outdated_is_rebuilt(run, tmp_path, monkeypatch):
  folder = tmp_path / "montgomery/128/1.0.0"
  run()
  (shard,) = folder.glob("*.array_record*")
  content = bytearray(shard.read_bytes())
  content[len(content) // 2] ^= 1
  shard.write_bytes(content)
  assert not run()["reused"]
  (folder / prepared.RECORD).unlink()
  assert not run()["reused"]
  monkeypatch.setattr(prepared, "FORMAT", prepared.FORMAT + 1)
  assert not run()["reused"]
  assert run()["reused"]


def test_failed_rebuild_keeps_the_old_one(run, raw, tmp_path):
  run()
  image = raw / f"MontgomerySet/CXR_png/{IDS[0]}.png"
  whole = image.read_bytes()
  image.write_bytes(whole[:-20])
  with pytest.raises(DataError, match="1 of 3 images"):
    run()
  assert _count(tmp_path) == 3
  problems = tmp_path / "montgomery/128/problems.json"
  (verdict,) = json.loads(problems.read_text())["verdicts"]
  assert (verdict["id"], verdict["level"]) == (IDS[0], "error")
  image.write_bytes(whole)
  (raw / f"MontgomerySet/CXR_png/{IDS[1]}.png").unlink()
  assert run()["counts"]["images"] == 2
  assert not problems.exists()


def test_what_a_killed_build_left_is_no_obstacle(run, tmp_path):
  left = tmp_path / "montgomery/128/.building/montgomery/128/1.0.0"
  left.mkdir(parents=True)
  (left / "dataset_info.json").write_text("{half")
  (tmp_path / "montgomery/128/1.0.0").mkdir()
  assert run()["counts"]["images"] == 3
  assert _count(tmp_path) == 3


def test_full_disk_is_said_before_and_during(run, tmp_path, monkeypatch):
  def full(*_args, **_kwargs):
    raise OSError(errno.ENOSPC, "No space left on device")

  with monkeypatch.context() as patch:
    patch.setattr(
      prepare.shutil, "disk_usage",
      lambda _: type("Usage", (), {"free": 1000}),
    )  # fmt: skip
    with pytest.raises(ResourceError, match=r"need \S+ bytes.*1,000 bytes"):
      run()
  with monkeypatch.context() as patch:
    patch.setattr(files, "write_json", full)
    with pytest.raises(ResourceError, match="disk filled up"):
      run()
  assert not (tmp_path / "montgomery/128/.building").exists()
  assert run()["counts"]["images"] == 3


def test_wrong_arguments_are_refused_before_anything_is_written(run, tmp_path):
  before = sorted(tmp_path.iterdir())
  with pytest.raises(ConfigError, match=r"100 pixels.*128, 256, 512"):
    run(resolution=100)
  with pytest.raises(ConfigError, match=r"no dataset 'jsrtt'.*mean jsrt"):
    prepare.prepare("jsrtt", raw_dir=tmp_path, data_dir=tmp_path)
  with pytest.raises(ConfigError, match="ccx is a view"):
    prepare.prepare("ccx", raw_dir=tmp_path, data_dir=tmp_path)
  with pytest.raises(ConfigError, match="montgomery needs --raw_dir"):
    run(raw_dir=None)
  with pytest.raises(DataError, match="does not exist"):
    run(raw_dir=tmp_path / "nowhere")
  assert sorted(tmp_path.iterdir()) == before


def test_rebuild_that_cannot_be_moved_in_keeps_the_old(
  run, raw, raw_sets, tmp_path, monkeypatch
):
  run()
  raw_sets.montgomery(raw, ["MCUCXR_0003_0"])
  rename = prepare.Path.rename

  def refuse(self, target):
    if ".building" in self.parts and self.name != "old":
      raise PermissionError(errno.EACCES, "refused")
    return rename(self, target)

  # TFDS renames through another class; only the swap is refused.
  with monkeypatch.context() as patch:
    patch.setattr(prepare.Path, "rename", refuse)
    with pytest.raises(DataError, match="refused"):
      run()
  assert _count(tmp_path) == 3


@pytest.mark.parametrize("kept", [(), ("features.json", "label.labels.txt")])
def test_a_record_that_lists_too_few_files_is_not_verified(run, tmp_path, kept):
  folder = tmp_path / run()["folder"]
  path = folder / prepared.RECORD
  record = json.loads(path.read_text())
  record["files"] = {name: record["files"][name] for name in kept}
  path.write_text(json.dumps(record))
  with pytest.raises(DataError, match="Rebuild it"):
    _count(tmp_path)


def test_what_a_killed_build_left_beside_its_result_is_removed(run, tmp_path):
  """A kill after the swap: the old data are still in the staging folder."""
  run()
  parent = tmp_path / "montgomery/128"
  (parent / ".building" / "old").mkdir(parents=True)
  assert run()["reused"]
  assert not (parent / ".building").exists()
