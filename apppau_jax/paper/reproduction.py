"""Reproduces a table: trains its runs, and estimates how long they take."""

import functools
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from apppau_jax import files, progress
from apppau_jax.errors import DataError, UserError
from apppau_jax.experiment import (
  beginning,
  data,
  evaluate_run,
  fitting,
)
from apppau_jax.experiment import cost as cost_lib
from apppau_jax.paper import figures, sweep, table_files, workers


def fit_run(config: Any, folder: pathlib.Path) -> None:
  """Trains and evaluates one run, and prints its main figures."""
  run = fitting.fit(config, workdir=folder)
  for part in run.evaluated_parts:
    progress.say(evaluate_run.summary(run.report(part)))


def reproduce(
  plan: sweep.Sweep,
  *,
  count: int = 1,
  command: Sequence[str] = (),
  cross: bool = False,
  train: Callable[..., None] = fit_run,
  draw: Callable[..., list] = figures.draw,
) -> None:
  """Trains the runs that remain and writes the table after each of them.

  Args:
    plan: what to reproduce.
    count: number of processes that share the runs, including this one.
    command: of the other processes, see `workers.sharing`.
    cross: whether to measure each model on the other data sets.
    train: trains and measures a configuration in a folder.
    draw: see `figures.draw`.

  Raises:
    UserError: some runs failed; the table holds the others.
  """
  runs, logs = plan.runs, plan.out / "workers"
  write = functools.partial(table_files.write, plan, cross=cross, draw=draw)
  files.remove_leftovers(plan.out)
  with workers.sharing(command, count=count, logs=logs):
    failed = sweep.train(runs, fit=train, after_each=write)
  rest = [r.name for r in runs if not (r.is_done() or r.name in failed)]
  if count > 1:
    failed |= dict.fromkeys(rest, f"not finished by any worker; see {logs}")
    rest = []
  write(failed, last=not rest)
  if rest:
    progress.say(
      f"{len(rest)} of {len(runs)} runs belong to other processes and are not "
      "finished; the last process completes the table."
    )
  if failed:
    raise UserError(
      f"{len(failed)} of {len(runs)} runs failed; a table in {plan.out} holds "
      "those that are finished. Start the same command again to retry:\n"
      f"{_reasons(failed)}"
    )
  progress.say(f"table: {plan.out / 'table.html'}")


def _reasons(failed: Mapping[str, str]) -> str:
  """Each reason once, after the runs that it ended."""
  names: dict[str, list[str]] = {}
  for name, reason in failed.items():
    names.setdefault(reason, []).append(name)
  return "\n".join(f"  {'; '.join(n)}: {why}" for why, n in names.items())


def train_only(
  plan: sweep.Sweep, *, train: Callable[..., None] = fit_run
) -> bool:
  """Trains runs beside the process that writes the table; False on failure."""
  return not sweep.train(plan.runs, fit=train)


def check_data(
  plan: sweep.Sweep, *, open_dataset: Callable = data.open_dataset
) -> None:
  """Checks that the data of at least one run are prepared.

  Phantoms count as prepared, since a run draws them.

  Raises:
    DataError: that of the first data set.
  """
  configs = {run.row.dataset: run.config for run in plan.runs}
  errors = []
  for dataset, config in configs.items():
    if dataset == "phantom":
      return
    try:
      open_dataset(config)
      return
    except DataError as error:
      errors.append(error)
  if errors:
    raise errors[0]


def estimate(
  plan: sweep.Sweep,
  *,
  settle: Callable[[Any], tuple[Any, int]] = data.complete,
  cost: Callable[..., cost_lib.Cost] = cost_lib.cost,
) -> None:
  """Prints the steps and minutes of the runs; times a step of each row."""
  rows = {run.row.name for run in plan.runs}
  progress.say(
    f"{len(plan.runs)} runs of {len(rows)} rows; a few steps of each row are "
    "timed, after compiling it for about a minute"
  )
  seconds: dict[tuple, float] = {}
  total = 0.0
  for run in plan.runs:
    beginning.ensure_phantoms(run.config)
    row, (config, count) = run.row, settle(run.config)
    size = (config.model.base_width, config.data.resolution)
    kind = (row.name, *size, config.train.batch_size)
    if kind not in seconds:
      seconds[kind] = cost(config, images=count, timed=True).step_seconds or 0.0
    steps = cost_lib.plan(config, images=count).steps
    took = steps * seconds[kind]
    total += took
    progress.say(
      f"{row.dataset:12} {row.name:34} seed {run.seed}: {steps:6} steps of "
      f"{seconds[kind]:.2f} s, {took / 60:6.1f} min"
    )
  hours = f"{total / 3600:.1f} h" if total > 5400 else f"{total / 60:.0f} min"
  progress.say(
    f"{len(plan.runs)} runs, about {hours} of steps, without compilation and "
    "validation"
  )
