"""Where the bridge is used, and what is said where it is not."""

import subprocess
import sys

import pytest

from apppau_jax.onednn import bridge

pytestmark = pytest.mark.skipif(
  bool(bridge.missing()), reason=f"no oneDNN: {bridge.missing()}"
)


def test_several_devices_have_xlas():
  said = subprocess.run(
    [
      sys.executable,
      "-c",
      "from apppau_jax.onednn import bridge; print(bridge.why_not())",
    ],
    env={"XLA_FLAGS": "--xla_force_host_platform_device_count=2"},
    capture_output=True,
    text=True,
    check=True,
  ).stdout
  assert "2 devices" in said


@pytest.mark.parametrize(
  ("lost", "named"),
  [("_bridge", "compile"), ("_library", "onednn-cpu-gomp")],
)
def test_says_what_is_missing(monkeypatch, lost, named):
  monkeypatch.setattr(bridge, lost, lambda: None)
  assert named in bridge.missing.__wrapped__()


def test_a_bridge_of_another_version_is_not_used(monkeypatch):
  monkeypatch.setattr(bridge, "_CALLS", ("a_call_to_come",))
  assert "another version" in bridge.missing.__wrapped__()


def test_a_library_that_is_none_is_named(monkeypatch, tmp_path):
  path = tmp_path / "libdnnl.so.3"
  path.write_bytes(b"no library")
  monkeypatch.setattr(bridge, "_library", lambda: path)
  assert "libdnnl.so.3" in bridge.missing.__wrapped__()
