"""The training loop, and what it guarantees.

1. State is restored before anything is compiled, evaluated or written.
2. The examples and the randomness of step t depend on (seed, t) alone. A run
   killed anywhere and started again ends in the same parameters, bit for bit.
3. A checkpoint is saved only after the loss of its step proved finite, and
   after the evaluation at that step. The best one is chosen by validation only.
4. The first non-finite loss or gradient ends the run, naming step and term.
5. A signal ends the run after the current step (or call of several), saved.
6. Each of several processes runs this loop. Only the first one writes metrics,
   and its validation decides.
"""

import contextlib
import dataclasses
import functools
import math
import pathlib
import signal
from collections.abc import Callable, Generator, Mapping
from typing import Any

import jax
import numpy as np

from apppau_jax import files
from apppau_jax.batch import Batch
from apppau_jax.errors import Interrupted, NumericError
from apppau_jax.training import distributed, saturation_warning
from apppau_jax.training.checkpoints import Store
from apppau_jax.training.mirror import Mirror
from apppau_jax.training.plan import Plan
from apppau_jax.training.signals import StopRequest
from apppau_jax.training.state import TrainState
from apppau_jax.training.writer import Progress, Silence, Writer, in_words

TrainStep = Callable[[TrainState, Batch, Any], tuple[TrainState, Any]]
# Maps a start step to the inputs of each call, on the device: the examples that
# it gathers from and the rows to gather, None if the examples are its batch.
Feed = Callable[[int], Generator[tuple[Batch, jax.Array | None], None, None]]
# Yields the state, examples and rows of a call of the step and takes the new
# state and the metrics of its steps; its value is the last state.
Turns = Generator[
  tuple[TrainState, Batch, Any], tuple[TrainState, Any], TrainState
]
# Returns metrics, and pictures by name for TensorBoard.
EvaluateFn = Callable[[TrainState], tuple[dict[str, float], dict]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
  """The parts of a run; see `run`.

  Attributes:
    plan: lengths and intervals.
    train_step: compiled step over what the feed gives, or several at a call.
    feed: the training examples on the device: all of them at every call, or
      those of one step.
    order: maps a step to the indices of its examples, `[b]` or `[m, b]`.
    ids: names of the training examples, for messages.
    evaluate_fn: validates a state.
    select_by: name of the validation metric whose highest value is best.
    learning_rate: the schedule, for the log.
    latest: store of whole states.
    best: store of the averaged weights of all players at the best validation.
    meta: saved with every checkpoint (the configuration among it).
    workdir: the folder of metrics.jsonl and TensorBoard's files.
    make_mirror: starts the copy of the scalars in an experiment tracker.
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
  make_mirror: Callable[[], Mirror] | None = None


def restore(run: Run, state: TrainState) -> tuple[TrainState, float]:
  """Return the state to resume from and the best validation so far."""
  found = run.latest.restore(state)
  state, meta, step = found or (state, {"best": -math.inf}, 0)
  run.best.forget_after(step)
  return state, meta["best"]


def run(run: Run, state: TrainState) -> TrainState:
  """Train from `state`, or resume from the last checkpoint.

  Raises:
    NumericError: a loss or gradient is not finite.
    Interrupted: SIGTERM or SIGINT came.
  """
  state, best = restore(run, state)
  with StopRequest() as stop, contextlib.ExitStack() as stack:
    made = turns(run, state, best=best, stop=stop)
    stack.callback(made.close)
    try:
      call = next(made)
      while True:
        call = made.send(advance(run.train_step, call))
    except StopIteration as end:
      return end.value


def turns(
  run: Run, state: TrainState, *, best: float, stop: Any, silent: bool = False
) -> Turns:
  """Train, and let the caller make each call of the step.

  Args:
    run: the parts of the run.
    state: that of `restore`.
    best: likewise.
    stop: a `StopRequest` that was entered.
    silent: whether another run shows the progress.

  Yields:
    The inputs of the next call; it takes the result. The last state is the
    value of the generator.

  Raises:
    NumericError: a loss or gradient is not finite.
    Interrupted: SIGTERM or SIGINT came.
  """
  start = int(state.step)
  first = distributed.is_first()
  writer = _writer(run, start) if first else Silence()
  progress = Progress(
    steps=run.plan.steps,
    steps_per_epoch=run.plan.steps_per_epoch,
    start_step=start,
    silent=silent or not first,
  )
  settle = functools.partial(
    _settle, run, writer=writer, saturation=saturation_warning.Saturation()
  )
  pending: tuple[range, dict] | None = None
  feed = contextlib.closing(run.feed(start))
  with progress, feed as batches:
    try:
      for made, (examples, rows) in zip(run.plan.calls(start), batches):
        state, metrics = yield state, examples, rows
        # The metrics of the call before are read while this one computes.
        losses = settle(pending)
        shown: dict[str, float] = {}
        pending = made, metrics
        step = made.stop
        signum = stop.after(made)  # asked once: it may change any moment
        if run.plan.evaluates_at(step) or signum is not None:
          losses |= settle(pending)
          pending = None
          if run.plan.evaluates_at(step):
            values = _validate(run, state, step=step, writer=writer)
            best = _keep_best(run, state, values, step=step, best=best)
            shown = in_words(values, select_by=run.select_by, best=best)
          writer.sync()
          meta = {**run.meta, "step": step, "best": best}
          # First the best, on disk; then the state that refers to it.
          run.best.wait()
          run.latest.save(state, step=step, meta=meta)
        progress.update(step, shown, losses=losses)
        if signum is not None:
          raise _interrupted(signum, step=step, run=run)
      if stop.noted is not None:  # while the last step was saved
        raise _interrupted(stop.noted, step=run.plan.steps, run=run)
    finally:
      with contextlib.ExitStack() as last:  # each, even if another fails
        last.callback(writer.close)
        last.callback(run.best.wait)
        last.callback(run.latest.wait)
  return state


def advance(step: Callable[..., Any], call: tuple[Any, ...]) -> Any:
  """Make a call; an input that is not on the device is an error."""
  with jax.transfer_guard("disallow"):
    return step(*call)


def _writer(run: Run, start: int) -> Writer:
  mirror = run.make_mirror() if run.make_mirror else None
  return Writer(run.workdir, start_step=start, mirror=mirror)


def _settle(
  run: Run,
  pending: tuple[range, dict] | None,
  *,
  writer: Writer,
  saturation: saturation_warning.Saturation,
) -> dict[int, float]:
  """Check the metrics of a call, log those that are due; return the losses."""
  losses = {}
  made, metrics = pending or (range(0), {})
  table = {k: np.ravel(v) for k, v in jax.device_get(dict(metrics)).items()}
  for row, turn in enumerate(made):
    step = turn + 1
    values = {k: float(column[row]) for k, column in table.items()}
    if not all(math.isfinite(v) for v in values.values()):
      raise _not_finite(run, step=step, values=values)
    losses[step] = values["loss"]
    if step % run.plan.log_every == 0 or step == 1:
      values["learning_rate"] = float(run.learning_rate(turn))
      values["epoch"] = step / run.plan.steps_per_epoch
      saturation.notice(step, values)
      writer.scalars("train", step=step, values=values)
  return losses


def _validate(
  run: Run, state: TrainState, *, step: int, writer: Writer
) -> dict[str, float]:
  """Validate and log."""
  values, pictures = run.evaluate_fn(state)
  epoch = step / run.plan.steps_per_epoch
  writer.scalars("validation", step=step, values={**values, "epoch": epoch})
  for name, picture in pictures.items():
    writer.image(name, picture, step=step)
  return values


def _keep_best(
  run: Run,
  state: TrainState,
  values: Mapping[str, float],
  *,
  step: int,
  best: float,
) -> float:
  """Save the weights if they are the best so far; return the best score."""
  # Hosts of different types may round differently, and all must agree.
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
    f"last good checkpoint (step {last[0]}) is in {run.latest.folder}; the "
    f"ids of the batch and all terms are in {run.workdir}/nonfinite.json. "
    "A smaller optim.learning_rate or a positive optim.grad_clip usually "
    "helps."
  )


def _interrupted(signum: int, *, step: int, run: Run) -> Interrupted:
  name = signal.Signals(signum).name
  return Interrupted(
    f"Stopped by {name} after step {step} of {run.plan.steps}; everything is "
    f"saved in {run.workdir}. Rerun the same command to resume.",
    signum,
  )
