"""One contender: gets warm, says so, then does a turn for every line it reads.

Started by `benchmarks.round_robin` with one argument, a JSON object (`Spec`).
"""

import dataclasses
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

_WARM_UP = 3


@dataclasses.dataclass(frozen=True, kw_only=True)
class Spec:
  """What to do in a turn.

  Attributes:
    work: `step` or `predict`.
    by: `ours` or `torch`.
    net: `unet`, `attention_unet`, `ppau_unet` or `appau`, the two players.
    width: base width.
    batch: images of a step, or of a call of predict.
    resolution: pixels a side.
    steps: steps (calls) a turn, dispatched without waiting for each.
    per_call: steps that ours makes in one call; divides `steps`.
    augment: whether ours augments as the lung recipe does.
    dtype: `float32` or `bfloat16` (of torch: automatic mixed precision).
    channels_last: torch's memory format.
    compiled: whether torch compiles; "graphs" adds CUDA graphs.
    cores: processor cores to keep to, 0 for all.
  """

  work: str
  by: str
  net: str
  width: int
  batch: int
  resolution: int
  steps: int = 1
  per_call: int = 1
  augment: bool = False
  dtype: str = "float32"
  channels_last: bool = False
  compiled: str = ""
  cores: int = 0


Turn = Callable[[int], None]  # does so many steps, then waits for them


def main() -> None:
  """Warms up, then answers until told to end."""
  spec = Spec(**json.loads(sys.argv[1]))
  if spec.cores:  # before any thread pool counts them
    known = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, known[-spec.cores :])
  if spec.by == "ours":
    from benchmarks import ours as side
  else:
    from benchmarks import peer as side
  began = time.perf_counter()
  turn, facts = side.prepare(spec)
  turn(spec.per_call)
  facts["first_turn_s"] = time.perf_counter() - began
  turn(_WARM_UP * spec.per_call)
  _say(facts)
  for word in _words():
    if word == "end":
      peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
      _say({"peak_mib": peak, **side.device_memory()})
      return
    wall, cpu = time.perf_counter(), time.process_time()
    turn(spec.steps)
    _say(
      {
        "wall": (time.perf_counter() - wall) / spec.steps,
        "cpu": (time.process_time() - cpu) / spec.steps,
      }
    )


def _words() -> Iterator[str]:
  for line in sys.stdin:
    yield line.strip()


def _say(values: dict[str, Any]) -> None:
  print(json.dumps(values), flush=True)


if __name__ == "__main__":
  main()
