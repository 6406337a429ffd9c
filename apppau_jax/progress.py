"""Messages and progress bars, shown only where they are asked for.

The package reports to the logger `apppau_jax` at level INFO and shows progress
bars while that level is enabled. As a library it is therefore silent; the
commands, and `fit(..., verbose=True)`, work within `verbose()`.
"""

import contextlib
import logging
from collections.abc import Callable, Iterator

import rich.console
import rich.progress

LOG = logging.getLogger("apppau_jax")


def is_shown() -> bool:
  """Returns whether messages and progress bars are shown."""
  return LOG.isEnabledFor(logging.INFO)


@contextlib.contextmanager
def verbose() -> Iterator[None]:
  """Shows the package's messages and progress on standard error."""
  handler = logging.StreamHandler()
  handler.setFormatter(logging.Formatter("%(message)s"))
  level, propagate = LOG.level, LOG.propagate
  LOG.addHandler(handler)
  LOG.setLevel(logging.INFO)
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
    task = bars.add_task(text, total=None)
    yield lambda done, total: bars.update(task, completed=done, total=total)
