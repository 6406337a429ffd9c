"""Trains seeds of a row of a table together, in one program."""

import pathlib
from collections.abc import Callable, Sequence
from typing import Any

from apppau_jax import progress
from apppau_jax.errors import Interrupted, UserError
from apppau_jax.experiment import fit_together
from apppau_jax.paper.sweep import Run

Fit = Callable[[Any, pathlib.Path], None]


def trainer(
  runs: Sequence[Run],
  *,
  count: int,
  fit: Fit,
  together: Callable[..., None] = fit_together.train,
) -> Fit:
  """Returns a function that trains and measures a run, as `fit` does.

  When the first run of a group is asked for, the whole group is trained; the
  turns of the others then only measure. A group that cannot train together is
  trained one by one.

  Args:
    runs: all runs of the sweep.
    count: seeds of a row that make a group; 1 is `fit` itself.
    fit: trains and measures one run.
    together: trains configurations in folders.
  """
  if count == 1:
    return fit
  tried: set[pathlib.Path] = set()

  def train(config: Any, folder: pathlib.Path) -> None:
    group = [run for run in _group(runs, folder, count) if not run.is_done()]
    new = not any(run.folder in tried for run in group)
    tried.update(run.folder for run in group)
    if new and len(group) > 1:
      try:
        together([run.config for run in group], [run.folder for run in group])
      except Interrupted:
        raise
      except UserError as error:
        progress.say(f"these seeds train one by one: {error}", error=True)
    fit(config, folder)

  return train


def _group(
  runs: Sequence[Run], folder: pathlib.Path, count: int
) -> Sequence[Run]:
  """The runs of a row whose turn comes with that of a folder."""
  row = next(run.row for run in runs if run.folder == folder)
  seeds = [run for run in runs if run.row is row]
  place = [run.folder for run in seeds].index(folder)
  first = place - place % count
  return seeds[first : first + count]
