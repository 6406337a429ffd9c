"""Several runs whose steps are made side by side by one program.

The step of a small network leaves most of a GPU idle, and a second process
shares it badly. Steps of independent runs in one program fill it. Each run
keeps its own examples, randomness, validation, log and checkpoints, and ends in
the parameters that it has alone, up to rounding (another program).
"""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

from apppau_jax.errors import Interrupted
from apppau_jax.training import distributed, loop
from apppau_jax.training.signals import StopRequest
from apppau_jax.training.state import TrainState


class _OneAnswer:
  """Gives all runs the same answer about a signal in a turn.

  Otherwise a signal that comes between two runs of a turn would end one run
  here and the other a step later.
  """

  def __init__(self, stop: StopRequest):
    self._stop = stop
    self.noted: int | None = None

  def next_turn(self) -> None:
    self.noted = self._stop.noted

  def after(self, steps: range) -> int | None:
    del steps
    return self.noted


def run(
  runs: Sequence[loop.Run],
  states: Sequence[TrainState],
  *,
  step: Callable[..., Any],
) -> list[TrainState]:
  """Train all runs, or resume them from their last checkpoints.

  Args:
    runs: the runs; their own `train_step` is not used.
    states: the fresh state of each.
    step: makes a call for all, see `members` of `parallel.compile_train_step`.

  Returns:
    The last state of each.

  Raises:
    ValueError: the runs differ in length, intervals or the step they resume
      from, or several processes train them.
    NumericError: a loss or gradient of a run is not finite. The others end
      with it, and have their last checkpoints.
    Interrupted: SIGTERM or SIGINT came; all runs are saved.
  """
  if distributed.count() > 1:
    raise ValueError("runs train together in a single process only")
  restored = [loop.restore(*pair) for pair in zip(runs, states, strict=True)]
  places = {(r.plan, int(s.step)) for r, (s, _) in zip(runs, restored)}
  if len(places) > 1:
    raise ValueError("the runs differ in their length or in the steps done")
  with contextlib.ExitStack() as stack:
    stop = _OneAnswer(stack.enter_context(StopRequest()))
    members = [
      stack.enter_context(
        contextlib.closing(
          loop.turns(
            one, state, best=best, stop=stop, silent=one is not runs[0]
          )
        )
      )
      for one, (state, best) in zip(runs, restored)
    ]
    results: Sequence[Any] = [None] * len(runs)
    while True:
      stop.next_turn()
      calls, ends, interrupted = [], [], None
      for member, result in zip(members, results):
        try:
          calls.append(member.send(result))
        except StopIteration as end:
          ends.append(end.value)
        except Interrupted as error:
          interrupted = error
      if interrupted is not None:
        raise interrupted
      if ends:
        return ends
      made = loop.advance(step, tuple(zip(*calls)))
      results = list(zip(*made))
