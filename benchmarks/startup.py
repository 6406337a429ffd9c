"""Measure the time from the start of the process to the first step.

  python -m benchmarks.startup --json=startup.json

Each run trains phantoms by `configs/phantom.py:quick` in a new folder and is
stopped when its first step is in metrics.jsonl. An uncounted first run prepares
the data and fills the compilation cache.
"""

import os
import pathlib
import subprocess
import sys
import tempfile
import time

from absl import app, flags

from benchmarks import round_robin

_QUICK = flags.DEFINE_bool("quick", False, "Count three runs only.")
_JSON = flags.DEFINE_string("json", None, "File to write the results to.")
_CONFIG = flags.DEFINE_string(
  "config", "configs/phantom.py:quick", "Configuration of a run."
)
_RUNS = flags.DEFINE_integer("runs", 10, "Number of counted runs.")
_LIMIT = 600.0  # seconds


def main(argv) -> None:
  """Measure; print the table."""
  del argv
  runs = 3 if _QUICK.value else _RUNS.value
  with tempfile.TemporaryDirectory() as folder:
    root = pathlib.Path(folder)
    first = _to_first_step(root, "warm-up")
    found = [_to_first_step(root, f"run-{i}") for i in range(runs)]
  imports = [_imports() for _ in range(3)]
  values = {
    "first step, warm": round_robin.summary([wall for wall, _ in found]),
    "  of it CPU time": round_robin.summary([cpu for _, cpu in found]),
    "imports alone": round_robin.summary([wall for wall, _ in imports]),
    "  of it CPU time ": round_robin.summary([cpu for _, cpu in imports]),
  }
  round_robin.show(
    ("what", "ms (quartiles)"),
    [(name, round_robin.milliseconds(value)) for name, value in values.items()],
  )
  print(f"first run, drawing phantoms and compiling: {first[0]:.1f} s")
  round_robin.write(_JSON.value, {"seconds": values, "first_run": first[0]})


def _to_first_step(root: pathlib.Path, name: str) -> tuple[float, float]:
  """Return the seconds until the first step is logged, and the CPU's."""
  run = root / name
  command = [
    *(sys.executable, "-m", "launch.train", f"--config={_CONFIG.value}"),
    *(f"--workdir={run}", f"--config.data.data_dir={root / 'data'}"),
  ]
  began = time.perf_counter()
  with subprocess.Popen(
    command, cwd=round_robin.ROOT, stderr=subprocess.PIPE, text=True
  ) as process:
    lines = run / "metrics.jsonl"
    while not (lines.exists() and lines.stat().st_size):
      if process.poll() is not None or time.perf_counter() - began > _LIMIT:
        assert process.stderr is not None
        raise RuntimeError(process.stderr.read())
      time.sleep(0.01)
    wall = time.perf_counter() - began
    cpu = _cpu_seconds(process.pid)
    process.kill()
  return wall, cpu


def _cpu_seconds(pid: int) -> float:
  """Return user and system time of a process; nan without /proc."""
  try:
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2]
  except OSError:
    return float("nan")
  ticks = sum(map(int, fields.split()[11:13]))
  return ticks / os.sysconf("SC_CLK_TCK")


def _imports() -> tuple[float, float]:
  began, before = time.perf_counter(), os.times()
  command = [sys.executable, "-c", "from launch import train"]
  subprocess.run(command, cwd=round_robin.ROOT, check=True)
  after = os.times()
  cpu = after.children_user + after.children_system
  cpu -= before.children_user + before.children_system
  return time.perf_counter() - began, cpu


if __name__ == "__main__":
  app.run(main)
