"""Contenders in processes of their own, fed by turns; and what is reported.

Thread pools and allocators of two frameworks in one process disturb each other,
and a machine's speed drifts: so each contender waits in its own process, all
take a turn in every round, and ratios are taken round by round.
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
from apppau_jax.experiment import run_folder

ROOT = pathlib.Path(__file__).parents[1]
_MEMORY = "XLA_PYTHON_CLIENT_MEM_FRACTION"


class Contender:
  """A child process that does one turn for every line it is sent."""

  def __init__(self, name: str, spec: Mapping[str, Any]):
    self.name = name
    self.turns: list[dict[str, float]] = []
    self.facts: dict[str, Any] = {}
    self._process = subprocess.Popen(
      [sys.executable, "-m", "benchmarks.worker", json.dumps(dict(spec))],
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      text=True,
      cwd=ROOT,
      start_new_session=True,  # torch's compiling children end with it
    )

  def get_warm(self, *, patience: float | None = None) -> None:
    """Waits until it has compiled; after `patience` seconds it is ended.

    Raises:
      RuntimeError: it ended.
    """
    timer = threading.Timer(patience or 0.0, self._kill)
    if patience is not None:
      timer.start()
    try:
      self.facts |= self._read()
    finally:
      timer.cancel()

  def _kill(self) -> None:
    os.killpg(self._process.pid, signal.SIGKILL)

  def turn(self) -> None:
    """One turn; its seconds are kept."""
    self.turns.append(self._ask("turn"))

  def stop(self) -> None:
    """Ends the process, and learns its peak memory."""
    self.facts |= self._ask("end")
    self._close()

  def _ask(self, word: str) -> dict[str, Any]:
    assert self._process.stdin is not None
    self._process.stdin.write(word + "\n")
    self._process.stdin.flush()
    return self._read()

  def _read(self) -> dict[str, Any]:
    assert self._process.stdout is not None
    for line in self._process.stdout:
      if line.startswith("{"):  # others are a library's chatter
        return json.loads(line)
    self._close()
    raise RuntimeError(f"contender {self.name} ended: see its errors above")

  def _close(self) -> None:
    with self._process:  # closes the pipes and waits
      pass


def compete(
  specs: Mapping[str, Mapping[str, Any]],
  *,
  rounds: int,
  patience: float | None = None,
) -> list[Contender]:
  """Starts all, one after the other, then lets each take its turns.

  Args:
    specs: what each is to do, by name.
    rounds: turns of each.
    patience: for a machine with an accelerator and many cores: all start at
      once and share the device's memory, and who is not warm after so many
      seconds, or ends, is left out.
  """
  with progress.bar("contenders started") as report:
    contenders = []
    if patience is not None:
      os.environ.setdefault(_MEMORY, f"{0.9 / len(specs):.3f}")
      contenders = [Contender(name, spec) for name, spec in specs.items()]
      contenders = _warm(contenders, patience=patience)
    else:
      for name, spec in specs.items():
        # As launch.train does on a CPU: what trains has not compiled.
        cold = _rehearsed(name, spec) if spec.get("by") == "ours" else {}
        contenders.append(Contender(name, spec))
        contenders[-1].get_warm()
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


def _rehearsed(name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
  """Has a process compile what `spec` needs, and says how long it took."""
  contender = Contender(name, spec)
  contender.get_warm()
  contender.stop()
  times = ("compile_s", "first_turn_s")
  return {key: contender.facts[key] for key in times if key in contender.facts}


def _warm(
  contenders: Sequence[Contender], *, patience: float
) -> list[Contender]:
  """Those that are warm in time, in their order."""
  began, warm = time.monotonic(), []
  for contender in contenders:
    left = patience - (time.monotonic() - began)
    try:
      contender.get_warm(patience=max(left, 0.1))
      warm.append(contender)
    except RuntimeError:
      print(f"left out, ended or not warm in time: {contender.name}")
  return warm


def summary(values: Sequence[float]) -> dict[str, float]:
  """Median, quartiles and number."""
  low, middle, high = (
    statistics.quantiles(values, n=4, method="inclusive")
    if len(values) > 1
    else values * 3
  )
  return {"median": middle, "q1": low, "q3": high, "n": len(values)}


def ratio(ours: Contender, peer: Contender, *, key: str = "wall") -> float:
  """Median over the rounds of peer / ours: above 1 ours is faster."""
  return statistics.median(
    b[key] / a[key] for a, b in zip(ours.turns, peer.turns)
  )


def row(contender: Contender, *, images: int) -> dict[str, Any]:
  """What is reported of a contender whose turn handles `images`."""
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
  """Machine, versions, load and date: what a number was measured with."""
  versions = {}
  for name in ("jax", "jaxlib", "flax", "torch", "numpy", "pillow"):
    try:
      versions[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
      versions[name] = "absent"
  return {
    "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    "command": " ".join(["python -m", *_module(), *sys.argv[1:]]),
    "commit": run_folder.commit(),
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
  """Prints a table in Markdown."""
  print("| " + " | ".join(headings) + " |")
  print("|" + "---|" * len(headings))
  for line in lines:
    print("| " + " | ".join(line) + " |", flush=True)


def milliseconds(found: Mapping[str, float]) -> str:
  """Median and quartiles of seconds."""
  return (
    f"{found['median'] * 1e3:.1f} ({found['q1'] * 1e3:.1f} to "
    f"{found['q3'] * 1e3:.1f})"
  )


def write(path: str | None, results: Mapping[str, Any]) -> None:
  """Writes the results as JSON where that is asked for."""
  if path:
    text = json.dumps({"environment": environment(), **results}, indent=1)
    pathlib.Path(path).write_text(text + "\n")
