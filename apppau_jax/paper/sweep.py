"""The runs of a table: which there are, which remain, and how to train them."""

import copy
import dataclasses
import functools
import pathlib
import time
from collections.abc import Callable, Sequence
from typing import Any

from apppau_jax import progress
from apppau_jax.errors import ConfigError, Interrupted, OccupiedError, UserError
from apppau_jax.experiment import run_files, run_folder
from apppau_jax.paper import table_rows


@dataclasses.dataclass(kw_only=True, eq=False)
class Run:
  """A row with a seed, in a folder of its own."""

  row: table_rows.Row
  seed: int
  config: Any
  folder: pathlib.Path
  _done: bool = dataclasses.field(default=False, init=False)

  @property
  def name(self) -> str:
    """For messages."""
    return f"{self.row.dataset}, {self.row.name}, seed {self.seed}"

  def is_done(self) -> bool:
    """Whether the run is finished.

    Raises:
      ConfigError: the folder holds a run of another configuration.
    """
    if not self._done:
      if run_folder.is_trained(self.folder):
        self.config = _completed(self.config, self.folder)
        run_folder.claim(self.folder, self.config.to_dict())
      manifest = run_files.read_manifest(self.folder)
      self._done = manifest.get("status") == "done"
    return self._done

  def report(self, part: str) -> dict[str, Any]:
    """Returns report.json of a part, or an empty one."""
    return run_files.read_report(self.folder, part)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sweep:
  """What one command reproduces.

  Attributes:
    table: a table of `table_rows.rows`.
    protocol: `paper`, `best` or either with `:quick`.
    datasets: names of data sets.
    seeds: different whole numbers, as text.
    out: folder of the table and, below, its runs.
    data_dir: folder of the prepared data.
    extra: whether to add the rows that the paper lacks.
    texts: parts of the names of the rows, see `table_rows.select`.
    overrides: `key=value` texts for every run.
  """

  table: str
  protocol: str
  datasets: Sequence[str]
  seeds: Sequence[str]
  out: pathlib.Path
  data_dir: str = "data"
  extra: bool = True
  texts: Sequence[str] = ()
  overrides: Sequence[str] = ()

  @functools.cached_property
  def runs(self) -> tuple[Run, ...]:
    """Every row with every seed, seed by seed: a whole table comes early.

    Raises:
      ConfigError: an attribute of another form.
    """
    protocol, quick = table_rows.parse_protocol(self.protocol)
    rows = table_rows.rows(
      self.table, protocol=protocol, datasets=self.datasets, extra=self.extra
    )
    changes = table_rows.parse_overrides(self.overrides)
    folder = self.out / "runs" / f"table{self.table}-{protocol}"
    return tuple(
      Run(
        row=row,
        seed=seed,
        config=row.run_config(
          seed, data_dir=self.data_dir, overrides=changes, quick=quick
        ),
        folder=folder / row.dataset / row.folder / f"seed-{seed}",
      )
      for seed in _whole_numbers(self.seeds)
      for row in table_rows.select(rows, self.texts)
    )


def _whole_numbers(seeds: Sequence[str]) -> list[int]:
  words = [seed.strip() for seed in seeds]
  numbers = [int(word) for word in words if word.isascii() and word.isdigit()]
  if len(set(numbers)) < max(1, len(words)):
    raise ConfigError(
      f"--seeds={','.join(seeds)} must be different whole numbers from 0, as "
      "in 0,1,2."
    )
  return numbers


def _completed(config: Any, folder: pathlib.Path) -> Any:
  """Fills in what the run took from its prepared data set."""
  config, saved = copy.deepcopy(config), run_files.read_config(folder).data
  if config.data.split == "auto":
    config.data.split = saved.split
  config.data.class_names = config.data.class_names or saved.class_names
  return config


def common_part(done: Sequence[Run]) -> str:
  """Returns `test` if every run was measured on it, else `validation`."""
  tested = all(run.report("test") for run in done)
  return "test" if done and tested else "validation"


def train(
  runs: Sequence[Run],
  *,
  fit: Callable[[Any, pathlib.Path], None],
  after_each: Callable[[dict[str, str]], None] = lambda failed: None,
  now: Callable[[], float] = time.monotonic,
) -> dict[str, str]:
  """Trains the runs that remain; a failed run does not stop the others.

  A run that another process trains is skipped, so that several processes can
  share a sweep. Some runs may then be unfinished at the end.

  Args:
    runs: all of them.
    fit: trains and measures a configuration in a folder.
    after_each: called with the failures so far.
    now: the clock, in seconds.

  Returns:
    The reason of each failure, by name of the run.

  Raises:
    Interrupted: a signal arrived; the same call continues later.
  """
  failed: dict[str, str] = {}
  remaining = [run for run in runs if not run.is_done()]
  began = now()
  for done, run in enumerate(remaining):
    if run.is_done():  # by another process meanwhile
      continue
    left = len(remaining) - done
    rest = (
      f"{(now() - began) / done * left / 60:.0f} min" if done else "unknown"
    )
    progress.say(
      f"== run {runs.index(run) + 1} of {len(runs)}: {run.name} "
      f"(failed: {len(failed)}, time left: {rest})",
      error=True,
    )
    try:
      fit(run.config, run.folder)
    except Interrupted:
      raise
    except OccupiedError:
      progress.say("another process trains this run", error=True)
    except Exception as error:  # reported at the end
      reason = str(error) if isinstance(error, UserError) else repr(error)
      failed[run.name] = reason
      progress.say(reason, error=True)
    after_each(failed)
  return failed
