"""The GPU script runs to its end on a CPU, tiny."""

import json
import pathlib
import subprocess
import sys

import pytest


@pytest.mark.slow
def test_smoke(tmp_path):
  parts = "convolutions,kernels,calls,seeds,buffers,compilation"
  done = subprocess.run(
    [
      *(sys.executable, "-m", "benchmarks.gpu", "--smoke"),
      *(f"--parts={parts}", f"--json={tmp_path / 'gpu.json'}"),
    ],
    cwd=pathlib.Path(__file__).parents[2],
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 0, done.stderr
  assert done.stdout.splitlines()[-1] == "6 parts, failed: none"
  found = json.loads((tmp_path / "gpu.json").read_text())
  assert len(found["convolutions"]["rows"]) == 2
  assert set(found["calls"]) == {"1 a call", "2 a call"}
  assert set(found["seeds"]) == {"one after the other", "unrolled", "vmap"}
