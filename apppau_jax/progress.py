"""Messages and progress bars, shown only where they are asked for.

All text passes `escapes.printable`, since file names and labels may contain
sequences that a terminal acts on.

The package reports to the logger `apppau_jax` at level INFO and shows progress
bars while that level is enabled. As a library it is therefore silent; the
commands, and `fit(..., verbose=True)`, work within `verbose()`.
"""

import contextlib
import logging
import sys
from collections.abc import Callable, Iterator

import rich.console
import rich.markup
import rich.progress

from apppau_jax import escapes

LOG = logging.getLogger("apppau_jax")


def is_shown() -> bool:
  """Returns whether messages and progress bars are shown."""
  return LOG.isEnabledFor(logging.INFO)


def say(text: object, *, error: bool = False) -> None:
  """Prints text on standard output, or on standard error.

  Args:
    text: what to print; characters that a terminal acts on become escapes.
    error: whether it belongs to standard error.
  """
  stream = sys.stderr if error else sys.stdout
  print(escapes.printable(str(text)), file=stream, flush=True)


class Formatter(logging.Formatter):
  """Formats a record as its message, with escapes as in `say`."""

  def format(self, record: logging.LogRecord) -> str:
    """Returns the text of a record."""
    return escapes.printable(super().format(record))


@contextlib.contextmanager
def verbose(*, details: bool = False) -> Iterator[None]:
  """Shows the package's messages and progress on standard error.

  Args:
    details: also show what matters to developers only.
  """
  handler = logging.StreamHandler()
  handler.setFormatter(Formatter())
  level, propagate = LOG.level, LOG.propagate
  LOG.addHandler(handler)
  LOG.setLevel(logging.DEBUG if details else logging.INFO)
  LOG.propagate = False
  try:
    yield
  finally:
    LOG.removeHandler(handler)
    LOG.setLevel(level)
    LOG.propagate = propagate


@contextlib.contextmanager
def bar(text: str) -> Iterator[Callable[[int, int], None]]:
  """Yields `update(done, total)`, which advances a progress bar.

  The bar is drawn on a terminal; elsewhere one line is logged for each tenth.

  Args:
    text: what is being done.
  """
  console = rich.console.Console(stderr=True)
  if not (is_shown() and console.is_terminal):

    def log(done: int, total: int) -> None:
      if done * 10 // total > (done - 1) * 10 // total:
        LOG.info("%s: %d/%d", text, done, total)

    yield log
    return
  with rich.progress.Progress(
    *rich.progress.Progress.get_default_columns(),
    rich.progress.MofNCompleteColumn(),
    console=console,
  ) as bars:
    task = bars.add_task(
      rich.markup.escape(escapes.printable(text)), total=None
    )
    yield lambda done, total: bars.update(task, completed=done, total=total)
