"""Data validation as a user calls it."""

import json
import shutil
import subprocess
import sys

import numpy as np
from PIL import Image

from apppau_jax.datasets import split_protocols


def _run(*flags):
  return subprocess.run(
    [sys.executable, "-m", "launch.verify_data", *flags],
    capture_output=True, text=True, check=False,
  )  # fmt: skip


def test_prepared_phantoms_are_clean_and_the_verdict_is_kept(
  data_dir, tmp_path
):
  # A copy: what is shared between tests is not written to.
  shutil.copytree(data_dir / "phantom", tmp_path / "phantom")
  out = tmp_path / "out"
  done = _run("--dataset=phantom", f"--data_dir={tmp_path}", f"--out={out}")
  assert done.returncode == 0, done.stderr
  assert "24 images examined: errors 0, warnings 0, notes 0" in done.stdout
  assert "examining phantom: 24/24\n" in done.stderr
  assert json.loads((out / "verify.json").read_text())["findings"] == []
  assert "All checks passed" in (out / "verify.html").read_text()
  kept = json.loads((tmp_path / "verify/phantom-128.json").read_text())
  (record,) = tmp_path.glob("phantom/128/*/prepare.json")
  digest = json.loads(record.read_text())["content_sha256"]
  assert kept["content_sha256"] == digest


def test_errors_end_with_status_3_and_are_all_reported(data_dir, tmp_path):
  raw = shutil.copytree(data_dir / "raw/phantom", tmp_path / "raw")
  folder = raw / "MontgomerySet/CXR_png"
  first, second, third = sorted(folder.iterdir())[:3]
  first.write_bytes(first.read_bytes()[:-40])
  with Image.open(second) as image:
    Image.fromarray(255 - np.asarray(image)).save(second)
  third.write_bytes(sorted(folder.iterdir())[4].read_bytes())
  out = tmp_path / "out"
  done = _run("--dataset=phantom", f"--raw_dir={raw}", f"--out={out}")
  assert done.returncode == 3
  (line,) = [x for x in done.stderr.splitlines() if x.startswith("error: ")]
  assert "phantom has" in line
  assert "first (readable)" in line
  assert "Traceback" not in done.stderr
  stored = json.loads((out / "verify.json").read_text())
  found = {(f["level"], f["check"]) for f in stored["findings"]}
  assert found >= {("error", "readable"), ("error", "polarity")}
  assert "twins" in {check for _, check in found}
  assert first.stem in (out / "verify.html").read_text()
  assert not (tmp_path / "verify").exists()


def test_public_sets_are_asked_for_both_splits():
  for members, given, expected in (
    (("montgomery", "jsrt"), False, ["paper", "idiap"]),
    (("montgomery", "phantom"), False, ["paper"]),
    (("folder:a",), True, ["given"]),
  ):
    assert split_protocols.offered(members, given=given) == expected


def test_help_has_the_flags_that_commands_share():
  done = _run("--help")
  assert done.returncode == 0
  for flag in ("--raw_dir", "--id_column", "--label_column"):
    assert f"  {flag}: " in done.stdout
