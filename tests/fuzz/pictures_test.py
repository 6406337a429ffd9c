"""Damaged pictures are read or refused: 100,000 of them with -m slow.

To see what one number does:

  python -m tests.fuzz.pictures_test compressed 17 18
"""

import collections
import contextlib
import os
import resource
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pydicom")

from fixtures import mutated_pictures

from apppau_jax.errors import DataError
from apppau_jax.imaging import decode, masks

ROOT = Path(__file__).parents[2]
FILES = {
  "plain": mutated_pictures.plain,
  "compressed": mutated_pictures.compressed,
}
SECONDS = 20  # for one picture; a crash costs two starts of a process
MEMORY = 4 * 2**30


def _fault(content):
  """Returns how reading fails otherwise than it should, or ""."""
  began = time.monotonic()
  try:
    image = decode.read_grey(content, name="x")
    with contextlib.suppress(DataError):
      masks.read_mask(content, name="x")
  except DataError as error:
    image = None
    if "\n" in str(error) or " 0x" in str(error):
      return f"message {str(error)[:200]!r}"
  except BaseException as error:
    return f"{type(error).__name__}: {str(error)[:100]}"
  if image is not None and not (
    image.dtype == np.uint8 and image.ndim == 2 and image.size
  ):
    return f"{image.dtype} {image.shape}"
  late = time.monotonic() - began > SECONDS
  return f"more than {SECONDS} seconds" if late else ""


def violations(kind, seeds):
  """Returns the seeds of each distinct fault."""
  found = collections.defaultdict(list)
  for seed in seeds:
    name, content = mutated_pictures.mutated(seed, FILES[kind]())
    if fault := _fault(content):
      found[f"{name}: {fault}"].append(seed)
  return dict(found)


@pytest.mark.parametrize("kind", FILES)
def test_valid_pictures_are_read(kind):
  for name, content in FILES[kind]().items():
    if name not in ("png_alpha", "png_text"):
      image = decode.read_grey(content, name=name)
      assert image.shape == mutated_pictures.GREY.shape, name


@pytest.mark.parametrize("action", ["ignore", "error"])
def test_damaged_pictures_are_read_or_refused(action):
  with warnings.catch_warnings():
    warnings.simplefilter(action)
    assert violations("plain", range(1500)) == {}


@pytest.mark.filterwarnings("ignore")
def test_damaged_pictures_of_another_process(request):
  assert violations("compressed", range(60)) == {}


@pytest.mark.slow
@pytest.mark.parametrize(
  ("kind", "count"), [("plain", 95_000), ("compressed", 5_000)]
)
def test_a_hundred_thousand_damaged_pictures(kind, count):
  """In a process with a limit of memory, which none of them may end."""
  done = subprocess.run(
    [sys.executable, "-m", "tests.fuzz.pictures_test", kind, "0", str(count)],
    cwd=ROOT, env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"},
    capture_output=True, text=True, check=False, timeout=7200,
  )  # fmt: skip
  assert done.returncode == 0, done.stderr[-2000:]
  assert done.stdout == f"{count} read\n"


def main(kind, first, end):
  """Prints the violations of some seeds."""
  warnings.simplefilter("ignore")
  resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
  for start in range(int(first), int(end), 100):
    seeds = range(start, min(start + 100, int(end)))
    print(f"seeds from {start}", file=sys.stderr, flush=True)
    for fault, found in violations(kind, seeds).items():
      print(fault, found, flush=True)
  print(f"{int(end) - int(first)} read")


if __name__ == "__main__":
  main(*sys.argv[1:])
