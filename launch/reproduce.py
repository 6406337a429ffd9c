"""Reproduces the paper's Table 1 or 2: every cell, every seed, one table.

  python -m launch.reproduce --table=2 --protocol=best --out=results/table2 \
    --datasets=montgomery,shenzhen --seeds=0,1,2 --data_dir=data

Each run has a folder of its own below --out/runs and goes on where it was when
the sweep is started again; a failed run is reported and stops nothing else.
Written after every run: table.json, table.md, table.tex, table.html.
"""

import functools
import json
import pathlib
import sys
import time
from collections.abc import Sequence

from absl import flags

from apppau_jax.errors import ConfigError, Interrupted, UserError
from launch import cells as cells_lib
from launch import cli, runtime

_TABLE = flags.DEFINE_enum("table", "2", ("1", "2"), "The paper's table.")
_PROTOCOL = flags.DEFINE_enum(
  "protocol", "best", cells_lib.PROTOCOLS, "The paper's letter, or our recipe."
)
_DATASETS = flags.DEFINE_list("datasets", ["montgomery"], "Data sets.")
_SEEDS = flags.DEFINE_list("seeds", ["0", "1", "2"], "Seeds, whole numbers.")
_OUT = flags.DEFINE_string("out", None, "Folder of the table and its runs.")
_DATA_DIR = flags.DEFINE_string("data_dir", "data", "Prepared data.")
_EXTRA = flags.DEFINE_bool("extra", True, "Add the rows the paper lacks.")
_DRY = flags.DEFINE_bool("dry_run", False, "Say what would run, time a step.")
_QUICK = flags.DEFINE_bool("quick", False, "Shrink every run to seconds.")
_SET = flags.DEFINE_multi_string(
  "set", [], "key=value for every run, as model.base_width=8."
)


def main() -> None:
  """Runs what is not finished, and writes the table after each run."""
  if not _OUT.value:
    raise ConfigError("--out is needed: the folder of the table and its runs.")
  out = pathlib.Path(_OUT.value).expanduser()
  chosen = cells_lib.cells(
    int(_TABLE.value),
    protocol=_PROTOCOL.value,
    datasets=_DATASETS.value,
    extra=_EXTRA.value,
  )
  configure = functools.partial(
    cells_lib.Cell.seeded,
    data_dir=_DATA_DIR.value,
    overrides=cells_lib.parse_overrides(_SET.value),
    quick=_QUICK.value,
  )
  runs = [
    (cell, seed, configure(cell, seed)) for seed in _seeds() for cell in chosen
  ]
  runtime.set_up()
  if _DRY.value:
    _announce(runs)
    return
  failed = _sweep(runs, out)
  _write(runs, out, failed=failed)
  if failed:
    lines = "\n".join(f"  {name}: {why}" for name, why in failed.items())
    raise UserError(
      f"{len(failed)} of {len(runs)} runs failed; the table in {out} holds the "
      f"others. Start the same command again to retry:\n{lines}"
    )
  print(f"table: {out / 'table.md'}")


def _seeds() -> list[int]:
  seeds = [int(seed) for seed in _SEEDS.value if seed.strip().isdigit()]
  if len(set(seeds)) < max(1, len(_SEEDS.value)):
    raise ConfigError(
      f"--seeds={','.join(_SEEDS.value)} must be different whole numbers from "
      "0, as 0,1,2."
    )
  return seeds


def _folder(out: pathlib.Path, cell: cells_lib.Cell, seed: int) -> pathlib.Path:
  table = f"table{_TABLE.value}-{_PROTOCOL.value}"
  return out / "runs" / table / cell.dataset / cell.folder / f"seed-{seed}"


def _is_done(out: pathlib.Path, run: tuple) -> bool:
  """Whether a run is finished; of another configuration it is an error."""
  from launch import workdir

  cell, seed, config = run
  folder = _folder(out, cell, seed)
  if workdir.is_trained(folder):
    workdir.claim(folder, config.to_dict())
  return workdir.read_manifest(folder).get("status") == "done"


