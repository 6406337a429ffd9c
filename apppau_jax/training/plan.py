"""The length of a run: its steps, calls, validations and log."""

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
  """The length of a run and its intervals.

  Attributes:
    steps: total number of steps.
    steps_per_epoch: steps in a pass over the training images.
    log_every: steps between two lines of training metrics.
    eval_every: steps between two validations, each followed by a checkpoint.
    steps_per_call: steps that the device makes in one call.
  """

  steps: int
  steps_per_epoch: int
  log_every: int
  eval_every: int
  steps_per_call: int = 1

  def evaluates_at(self, step: int) -> bool:
    """Whether the state after `step` steps is validated and saved."""
    return step == self.steps or step % self.eval_every == 0

  def call(self, step: int) -> range:
    """Return the steps, counted from 0, of the call after `step` steps.

    A call never passes an evaluation, so that logging, validation and saving
    happen at the same steps whatever `steps_per_call` is.
    """
    ahead = self.eval_every - step % self.eval_every
    count = min(self.steps_per_call, ahead, self.steps - step)
    return range(step, step + count)

  def calls(self, start: int) -> Iterator[range]:
    """Return the calls from after `start` steps to the end."""
    step = start
    while step < self.steps:
      made = self.call(step)
      yield made
      step = made.stop

  def rows(self, order: Callable[[int], np.ndarray], made: range) -> np.ndarray:
    """Return the examples of a call: of its one step, or of each step."""
    if self.steps_per_call == 1:
      return order(made.start)
    return np.stack([order(step) for step in made])
