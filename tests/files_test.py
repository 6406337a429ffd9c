"""A file is replaced whole or not at all."""

import json
import os

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