def _sweep(runs: Sequence, out: pathlib.Path) -> dict[str, str]:
  """Runs what is left; returns what failed, and why."""
  from launch import experiment

  failed: dict[str, str] = {}
  began = time.monotonic()
  left = [run for run in runs if not _is_done(out, run)]
  for position, (cell, seed, config) in enumerate(left):
    folder = _folder(out, cell, seed)
    eta = "unknown"
    if position:
      each = (time.monotonic() - began) / position
      eta = f"{each * (len(left) - position) / 60:.0f} min"
    print(
      f"== run {len(runs) - len(left) + position + 1} of {len(runs)}: "
      f"{cell.dataset}, {cell.row}, seed {seed} (all done in: {eta})",
      file=sys.stderr,
      flush=True,
    )
    try:
      experiment.run(config, folder)
    except Interrupted:
      raise
    except Exception as error:
      # Whatever ends one run, the others are worth having; it is told below.
      words = str(error) if isinstance(error, UserError) else repr(error)
      failed[f"{cell.dataset}, {cell.row}, seed {seed}"] = words
      print(words, file=sys.stderr)
    _write(runs, out, failed=failed)
  return failed


def _write(
  runs: Sequence, out: pathlib.Path, *, failed: dict[str, str]
) -> None:
  """Writes the table of every run that is done."""
  from apppau_jax import files
  from apppau_jax.evaluation import comparisons, tables

  part = _part(runs, out)
  done = [
    comparisons.Run(
      row=cell.row,
      dataset=cell.dataset,
      seed=seed,
      report=json.loads(
        (_folder(out, cell, seed) / "eval" / part / "report.json").read_text()
      ),
    )
    for cell, seed, config in runs
    if _is_done(out, (cell, seed, config))
  ]
  if not done:
    return
  table = tables.make(done, facts=_facts(runs, done, part=part, failed=failed))
  files.write_json(out / "table.json", table)
  for name, text in (
    ("table.md", tables.markdown(table)),
    ("table.tex", tables.latex(table)),
    ("table.html", tables.page(table)),
  ):
    files.write_bytes(out / name, text.encode())


def _part(runs: Sequence, out: pathlib.Path) -> str:
  """`test` if every finished run was measured on it, else `validation`."""
  done = [_folder(out, r[0], r[1]) for r in runs if _is_done(out, r)]
  tested = all((f / "eval" / "test" / "report.json").exists() for f in done)
  return "test" if done and tested else "validation"


def _facts(runs: Sequence, done: Sequence, *, part: str, failed) -> dict:
  from launch import workdir

  caption = (
    f"{len(done)} of {len(runs)} runs, {part} part, protocol "
    f"{_PROTOCOL.value}; mean ± sd over seeds of the mean over images. "
    "* leads every other row of its data set in lung Dice: p < .05 (Wilcoxon "
    "over images, Holm over all pairs), interval above 0, three seeds or more."
  )
  if part == "validation":
    caption += (
      " Validation images also chose each run's checkpoint: these figures "
      "flatter."
    )
  return {
    "title": f"Table {_TABLE.value}",
    "caption": caption,
    "table": int(_TABLE.value),
    "protocol": _PROTOCOL.value,
    "part": part,
    "overrides": list(_SET.value),
    "quick": _QUICK.value,
    "failed": failed,
    "environment": workdir.environment(),
  }


def _announce(runs: Sequence) -> None:
  """The runs, their steps, and minutes by a timed step of each network."""
  from launch import dry_run, experiment

  for _, _, config in runs:
    experiment.ensure_phantoms(config)
  total = 0.0
  known: dict[str, float] = {}
  for cell, seed, config in runs:
    steps, seconds = dry_run.cost(config, known=known)
    total += steps * seconds
    print(
      f"{cell.dataset:12} {cell.row:34} seed {seed}: {steps:6} steps of "
      f"{seconds:.2f} s, {steps * seconds / 60:6.1f} min"
    )
  print(f"{len(runs)} runs, about {total / 3600:.1f} h, validations aside")


if __name__ == "__main__":
  cli.run(main)
