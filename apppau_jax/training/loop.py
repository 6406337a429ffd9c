"""The training loop, and its laws.

1. State is restored before anything is compiled, evaluated or written.
2. The examples and the randomness of step t depend on (seed, t) alone, so a
   run killed anywhere and started again ends in the very same parameters.
3. A checkpoint is saved only after its step's loss proved finite, and after
   the evaluation at that step; the best one is decided by validation only.
4. The first non-finite loss or gradient ends the run, naming step and term.
5. A signal ends the run after the current step (or call of several), saved.
6. Of several processes each runs this same loop; only the first one writes
   metrics, and its validation decides.
"""

import contextlib
import dataclasses
import functools
import math
import os
import pathlib
import signal
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Any

import jax
import numpy as np

from apppau_jax import files
from apppau_jax.batch import Batch
from apppau_jax.errors import Interrupted, NumericError
from apppau_jax.training import distributed, saturation_warning
from apppau_jax.training.checkpoints import Store
from apppau_jax.training.state import TrainState
from apppau_jax.training.writer import Progress, Silence, Writer

TrainStep = Callable[[TrainState, Batch, Any], tuple[TrainState, Any]]
# From a step on: what each call gathers its examples from, and their rows;
# None where they are the very examples of the step. All of it on the device.
Feed = Callable[[int], Generator[tuple[Batch, jax.Array | None], None, None]]
# Returns metrics and pictures by name for the board.
EvaluateFn = Callable[[TrainState], tuple[dict[str, float], dict]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
  """How long a run is and when it looks up.

  Attributes:
    steps: total number of steps.
    steps_per_epoch: steps in a pass over the training images.
    log_every: steps between two lines of training metrics.
    eval_every: steps between two validations, each followed by a checkpoint.
    steps_per_call: steps the device makes before the host looks up.
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
    """The steps, counted from 0, of the call after `step` steps.

    It never passes an evaluation, so what is logged, validated and saved
    happens at the same steps whatever `steps_per_call` is.
    """
    ahead = self.eval_every - step % self.eval_every
    count = min(self.steps_per_call, ahead, self.steps - step)
    return range(step, step + count)

  def calls(self, start: int) -> Iterator[range]:
    """The calls from after `start` steps to the end."""
    step = start
    while step < self.steps:
      made = self.call(step)
      yield made
      step = made.stop

  def rows(self, order: Callable[[int], np.ndarray], made: range) -> np.ndarray:
    """The examples of a call: of its one step, or of each of its steps."""
    if self.steps_per_call == 1:
      return order(made.start)
    return np.stack([order(step) for step in made])


class StopRequest:
  """Notes SIGTERM and SIGINT; a second one takes its usual course.

  With several processes JAX hears the SIGTERM of any of them for all; what it
  does not hear, the keyboard's, is passed on to it.
  """

  def __init__(self):
    self._signum: int | None = None
    self._old: dict[int, Any] = {}
    self._several = distributed.count() > 1

  def __enter__(self) -> "StopRequest":
    if self._several:
      self._old[signal.SIGINT] = signal.signal(signal.SIGINT, _pass_on)
      return self
    for signum in (signal.SIGTERM, signal.SIGINT):
      self._old[signum] = signal.signal(signum, self._note)
    return self

  def __exit__(self, *exc) -> None:
    for signum, handler in self._old.items():
      signal.signal(signum, handler)
    if self._several:  # nobody asks JAX any more
      signal.signal(signal.SIGTERM, signal.SIG_DFL)

  def after(self, made: range) -> int | None:
    """The signal that is to end the run after a call; asked at every call."""
    # JAX names one step, of those that it is asked about: all of them, then.
    if self._several:
      asked = [distributed.preempted(turn + 1) for turn in made]
      self._signum = signal.SIGTERM if any(asked) else None
    return self._signum

  @property
  def noted(self) -> int | None:
    """The signal that came, if one did; asks nobody."""
    return self._signum

  def _note(self, signum, frame) -> None:
    self._signum = signum
    for other, handler in self._old.items():  # a second one of either kind
      signal.signal(other, handler)


def _pass_on(signum, frame) -> None:
  os.kill(os.getpid(), signal.SIGTERM)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
  """A run's parts; see `run`.

  Attributes:
    plan: lengths and intervals.
    train_step: compiled step over what the feed gives, or several at a call.
    feed: the training examples on the device, all of them at every call, or
      those of a step alone.
    order: maps a step to the indices of its examples, `[b]` or `[m, b]`.
    ids: the training examples' names, for messages.
    evaluate_fn: validates a state.
    select_by: name of the validation metric whose highest value is best.
    learning_rate: the schedule, for the log.
    latest: store of whole states.
    best: store of the players' averaged weights at the best validation.
    meta: what every checkpoint carries (the configuration among it).
    workdir: where metrics go.
  """

  plan: Plan
  train_step: TrainStep
  feed: Feed
  order: Callable[[int], np.ndarray]
  ids: tuple[str, ...]
  evaluate_fn: EvaluateFn
  select_by: str
  learning_rate: Callable[[int], Any]
  latest: Store
  best: Store
  meta: Mapping[str, Any]
  workdir: pathlib.Path


def restore(run: Run, state: TrainState) -> tuple[TrainState, float]:
  """Returns the state to go on from and the best validation so far."""
  found = run.latest.restore(state)
  state, meta, step = found or (state, {"best": -math.inf}, 0)
  run.best.forget_after(step)
  return state, meta["best"]


def run(run: Run, state: TrainState) -> TrainState:
  """Trains from `state`, or from where an earlier process left off.

  Raises:
    NumericError: a loss or gradient is not finite (law 4).
    Interrupted: SIGTERM or SIGINT came (law 5).
  """
  state, best = restore(run, state)
  start = int(state.step)
  first = distributed.is_first()
  writer = Writer(run.workdir, start_step=start) if first else Silence()
  progress = Progress(
    steps=run.plan.steps,
    steps_per_epoch=run.plan.steps_per_epoch,
    start_step=start,
    silent=not first,
  )
  settle = functools.partial(
    _settle, run, writer=writer, saturation=saturation_warning.Saturation()
  )
  pending: tuple[range, dict] | None = None
  feed = contextlib.closing(run.feed(start))
  with progress, StopRequest() as stop, feed as batches:
    try:
      for made, (examples, rows) in zip(run.plan.calls(start), batches):
        state, metrics = advance(run, state, examples, rows)
        # The step before is looked at while this one computes.
        shown = settle(pending)
        pending = made, metrics
        step = made.stop
        signum = stop.after(made)  # once: it may come at any moment
        if run.plan.evaluates_at(step) or signum is not None:
          shown |= settle(pending)
          pending = None
          if run.plan.evaluates_at(step):
            best = _validate(run, state, step=step, best=best, writer=writer)
            shown["best"] = best
          writer.sync()
          meta = {**run.meta, "step": step, "best": best}
          # First the best, on disk; then the state that claims it.
          run.best.wait()
          run.latest.save(state, step=step, meta=meta)
        progress.update(step, shown)
        if signum is not None:
          raise _interrupted(signum, step=step, run=run)
      if stop.noted is not None:  # while the last step was saved
        raise _interrupted(stop.noted, step=run.plan.steps, run=run)
    finally:
      with contextlib.ExitStack() as last:  # each, whatever the others do
        last.callback(writer.close)
        last.callback(run.best.wait)
        last.callback(run.latest.wait)
  return state


def advance(
  run: Run, state: TrainState, examples: Batch, rows: jax.Array | None
) -> tuple[TrainState, Any]:
  """One call; what it needs is on the device by now, or it is an error."""
  with jax.transfer_guard("disallow"):
    return run.train_step(state, examples, rows)


def _settle(
  run: Run,
  pending: tuple[range, dict] | None,
  *,
  writer: Writer,
  saturation: saturation_warning.Saturation,
) -> dict[str, float]:
  """Checks the metrics of the steps of a call and logs them where due."""
  shown = {}
  made, metrics = pending or (range(0), {})
  table = {k: np.ravel(v) for k, v in jax.device_get(dict(metrics)).items()}
  for row, turn in enumerate(made):
    step = turn + 1
    values = {k: float(column[row]) for k, column in table.items()}
    if not all(math.isfinite(v) for v in values.values()):
      raise _not_finite(run, step=step, values=values)
    if step % run.plan.log_every == 0 or step == 1:
      shown = {"loss": values["loss"]}
      values["learning_rate"] = float(run.learning_rate(turn))
      values["epoch"] = step / run.plan.steps_per_epoch
      saturation.notice(step, values)
      writer.scalars("train", step=step, values=values)
  return shown


def _validate(
  run: Run, state: TrainState, *, step: int, best: float, writer: Writer
) -> float:
  """Validates, keeps the weights if they are the best so far."""
  values, pictures = run.evaluate_fn(state)
  epoch = step / run.plan.steps_per_epoch
  writer.scalars("validation", step=step, values={**values, "epoch": epoch})
  for name, picture in pictures.items():
    writer.image(name, picture, step=step)
  # A host of another make may round otherwise, and all must do the same.
  score = float(
    distributed.agree(f"score-{step}", repr(float(values[run.select_by])))
  )
  if score <= best:
    return best
  meta = {**run.meta, "step": step, "best": score}
  run.best.save(state.averages, step=step, meta=meta)
  return score


def _not_finite(run: Run, *, step: int, values: Mapping) -> NumericError:
  terms = [k for k, v in values.items() if not math.isfinite(v)]
  ids = [run.ids[i] for i in run.order(step - 1).ravel()]
  text = {k: repr(v) for k, v in values.items()}
  if distributed.is_first():
    files.write_json(
      run.workdir / "nonfinite.json",
      {"step": step, "metrics": text, "ids": ids},
    )
  run.latest.wait()
  last = run.latest.steps()[-1:] or ["none"]
  return NumericError(
    f"Training stopped at step {step}: {', '.join(terms)} not finite. The "
    f"last good checkpoint (step {last[0]}) is kept in {run.latest.folder}; "
    f"the batch's ids and every term are in {run.workdir}/nonfinite.json. "
    "A smaller optim.learning_rate or a positive optim.grad_clip usually "
    "helps."
  )


def _interrupted(signum: int, *, step: int, run: Run) -> Interrupted:
  name = signal.Signals(signum).name
  return Interrupted(
    f"Stopped by {name} after step {step} of {run.plan.steps}; everything is "
    f"saved in {run.workdir}. The same command goes on from here.",
    signum,
  )
