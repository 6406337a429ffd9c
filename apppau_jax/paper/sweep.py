"""The runs of a table: which are left, how long they take, what failed."""

import copy
import dataclasses
import json
import pathlib
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import rich.console
import rich.table

from apppau_jax.errors import Interrupted, OccupiedError, UserError
from apppau_jax.experiment import run_folder
from apppau_jax.paper import table_rows as cells_lib

PARTS = ("test", "validation")


@dataclasses.dataclass(kw_only=True, eq=False)
class Run:
  """One cell with one seed, in a folder of its own."""

  cell: cells_lib.Cell
  seed: int
  config: Any
  folder: pathlib.Path
  _done: bool = dataclasses.field(default=False, init=False)

  @property
  def name(self) -> str:
    """For messages."""
    return f"{self.cell.dataset}, {self.cell.row}, seed {self.seed}"

  def is_done(self) -> bool:
    """Whether it is finished; of another configuration it is an error."""
    if not self._done:
      if run_folder.is_trained(self.folder):
        self.config = _settled(self.config, self.folder)
        run_folder.claim(self.folder, self.config.to_dict())
      manifest = run_folder.read_manifest(self.folder)
      self._done = manifest.get("status") == "done"
    return self._done

  def report(self, part: str) -> dict[str, Any]:
    """report.json of a part; empty if it has none."""
    path = self.folder / "eval" / part / "report.json"
    return json.loads(path.read_text()) if path.exists() else {}


def _settled(config: Any, folder: pathlib.Path) -> Any:
  """With what only the prepared set told the run that is trained there."""
  config, told = copy.deepcopy(config), run_folder.read_config(folder).data
  if config.data.split == "auto":
    config.data.split = told.split
  config.data.class_names = config.data.class_names or told.class_names
  return config


def common_part(done: Sequence[Run]) -> str:
  """`test` if every finished run was measured on it, else `validation`."""
  tested = all(
    (run.folder / "eval" / "test" / "report.json").exists() for run in done
  )
  return "test" if done and tested else "validation"


def sweep(
  runs: Sequence[Run], *, after_each: Callable[[dict[str, str]], None]
) -> dict[str, str]:
  """Runs what is left, whatever becomes of single runs.

  What another process works on is left to it, so that several may share a
  sweep; some runs may then be unfinished at the end.

  Args:
    runs: all of them.
    after_each: called with what failed so far.

  Returns:
    Why runs failed, by name.

  Raises:
    Interrupted: a signal came; the same call goes on later.
  """
  from apppau_jax.experiment import fit

  failed: dict[str, str] = {}
  clock = _Clock([run for run in runs if not run.is_done()])
  while clock.left:
    run = clock.left[0]
    if run.is_done():  # by another process, since
      clock.advance()
      continue
    _show(runs, running=run, failed=failed, eta=clock.eta())
    try:
      fit.run(run.config, run.folder)
    except Interrupted:
      raise
    except OccupiedError:
      print("another process is at it", file=sys.stderr)
    except Exception as error:
      # Whatever ends one run, the others are worth having; it is told below.
      words = str(error) if isinstance(error, UserError) else repr(error)
      failed[run.name] = words
      print(words, file=sys.stderr)
    clock.advance()
    after_each(failed)
  return failed


class _Clock:
  """Time left, by the steps of the runs that are still to do."""

  def __init__(self, left: Sequence[Run]):
    self.left = list(left)
    self._steps = {run.name: 0 for run in left}
    self._known: dict[str, int] = {}
    self._began = time.monotonic()
    self._done = 0

  def eta(self) -> str:
    """Words for the time until everything is done."""
    for run in self.left:
      self._steps[run.name] = _steps(run, known=self._known)
    if not self._done:
      return "unknown"
    each = (time.monotonic() - self._began) / self._done
    left = sum(self._steps[run.name] for run in self.left)
    return f"{each * left / 60:.0f} min"

  def advance(self) -> None:
    """The first run is over, well or not."""
    run = self.left.pop(0)
    # Asked again: phantoms are drawn by the first run that needs them.
    self._done += max(1, _steps(run, known=self._known))


def _steps(run: Run, *, known: dict[str, int]) -> int:
  """Steps of a run; 0 while its data are not there."""
  from apppau_jax.experiment import data
  from apppau_jax.experiment.assemble import plan

  # How many images train depends on neither the labels nor the network.
  knobs = {**run.config.data.to_dict(), "label_seed": 0}
  key = json.dumps([knobs, run.config.train.to_dict()], sort_keys=True)
  if key not in known:
    try:
      config = run.config
      known[key] = plan(
        config, data.parts(config, data.open_dataset(config))
      ).steps
    except UserError:  # told when its turn comes; phantoms may come first
      return 0
  return known[key]


def _show(
  runs: Sequence[Run], *, running: Run, failed: dict[str, str], eta: str
) -> None:
  """What is done: a table on a terminal, elsewhere a line a run."""
  console = rich.console.Console(stderr=True)
  position = runs.index(running) + 1
  line = f"run {position} of {len(runs)}: {running.name} (all done in: {eta})"
  if console.is_terminal:
    console.print(board(runs, running=running, failed=failed))
  print(f"== {line}", file=sys.stderr, flush=True)


def board(
  runs: Sequence[Run], *, running: Run | None, failed: dict[str, str]
) -> rich.table.Table:
  """Cells by seeds: lung Dice of what is done, words for the rest."""
  seeds = list(dict.fromkeys(run.seed for run in runs))
  table = rich.table.Table("data", "row", *(f"seed {s}" for s in seeds))
  rows: dict[tuple[str, str], dict[int, str]] = {}
  for run in runs:
    key = (run.cell.dataset, run.cell.row)
    rows.setdefault(key, {})[run.seed] = _state(run, running, failed)
  for key, states in rows.items():
    table.add_row(*key, *(states.get(seed, "") for seed in seeds))
  return table


def _state(run: Run, running: Run | None, failed: dict[str, str]) -> str:
  if run is running:
    return "running"
  if run.name in failed:
    return "failed"
  if not run.is_done():
    return "·"
  report = run.report(common_part([run]))
  return f"{report['segmentation']['dice']['mean']:.4f}"
