"""Mistakes in the flags of `launch.pacs`; deploy/orthanc_test.py runs it."""

import subprocess
import sys

import pytest
from fixtures.commands import ROOT


@pytest.mark.parametrize(
  ("arguments", "named"),
  [
    (["--workdir=runs/mc"], "--url"),
    (["--url=http://pacs.example/dicom-web"], "https"),
  ],
)
def test_flags_that_cannot_be_used(arguments, named):
  done = subprocess.run(
    [sys.executable, "-m", "launch.pacs", *arguments],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 2, done.stderr
  assert named in done.stderr
  assert "Traceback" not in done.stderr
