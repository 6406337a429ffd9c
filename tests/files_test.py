"""A file is replaced whole or not at all."""

import json
import os
import subprocess
import sys

import pytest

from apppau_jax import files


def test_json_is_replaced_whole(tmp_path):
  path = tmp_path / "deep" / "x.json"
  files.write_json(path, {"a": [1, 2]})
  for bad in ({"a": object()}, {"a": float("nan")}):
    with pytest.raises((TypeError, ValueError)):
      files.write_json(path, bad)
  assert json.loads(path.read_text()) == {"a": [1, 2]}
  assert [p.name for p in path.parent.iterdir()] == ["x.json"]


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
  path = tmp_path / "x"
  files.write_bytes(path, b"old")

  def full(*args):
    raise OSError("no space left on device")

  monkeypatch.setattr(os, "fsync", full)
  with pytest.raises(OSError, match="no space"):
    files.write_bytes(path, b"new")
  assert path.read_bytes() == b"old"
  assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_names_as_long_as_a_disk_takes(tmp_path):
  path = tmp_path / ("x" * 255)
  files.write_bytes(path, b"content")
  assert path.read_bytes() == b"content"


DIES = """
import os, pathlib, signal, sys
from apppau_jax import files
os.replace = lambda *paths: os.kill(os.getpid(), signal.SIGKILL)
files.write_bytes(pathlib.Path(sys.argv[1]) / "x", b"half")
"""


def test_what_a_killed_process_left_is_removed(tmp_path):
  """But not the file of a process that lives, nor a young one of elsewhere."""
  folder = tmp_path / "below"
  subprocess.run([sys.executable, "-c", DIES, str(folder)], check=False)
  (left,) = folder.iterdir()
  host, _, number = left.name.split("-")
  mine = folder / f"{host}-{os.getpid()}-{number}"
  far, old = (folder / f".{h}-{os.getpid()}-0.partial" for h in ("far", "old"))
  for path in (mine, far, old):
    path.write_bytes(b"")
  os.utime(old, (0, 0))
  files.remove_leftovers(tmp_path)
  assert left.exists()
  files.remove_leftovers(tmp_path, below=True)
  assert {*folder.iterdir()} == {mine, far}
