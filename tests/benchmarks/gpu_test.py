"""The GPU script runs to its end on a CPU, tiny."""

import json
import pathlib
import subprocess
import sys

import pytest


def _run(*flags):
  done = subprocess.run(
    [sys.executable, "-m", "benchmarks.gpu", *flags],
    cwd=pathlib.Path(__file__).parents[2],
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 0, done.stderr
  return done


@pytest.mark.slow
def test_smoke(tmp_path):
  parts = ("unet", "variants", "dice", "kernels", "convolutions", "compilation")
  done = _run(
    "--smoke",
    "--minutes=30",
    f"--parts={','.join(parts)}",
    f"--json={tmp_path / 'gpu.json'}",
  )
  found = json.loads((tmp_path / "gpu.json").read_text())
  assert done.stdout.splitlines()[-2] == "6 parts, failed: none", found
  rows = {row["contender"]: row for row in found["variants"]["rows"]}
  assert rows["ours"]["times_ours"] == 1.0
  assert {"3 seeds", "TF32", "1 step a call"} < set(rows)
  assert "ours, batch 128" in {r["contender"] for r in found["unet"]["rows"]}
  assert len(found["dice"]["differences"]) == 1
  assert len(found["convolutions"]["rows"]) == 2


def test_a_part_without_time_is_not_started(tmp_path):
  """Half of what it usually takes must be left."""
  path = tmp_path / "gpu.json"
  done = _run("--minutes=1", "--parts=unet,appau", f"--json={path}")
  assert done.stdout.splitlines()[-1] == "2 parts, skipped: unet, appau"
  found = json.loads(path.read_text())
  assert "left" in found["appau"]["skipped"]
