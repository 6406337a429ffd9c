"""The log of a run: metrics.jsonl, TensorBoard and the terminal."""

import contextlib
import json
import logging
import os
import pathlib
import time
from collections.abc import Mapping

import numpy as np
import rich.console
import rich.progress

from apppau_jax import files, progress, reading
from apppau_jax.training.mirror import Mirror
from apppau_jax.training.tensorboard import Board

_FORM = {"kind": str, "step": int}
_LOG = logging.getLogger(__name__)
_WORDS = {
  "dice": "Dice",
  "auroc": "AUROC",
  "balanced_accuracy": "balanced accuracy",
  "dice_auroc": "mean of Dice and AUROC",
}


def read_history(path: str | pathlib.Path) -> list[dict]:
  """Return the lines of a metrics.jsonl.

  A kill may leave an incomplete last line, which is dropped. Other damaged
  lines are dropped with a warning.
  """
  path = pathlib.Path(path)
  if not path.exists():
    return []
  lines = path.read_bytes().splitlines()
  history = [*filter(None, map(_line, lines))]
  complete = len(history) + (bool(lines) and _line(lines[-1]) is None)
  if lost := len(lines) - complete:
    _LOG.warning("%d damaged lines of %s are left out", lost, path)
  return history


def _line(text: bytes) -> dict | None:
  """Return a line as an object, None if it is none."""
  try:
    value = json.loads(text.decode())
  except (ValueError, RecursionError):
    return None
  return None if reading.misfit(value, _FORM) else value


class Writer:
  """Appends metrics at given steps; after a resume, no point is doubled.

  Args:
    workdir: gets `metrics.jsonl` and TensorBoard's files in `tensorboard/`.
    start_step: steps done before this process; later lines are dropped.
    mirror: gets the scalars too.
  """

  def __init__(
    self,
    workdir: str | pathlib.Path,
    *,
    start_step: int,
    mirror: Mirror | None = None,
  ):
    workdir = pathlib.Path(workdir)
    workdir.mkdir(parents=True, exist_ok=True)
    path = workdir / "metrics.jsonl"
    kept = [h for h in read_history(path) if h["step"] <= start_step]
    lines = [json.dumps(h) + "\n" for h in kept]
    files.write_bytes(path, "".join(lines).encode())
    self._file = path.open("a", encoding="utf-8")
    self._mirror = mirror
    # A failure of TensorBoard must not stop the training.
    self._board: Board | None = None
    with self._tolerate():
      self._board = Board(workdir / "tensorboard", purge_step=start_step + 1)

  @contextlib.contextmanager
  def _tolerate(self):
    try:
      yield
    except OSError as error:
      _LOG.warning("TensorBoard is off from here on: %s", error)
      board, self._board = self._board, None
      if board is not None:
        with contextlib.suppress(OSError):
          board.close()

  def scalars(self, kind: str, *, step: int, values: Mapping) -> None:
    """Append one line of `kind` ("train" or "validation") at `step`."""
    line = {"kind": kind, "step": step, **values}
    self._file.write(json.dumps(line) + "\n")
    self._file.flush()
    if self._board is not None:
      with self._tolerate():
        for name, value in values.items():
          self._board.scalar(f"{kind}/{name}", value, step=step)

    if self._mirror is not None:
      self._mirror.scalars(kind, step=step, values=values)

  def image(self, name: str, picture: np.ndarray, *, step: int) -> None:
    """Add a uint8 picture `[h, w, 3]` to TensorBoard."""
    if self._board is not None:
      with self._tolerate():
        self._board.image(name, picture, step=step)

  def sync(self) -> None:
    """Flush everything written so far to disk."""
    self._file.flush()
    os.fsync(self._file.fileno())
    if self._board is not None:
      with self._tolerate():
        self._board.flush()

  def close(self) -> None:
    """Flush and close both."""
    self.sync()
    self._file.close()
    if self._mirror is not None:
      self._mirror.close()
    if self._board is not None:
      with self._tolerate():
        self._board.close()


