"""Contenders that take turns, each in its own process, and their results.

The thread pools and allocators of two frameworks in one process disturb each
other, and the speed of a machine drifts. So each contender waits in its own
process, all take a turn in every round, and ratios are computed per round.
"""

import datetime
import importlib.metadata
import json
import os
import pathlib
import platform
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from apppau_jax import progress
from apppau_jax.experiment import provenance

ROOT = pathlib.Path(__file__).parents[1]
_MEMORY = "XLA_PYTHON_CLIENT_MEM_FRACTION"


class Contender:
  """A child process that executes one turn for every line it receives."""

  def __init__(
    self,
    name: str,
    spec: Mapping[str, Any],
    environment: Mapping[str, str] | None = None,
  ):
    self.name = name
    self.turns: list[dict[str, float]] = []
    self.facts: dict[str, Any] = {}
    self._process = subprocess.Popen(
      [sys.executable, "-m", "benchmarks.worker", json.dumps(dict(spec))],
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      text=True,
      cwd=ROOT,
      env={**os.environ, **(environment or {})},
      start_new_session=True,  # so that torch's compiler processes end too
    )

  def wait_until_warm(self, *, limit: float | None = None) -> None:
    """Wait until it has compiled; stop it after `limit` seconds.

    Raises:
      RuntimeError: The process ended.
    """
    timer = threading.Timer(limit or 0.0, self._kill)
    if limit is not None:
      timer.start()
    try:
      self.facts |= self._read()
    finally:
      timer.cancel()

  def _kill(self) -> None:
    os.killpg(self._process.pid, signal.SIGKILL)

  def turn(self) -> None:
    """Execute one turn and store its seconds."""
    self.turns.append(self._ask("turn"))

  def stop(self) -> None:
    """End the process and store its peak memory."""
    self.facts |= self._ask("end")
    self._close()

  def _ask(self, request: str) -> dict[str, Any]:
    assert self._process.stdin is not None
    self._process.stdin.write(request + "\n")
    self._process.stdin.flush()
    return self._read()

  def _read(self) -> dict[str, Any]:
    assert self._process.stdout is not None
    for line in self._process.stdout:
      if line.startswith("{"):  # other lines are messages of libraries
        return json.loads(line)
    self._close()
    raise RuntimeError(f"contender {self.name} ended; see its errors above")

  def _close(self) -> None:
    with self._process:  # closes the pipes and waits
      pass


def compete(
  specs: Mapping[str, Mapping[str, Any]],
  *,
  rounds: int,
  limit: float | None = None,
) -> list[Contender]:
  """Start all contenders, then let them take turns.

  Args:
    specs: The `benchmarks.spec.Spec` of each contender, by name.
    rounds: Number of turns of each.
    limit: Seconds to compile, for a machine with an accelerator and many cores:
      all contenders then start at once and share the device's memory, and those
      that are not warm in time, or end, are left out. None starts them one
      after the other.
  """
  with progress.bar("contenders started") as report:
    contenders = []
    if limit is not None:
      share = os.environ.get(_MEMORY, f"{0.9 / len(specs):.3f}")
      contenders = [
        Contender(name, spec, {_MEMORY: share}) for name, spec in specs.items()
      ]
      contenders = _warm(contenders, limit=limit)
    else:
      for name, spec in specs.items():
        # On a CPU, another process compiles first, as for launch.train.
        cold = _precompiled(name, spec) if spec.get("by") == "ours" else {}
        contenders.append(Contender(name, spec))
        contenders[-1].wait_until_warm()
        contenders[-1].facts |= cold
        report(len(contenders), len(specs))
  with progress.bar("rounds") as report:
    for number in range(rounds):
      for contender in contenders:
        contender.turn()
      report(number + 1, rounds)
  for contender in contenders:
    contender.stop()
  return contenders


def _precompiled(name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
  """Let a process compile the programs of `spec`; return its seconds."""
  contender = Contender(name, spec)
  contender.wait_until_warm()
  contender.stop()
  times = ("compile_s", "first_turn_s")
  return {key: contender.facts[key] for key in times if key in contender.facts}


def _warm(contenders: Sequence[Contender], *, limit: float) -> list[Contender]:
  """Return the contenders that are warm in time, in their order."""
  began, warm = time.monotonic(), []
  for contender in contenders:
    left = limit - (time.monotonic() - began)
    try:
      contender.wait_until_warm(limit=max(left, 0.1))
      warm.append(contender)
    except RuntimeError:
      print(f"left out, ended or not warm in time: {contender.name}")
  return warm


def summary(values: Sequence[float]) -> dict[str, float]:
  """Return median, quartiles and number of values."""
  low, middle, high = (
    statistics.quantiles(values, n=4, method="inclusive")
    if len(values) > 1
    else values * 3
  )
  return {"median": middle, "q1": low, "q3": high, "n": len(values)}


def ratio(ours: Contender, peer: Contender, *, key: str = "wall") -> float:
  """Return the median over rounds of peer / ours; above 1 ours is faster."""
  return statistics.median(
    b[key] / a[key] for a, b in zip(ours.turns, peer.turns)
  )


def row(contender: Contender, *, images: int) -> dict[str, Any]:
  """Return the results of a contender whose turn processes `images`."""
  wall = summary([turn["wall"] for turn in contender.turns])
  cpu = summary([turn["cpu"] for turn in contender.turns])
  found = {
    "contender": contender.name,
    "wall_s": wall,
    "cpu_s": cpu,
    "images_per_s": images / wall["median"],
    **contender.facts,
  }
  if "flops" in contender.facts and "matrix_rate" in contender.facts:
    done = contender.facts["flops"] / wall["median"]
    found["share_of_matrix_rate"] = done / contender.facts["matrix_rate"]
  return found


def environment() -> dict[str, Any]:
  """Return the conditions of a measurement: machine, versions, load, date."""
  versions = {}
  for name in ("jax", "jaxlib", "flax", "torch", "numpy", "pillow"):
    try:
      versions[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
      versions[name] = "absent"
  return {
    "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    "command": " ".join(["python -m", *_module(), *sys.argv[1:]]),
    "commit": provenance.commit(),
    "machine": f"{platform.machine()}, {os.cpu_count()} cores, {_processor()}",
    "load_average": os.getloadavg(),
    "python": platform.python_version(),
    **versions,
  }


def _module() -> list[str]:
  return [f"benchmarks.{pathlib.Path(sys.argv[0]).stem}"]


def _processor() -> str:
  try:
    text = pathlib.Path("/proc/cpuinfo").read_text()
  except OSError:
    return platform.processor()
  found = dict(
    (part.strip() for part in line.split(":", 1))
    for line in text.split("\n\n")[0].splitlines()
    if ":" in line
  )
  wide = "avx512f" in found.get("flags", "")
  return found.get("model name", "") + (", AVX-512" if wide else "")


def show(headings: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
  """Print a table in Markdown."""
  print("| " + " | ".join(headings) + " |")
  print("|" + "---|" * len(headings))
  for line in lines:
    print("| " + " | ".join(line) + " |", flush=True)


def milliseconds(found: Mapping[str, float]) -> str:
  """Return the median and quartiles of seconds, in milliseconds."""
  return (
    f"{found['median'] * 1e3:.1f} ({found['q1'] * 1e3:.1f} to "
    f"{found['q3'] * 1e3:.1f})"
  )


def write(path: str | None, results: Mapping[str, Any]) -> None:
  """Write the results as JSON, if there is a path."""
  if path:
    text = json.dumps({"environment": environment(), **results}, indent=1)
    pathlib.Path(path).write_text(text + "\n")
