"""Processes that share the runs of this one's sweep."""

import contextlib
import os
import pathlib
import subprocess
from collections.abc import Iterator, Sequence


@contextlib.contextmanager
def sharing(
  command: Sequence[str], *, count: int, logs: pathlib.Path
) -> Iterator[None]:
  """Starts `count - 1` processes more and waits for them at the end.

  The runs of small networks leave most of a GPU idle. Each process takes runs
  that no other process trains, and gets its share of the device's memory. If
  this process ends early, the others are terminated; they save their runs.

  Args:
    command: of one process.
    count: number of processes, including this one.
    logs: folder for the output of the others.
  """
  if count > 1:
    share = f"{0.9 / count:.3f}"
    os.environ.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", share)
    logs.mkdir(parents=True, exist_ok=True)
  others = []
  try:
    for number in range(1, count):
      with (logs / f"{number}.log").open("w") as log:
        others.append(
          subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        )
    yield
  except BaseException:
    for other in others:
      other.terminate()
    raise
  finally:
    for other in others:
      other.wait()
