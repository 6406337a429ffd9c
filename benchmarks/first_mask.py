"""Measure the time from the start of launch.predict to the mask of one film.

  python -m benchmarks.first_mask --workdir=runs/mc --rounds=5

Beside it `import jax` and reading the film, in a process of its own. `cold` has
an empty compilation cache, `warm` that of the run before; with --nocold the
cache is filled once, and not measured. CPU time is user and
system time of the process and of those that it started.
"""

import os
import pathlib
import subprocess
import sys
import tempfile
import time

from absl import app, flags
from PIL import Image

from apppau_jax import phantoms
from benchmarks import round_robin

_WORKDIR = flags.DEFINE_string("workdir", "box", "A trained run or model file.")
_ROUNDS = flags.DEFINE_integer("rounds", 5, "Number of rounds.")
_COLD = flags.DEFINE_bool("cold", True, "Measure with an empty cache too.")
_JSON = flags.DEFINE_string("json", None, "File to write the results to.")
_READING = """
import sys, jax
from apppau_jax.imaging import decode
from pathlib import Path
decode.read_grey(Path(sys.argv[1]))
"""


def main(argv) -> None:
  """Measure in turns; print the table."""
  del argv
  with tempfile.TemporaryDirectory() as folder:
    root = pathlib.Path(folder)
    film = phantoms.make_phantom(seed=0, index=0, size=(1024, 1024)).image
    Image.fromarray(film).save(root / "film.png")
    found: dict[str, list[tuple[float, float]]] = {}
    predict = [
      *(sys.executable, "-m", "launch.predict"),
      *(f"--workdir={_WORKDIR.value}", f"--input={root / 'film.png'}"),
    ]
    cache = root / "cache"
    if not _COLD.value:
      _run([*predict, f"--output={root / 'first'}"], cache)
    for i in range(_ROUNDS.value):
      reading = [sys.executable, "-c", _READING, str(root / "film.png")]
      found.setdefault("import jax and read", []).append(_run(reading, root))
      if _COLD.value:
        cache = root / f"cache-{i}"
      for name in (*["predict, cold"] * _COLD.value, "predict, warm"):
        command = [*predict, f"--output={root / f'{name}-{i}'}"]
        found.setdefault(name, []).append(_run(command, cache))
  rows, values = [], {}
  for name, times in found.items():
    wall, cpu = (round_robin.summary([*each]) for each in zip(*times))
    values[name] = {"wall_s": wall, "cpu_s": cpu}
    shown = map(round_robin.milliseconds, (wall, cpu))
    rows.append((name, *shown))
  round_robin.show(("what", "ms (quartiles)", "CPU ms (quartiles)"), rows)
  round_robin.write(_JSON.value, {"seconds": values})


def _run(command: list[str], cache: pathlib.Path) -> tuple[float, float]:
  """Return the seconds of a command, and the CPU's."""
  environment = {**os.environ, "JAX_COMPILATION_CACHE_DIR": str(cache)}
  environment["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.5"
  began, before = time.perf_counter(), os.times()
  subprocess.run(
    command,
    cwd=round_robin.ROOT,
    env=environment,
    check=True,
    capture_output=True,
  )
  wall, after = time.perf_counter() - began, os.times()
  cpu = after.children_user + after.children_system
  return wall, cpu - before.children_user - before.children_system


if __name__ == "__main__":
  app.run(main)
