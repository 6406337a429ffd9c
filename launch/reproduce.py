"""Reproduces a table: every row, every seed.

--table is 1 or 2 of the paper, or semi: supervision with 1 to all masks, and
methods of semi-supervision with 3 and 10 of them, where seed s is draw s of the
masks and fold s mod 3.

  python -m launch.reproduce --table=2 --protocol=best --out=runs/tables \
    --datasets=montgomery,shenzhen --seeds=0,1,2 --data_dir=data

Each run has a folder below --out; the same command continues it. A failed run
does not stop the others. Terminals, or machines that share --out, may start the
command at the same time to share the runs. The table is written after each run.
"""

import pathlib
import sys

from absl import flags

from apppau_jax import progress, runtime
from apppau_jax.errors import ConfigError
from launch import cli

_TABLE = flags.DEFINE_string(
  "table", "2", "The paper's 1 or 2, or semi: few masks."
)
_PROTOCOL = flags.DEFINE_string(
  "protocol", "best", "paper, or best: our recipe."
)
_DATASETS = flags.DEFINE_list("datasets", ["montgomery"], "Data sets.")
_SEEDS = flags.DEFINE_list("seeds", ["0", "1", "2"], "Seeds, whole numbers.")
_OUT = flags.DEFINE_string("out", None, "Folder of the table and its runs.")
_DATA_DIR = flags.DEFINE_string("data_dir", "data", "Folder of prepared data.")
_EXTRA = flags.DEFINE_bool("extra", True, "Add rows that the paper lacks.")
_ROW = flags.DEFINE_multi_string(
  "row", [], "Only rows whose name contains TEXT; may be repeated."
)
_CROSS = flags.DEFINE_bool("cross", False, "Measure on the other sets too.")
_DRY = flags.DEFINE_bool("dry_run", False, "Only estimate steps and time.")
_SET = flags.DEFINE_multi_string(
  "set", [], "key=value for every run, as in model.base_width=8."
)
_WORKERS = flags.DEFINE_integer("workers", 1, "Processes sharing the runs.", 1)
_TOGETHER = flags.DEFINE_integer(
  "seeds_per_program",
  1,
  "Seeds of a row that train in one program, to fill a GPU.",
  1,
)
_HELPER = flags.DEFINE_bool("helper", False, "Only train, for --workers.")
_FORENSICS = flags.DEFINE_bool("forensics", False, "Only check the paper.")


def main() -> None:
  """Trains the runs that remain, and writes the table after each run."""
  # Not above: JAX must come after `cli.run` has silenced XLA.
  from apppau_jax.paper import printed_numbers, sweep

  if _FORENSICS.value:
    progress.say(printed_numbers.markdown().rstrip())
    return
  if not _OUT.value:
    raise ConfigError("--out is needed: the folder of the table and its runs.")
  plan = sweep.Sweep(
    table=_TABLE.value,
    protocol=_PROTOCOL.value,
    datasets=_DATASETS.value,
    seeds=_SEEDS.value,
    out=pathlib.Path(_OUT.value).expanduser(),
    data_dir=_DATA_DIR.value,
    extra=_EXTRA.value,
    texts=_ROW.value,
    overrides=_SET.value,
  )
  runtime.set_up()
  runtime.compute_in_turn()
  from apppau_jax.paper import reproduction, seeds_together

  reproduction.check_data(plan)
  train = seeds_together.trainer(
    plan.runs, count=_TOGETHER.value, fit=reproduction.fit_run
  )
  if _DRY.value:
    reproduction.estimate(plan)
  elif _HELPER.value:
    sys.exit(0 if reproduction.train_only(plan, train=train) else 1)
  else:
    command = [sys.executable, "-m", "launch.reproduce", *sys.argv[1:]]
    reproduction.reproduce(
      plan,
      count=_WORKERS.value,
      command=[*command, "--helper"],
      cross=_CROSS.value,
      train=train,
    )


if __name__ == "__main__":
  cli.run(main)
