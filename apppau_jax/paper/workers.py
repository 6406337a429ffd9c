"""Processes beside this one that share its sweep."""

import contextlib
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator

_MEMORY = "XLA_PYTHON_CLIENT_MEM_FRACTION"


@contextlib.contextmanager
def sharing(count: int, *, logs: pathlib.Path) -> Iterator[None]:
  """Has `count - 1` more processes work on this command's runs.

  A run of small networks leaves most of a GPU idle, and all of it while images
  are measured and reports written. Each process takes what none is at; each
  gets its share of the device's memory. Leaves when all have ended; what ends
  this process early ends them too, their runs saved.

  Args:
    count: processes altogether, this one among them.
    logs: folder of what the others print.
  """
  if count == 1:
    yield
    return
  os.environ.setdefault(_MEMORY, f"{0.9 / count:.3f}")
  logs.mkdir(parents=True, exist_ok=True)
  command = [sys.executable, "-m", "launch.reproduce", *sys.argv[1:]]
  others = []
  try:
    for number in range(1, count):
      with (logs / f"{number}.log").open("w") as log:
        others.append(
          subprocess.Popen(
            [*command, "--helper"], stdout=log, stderr=subprocess.STDOUT
          )
        )
    yield
  except BaseException:
    for other in others:
      other.terminate()
    raise
  finally:
    for other in others:
      other.wait()
