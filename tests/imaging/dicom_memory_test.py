"""The memory that a large film takes, in a process of its own."""

import os
import subprocess
import sys

import numpy as np
import pytest
from fixtures import dicom_files

_MEASURE = """
import pathlib, re, sys
from apppau_jax.imaging import decode

def peak():  # getrusage would start at the peak of the parent
  status = pathlib.Path("/proc/self/status").read_text()
  return int(re.search(r"VmHWM:\\s+(\\d+)", status)[1]) * 1024

small, large, bits = sys.argv[1:]
decode.read_film(pathlib.Path(small).read_bytes(), name="s", bits=int(bits))
imported = peak()
film = decode.read_film(
  pathlib.Path(large).read_bytes(), name="l", bits=int(bits)
)
print(peak() - imported, film.levels.shape[0], int(film.levels[-1, -1]))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("bits", [8, 16])
def test_a_film_of_64_megapixels_takes_400_mb_at_most(bits, tmp_path):
  side = 8000
  rows = np.arange(side, dtype=np.uint16)
  for name, size in (("small", 64), ("large", side)):
    values = np.add.outer(rows[:size], rows[:size]) % 4096
    values[-1, -1] = 4095
    (tmp_path / name).write_bytes(dicom_files.make(values))
  command = [sys.executable, "-c", _MEASURE]
  command += [tmp_path / "small", tmp_path / "large", str(bits)]
  found = subprocess.run(
    command,
    check=True,
    capture_output=True,
    text=True,
    env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
  )
  taken, height, white = map(int, found.stdout.split())
  assert (height, white) == (side, 2**bits - 1)
  assert taken <= 400e6
