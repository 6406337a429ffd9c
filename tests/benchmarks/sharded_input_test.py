"""Each of two processes reads half of the bytes."""

import json
import pathlib
import subprocess
import sys

import pytest


@pytest.mark.slow
def test_the_bytes_are_shared(tmp_path):
  subprocess.run(
    [
      *(sys.executable, "-m", "benchmarks.sharded_input", "--films=16"),
      *("--side=128", "--steps=2", "--pause=0.01"),
      f"--json={tmp_path / 'found.json'}",
    ],
    cwd=pathlib.Path(__file__).parents[2],
    check=True,
  )
  found = json.loads((tmp_path / "found.json").read_text())["processes"]
  whole = found["1"]["bytes_a_step"]
  assert whole > 16 * 1000
  for count in (2, 4):
    assert found[str(count)]["bytes_a_step"] == pytest.approx(whole / count)
