"""Progress for whoever waits: a bar on a terminal, else a line per tenth."""

import contextlib
import sys
from collections.abc import Callable, Iterator

import rich.console
import rich.progress


@contextlib.contextmanager
def bar(text: str) -> Iterator[Callable[[int, int], None]]:
  """Yields `progress(done, total)`, shown on standard error."""
  console = rich.console.Console(stderr=True)
  if not console.is_terminal:

    def log(done: int, total: int) -> None:
      if done * 10 // total > (done - 1) * 10 // total:
        print(f"{text}: {done}/{total}", file=sys.stderr, flush=True)

    yield log
    return
  with rich.progress.Progress(
    *rich.progress.Progress.get_default_columns(),
    rich.progress.MofNCompleteColumn(),
    console=console,
  ) as bars:
    task = bars.add_task(text, total=None)
    yield lambda done, total: bars.update(task, completed=done, total=total)