class Silence(Writer):
  """A writer that writes nothing; the first process of the run writes."""

  def __init__(self):
    pass

  def _nothing(self, *args, **more) -> None:
    pass

  scalars = image = sync = close = _nothing


def in_words(
  values: Mapping[str, float], *, select_by: str, best: float
) -> dict[str, float]:
  """Return a validation as the terminal shows it.

  Args:
    values: by the names in metrics.jsonl.
    select_by: the name of the metric that selects the best weights.
    best: its best value so far.
  """
  shown = {
    f"validation {_WORDS[name]}": values[name]
    for name in ("dice", "auroc", "balanced_accuracy")
    if name in values
  }
  return {**shown, f"best {_WORDS.get(select_by, select_by)}": best}


class Progress:
  """A progress bar with an estimate; without a terminal, one line an epoch.

  The loss of the line is the mean over the steps of the epoch.
  """

  def __init__(
    self, *, steps: int, steps_per_epoch: int, start_step: int, silent=False
  ):
    self._silent = silent  # another process of the run reports
    self._steps, self._per_epoch = steps, steps_per_epoch
    self._start = start_step
    self._began: float | None = None
    self._console = rich.console.Console(stderr=True)
    self._bar = rich.progress.Progress(
      rich.progress.TextColumn("{task.description}"),
      rich.progress.BarColumn(),
      rich.progress.MofNCompleteColumn(),
      rich.progress.TimeElapsedColumn(),
      rich.progress.TimeRemainingColumn(),
      console=self._console,
      disable=silent or not self._console.is_terminal,
    )
    self._task = self._bar.add_task("train", total=steps, completed=start_step)
    self._shown: dict[str, float] = {}
    self._losses: dict[int, float] = {}  # by step
    self._epoch = start_step // steps_per_epoch

  def __enter__(self) -> "Progress":
    self._bar.start()
    return self

  def __exit__(self, *exc) -> None:
    self._bar.stop()

  def update(
    self,
    step: int,
    values: Mapping[str, float],
    *,
    losses: Mapping[int, float] | None = None,
  ) -> None:
    """Show that `step` steps are done.

    Args:
      step: the last step that was made.
      values: the latest validation, in words.
      losses: of the steps that were read since the last call; the device may
        be ahead of them.
    """
    if self._began is None:  # the first step pays for the compilation
      self._began, self._start = time.monotonic(), step
    self._shown |= values
    self._losses |= losses or {}
    loss = [f"loss {value:.4f}" for value in [*self._losses.values()][-1:]]
    words = ", ".join(["train", *loss, *self._words()])
    self._bar.update(self._task, completed=step, description=words)
    # A call of many steps may end in mid-epoch, several epochs on.
    epoch = max(self._losses, default=0) // self._per_epoch
    if epoch > self._epoch:
      self._epoch = epoch
      if self._bar.disable and not self._silent:
        self._print_epoch(step)
      done = epoch * self._per_epoch
      self._losses = {k: v for k, v in self._losses.items() if k > done}

  def _words(self) -> list[str]:
    return [f"{name} {value:.4f}" for name, value in self._shown.items()]

  def _print_epoch(self, step: int) -> None:
    elapsed = time.monotonic() - (self._began or 0.0)
    left = elapsed / max(1, step - self._start) * (self._steps - step)
    last, epochs = self._epoch, self._steps // self._per_epoch
    own = range((last - 1) * self._per_epoch + 1, last * self._per_epoch + 1)
    losses = [self._losses[k] for k in own if k in self._losses]
    mean = f"mean loss {sum(losses) / len(losses):.4f}"
    words = ", ".join([mean, *self._words()])
    progress.say(
      f"epoch {last}/{epochs}, step {last * self._per_epoch}/{self._steps}: "
      f"{words}, {_duration(left)} left",
      error=True,
    )


def _duration(seconds: float) -> str:
  """Returns seconds as 40 s, 12 min or 3.5 h."""
  if seconds < 100:
    return f"{seconds:.0f} s"
  return (
    f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
  )
