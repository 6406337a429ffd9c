"""The process of one contender.

`benchmarks.round_robin` starts it with one argument, a `Spec` as a JSON object.
It compiles and warms up, prints the facts about itself, and then executes one
turn for every line that it reads. Every answer is a line of JSON.
"""

import json
import os
import resource
import sys
import time
from typing import Any

from benchmarks.spec import Spec

_WARM_UP = 3


def main() -> None:
  """Warm up, then answer until a line says `end`."""
  spec = Spec(**json.loads(sys.argv[1]))
  if spec.cores:  # before any thread pool counts them
    available = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, available[-spec.cores :])
  if spec.xla_flags:  # before JAX reads them
    before = os.environ.get("XLA_FLAGS", "")
    os.environ["XLA_FLAGS"] = f"{before} {spec.xla_flags}".strip()
  if spec.by == "ours":
    from benchmarks import ours as side
  else:
    from benchmarks import peer as side
  began = time.perf_counter()
  turn, facts = side.prepare(spec)
  turn(spec.per_call)
  facts["first_turn_s"] = time.perf_counter() - began
  turn(_WARM_UP * spec.per_call)
  _answer(facts)
  for line in sys.stdin:
    if line.strip() == "end":
      peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
      _answer({"peak_mib": peak, **side.device_memory()})
      return
    wall, cpu = time.perf_counter(), time.process_time()
    turn(spec.steps)
    _answer(
      {
        "wall": (time.perf_counter() - wall) / spec.steps,
        "cpu": (time.process_time() - cpu) / spec.steps,
      }
    )


def _answer(values: dict[str, Any]) -> None:
  print(json.dumps(values), flush=True)


if __name__ == "__main__":
  main()
