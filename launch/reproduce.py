"""Reproduces the paper's Table 1 or 2: every cell, every seed, one table.

  python -m launch.reproduce --table=2 --protocol=best --out=runs/tables \
    --datasets=montgomery,shenzhen --seeds=0,1,2 --data_dir=data

Each run has a folder of its own below --out/runs and goes on where it was when
the sweep is started again; a failed run is reported and stops nothing else.
The same command in several terminals, or on several machines that share --out,
shares the runs; --workers=N starts that many processes here.
Written after every run: table.json, table.md, table.tex, table.html; at the
end also figures/, and with --cross what each model is worth on the other sets.
`--protocol=paper:quick` shrinks every run to seconds.
"""

import functools
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from absl import flags

from apppau_jax import runtime
from apppau_jax.errors import ConfigError, DataError, UserError
from apppau_jax.paper import sweep, workers
from apppau_jax.paper import table_rows as cells_lib
from launch import cli

_TABLE = flags.DEFINE_enum("table", "2", ("1", "2"), "The paper's table.")
_PROTOCOL = flags.DEFINE_string(
  "protocol",
  "best",
  "paper (its letter) or best (our recipe); :quick behind it shrinks the runs.",
)
_DATASETS = flags.DEFINE_list("datasets", ["montgomery"], "Data sets.")
_SEEDS = flags.DEFINE_list("seeds", ["0", "1", "2"], "Seeds, whole numbers.")
_OUT = flags.DEFINE_string("out", None, "Folder of the table and its runs.")
_DATA_DIR = flags.DEFINE_string("data_dir", "data", "Prepared data.")
_EXTRA = flags.DEFINE_bool("extra", True, "Add the rows the paper lacks.")
_ROW = flags.DEFINE_multi_string(
  "row",
  [],
  "Only the row of this name, or those with it in theirs; may be given again.",
)
_CROSS = flags.DEFINE_bool("cross", False, "Measure on the other sets too.")
_DRY = flags.DEFINE_bool("dry_run", False, "Say what would run, time a step.")
_SET = flags.DEFINE_multi_string(
  "set", [], "key=value for every run, as model.base_width=8."
)
_WORKERS = flags.DEFINE_integer(
  "workers",
  1,
  "Processes that share the runs; several keep a GPU busier than one.",
  lower_bound=1,
)
_HELPER = flags.DEFINE_bool(
  "helper", False, "Leave the table to the process that started this one."
)
# What the paper proposes, by table.
_PROPOSED = {1: "PPAU-Net, KLTV", 2: "APPAU-Net, KLTV"}


def main() -> None:
  """Runs what is not finished, and writes the table after each run."""
  if not _OUT.value:
    raise ConfigError("--out is needed: the folder of the table and its runs.")
  out = pathlib.Path(_OUT.value).expanduser()
  runs = _runs(out)
  runtime.set_up()
  _look_for_data(runs)
  if _DRY.value:
    _announce(runs)
    return
  if _HELPER.value:
    failed = sweep.sweep(runs, after_each=lambda failed: None)
    sys.exit(1 if failed else 0)
  logs = out / "workers"
  with workers.sharing(_WORKERS.value, logs=logs):
    failed = sweep.sweep(runs, after_each=functools.partial(_write, runs, out))
  rest = [r.name for r in runs if not (r.is_done() or r.name in failed)]
  if _WORKERS.value > 1:
    failed |= dict.fromkeys(rest, f"not finished by any worker; see {logs}")
    rest = []
  _write(runs, out, failed, last=not rest)
  if rest:
    print(
      f"{len(rest)} of {len(runs)} runs are other processes' and not finished; "
      "whoever is last completes the table."
    )
  if failed:
    others = any(run.is_done() for run in runs)
    rest_of_it = f"; the table in {out} holds the others" if others else ""
    raise UserError(
      f"{len(failed)} of {len(runs)} runs failed{rest_of_it}. Start the same "
      f"command again to retry:\n{_reasons(failed)}"
    )
  print(f"table: {out / 'table.html'}")


def _runs(out: pathlib.Path) -> list[sweep.Run]:
  """Every cell with every seed, seed by seed: a whole table comes early."""
  protocol, quick = _protocol()
  chosen = cells_lib.cells(
    int(_TABLE.value),
    protocol=protocol,
    datasets=_DATASETS.value,
    extra=_EXTRA.value,
  )
  chosen = cells_lib.named(chosen, _ROW.value)
  overrides = cells_lib.parse_overrides(_SET.value)
  table = f"table{_TABLE.value}-{protocol}"
  return [
    sweep.Run(
      cell=cell,
      seed=seed,
      config=cell.seeded(
        seed, data_dir=_DATA_DIR.value, overrides=overrides, quick=quick
      ),
      folder=out / "runs" / table / cell.dataset / cell.folder / f"seed-{seed}",
    )
    for seed in _seeds()
    for cell in chosen
  ]


def _reasons(failed: Mapping[str, str]) -> str:
  """Each reason once, behind the runs that it ended."""
  names: dict[str, list[str]] = {}
  for name, why in failed.items():
    names.setdefault(why, []).append(name)
  return "\n".join(f"  {'; '.join(who)}: {why}" for why, who in names.items())


def _look_for_data(runs: Sequence[sweep.Run]) -> None:
  """Says at once if no run has data; phantoms are drawn as they are needed.

  Raises:
    DataError: that of the first data set.
  """
  from apppau_jax.experiment import data

  missing = {}
  for run in runs:
    dataset = run.cell.dataset
    if dataset == "phantom":
      return
    if dataset not in missing:
      try:
        data.open_dataset(run.config)
        return
      except DataError as error:
        missing[dataset] = error
  for error in missing.values():
    raise error


def _protocol() -> tuple[str, bool]:
  """The protocol, and whether its runs are shrunk."""
  protocol, colon, arg = _PROTOCOL.value.partition(":")
  if protocol not in cells_lib.PROTOCOLS or (colon and arg != "quick"):
    known = " or ".join(cells_lib.PROTOCOLS)
    raise ConfigError(
      f"--protocol={_PROTOCOL.value} must be {known}, or either with :quick "
      "behind it, as paper:quick."
    )
  return protocol, bool(colon)


def _seeds() -> list[int]:
  words = [seed.strip() for seed in _SEEDS.value]
  seeds = [int(word) for word in words if word.isascii() and word.isdigit()]
  if len(set(seeds)) < max(1, len(_SEEDS.value)):
    raise ConfigError(
      f"--seeds={','.join(_SEEDS.value)} must be different whole numbers from "
      "0, as 0,1,2."
    )
  return seeds


def _write(
  runs: Sequence[sweep.Run],
  out: pathlib.Path,
  failed: Mapping[str, str],
  *,
  last: bool = False,
) -> None:
  """Writes the table of every run that is done; the `last` with figures."""
  from apppau_jax import files
  from apppau_jax.paper import comparisons, table_page, tables

  done = [run for run in runs if run.is_done()]
  if not done:
    return
  part = sweep.common_part(done)
  measured = [
    comparisons.Run(
      row=run.cell.row,
      dataset=run.cell.dataset,
      seed=run.seed,
      report=run.report(part),
    )
    for run in done
  ]
  facts = _facts(runs, done, part=part, failed=failed)
  for dataset in comparisons.on_different_images(measured):
    facts["caption"] += (
      f" CAUTION: the runs on {dataset} were measured on different prepared "
      "images: their means do not compare, and rows without images in common "
      "have no paired test."
    )
  if last and _CROSS.value:
    facts["cross"] = _transfer(done, part=part)
  table = tables.make(measured, facts=facts)
  figures = _figures(done, table, out) if last else []
  files.write_json(out / "table.json", table)
  for name, text in (
    ("table.md", tables.markdown(table)),
    ("table.tex", tables.latex(table)),
    ("table.html", table_page.page(table, figures=figures)),
  ):
    files.write_bytes(out / name, text.encode())


def _transfer(done: Sequence[sweep.Run], *, part: str) -> list[dict[str, Any]]:
  from apppau_jax.paper import cross_dataset, cross_dataset_table

  cells = cross_dataset.measure(done, part=part, datasets=_DATASETS.value)
  return cross_dataset_table.summarise(cells)


def _figures(done: Sequence[sweep.Run], table: Mapping[str, Any], out) -> list:
  from apppau_jax.paper import figures as pictures

  reference = _PROPOSED[int(_TABLE.value)]
  try:
    return pictures.draw(done, table, out=out / "figures", reference=reference)
  except (
    UserError
  ) as error:  # data that moved: the numbers are there all the same
    print(f"no figures: {error}", file=sys.stderr)
    return []


def _facts(
  runs: Sequence[sweep.Run],
  done: Sequence[sweep.Run],
  *,
  part: str,
  failed: Mapping[str, str],
) -> dict[str, Any]:
  from apppau_jax.experiment import run_folder

  protocol, quick = _protocol()
  caption = (
    f"{len(done)} of {len(runs)} runs, {part} part, protocol "
    f"{_PROTOCOL.value}; mean ± sd over seeds of the mean over images. "
    "* leads every other row of its data set in lung Dice: p < .05 (Wilcoxon "
    "over images, Holm over all pairs), interval above 0, three seeds or more. "
    "Rows without seeds answer from the shares of the classes alone."
  )
  if part == "validation":
    caption += (
      " Validation images also chose each run's checkpoint: these figures "
      "flatter."
    )
  if _SET.value:
    caption += (
      f" Other than the protocol, in every run: {', '.join(_SET.value)}."
    )
  if _ROW.value:
    caption += f" Only rows with {' or '.join(_ROW.value)} in their name."
  if quick:
    caption += " Shrunken runs: a check that everything works, not a result."
  if any("phantom" in run.cell.dataset for run in runs):
    caption += " Phantoms are drawn by a program and are no patients."
  return {
    "title": f"Table {_TABLE.value}",
    "caption": caption,
    "table": int(_TABLE.value),
    "protocol": protocol,
    "part": part,
    "overrides": list(_SET.value),
    "quick": quick,
    "failed": dict(failed),
    "environment": run_folder.environment(),
  }


def _announce(runs: Sequence[sweep.Run]) -> None:
  """The runs, their steps, and minutes by a timed step of each network."""
  from apppau_jax.experiment import dry_run, fit

  for run in runs:
    fit.ensure_phantoms(run.config)
  total = 0.0
  known: dict[str, float] = {}
  for run in runs:
    steps, seconds = dry_run.cost(run.config, known=known)
    total += steps * seconds
    print(
      f"{run.cell.dataset:12} {run.cell.row:34} seed {run.seed}: {steps:6} "
      f"steps of {seconds:.2f} s, {steps * seconds / 60:6.1f} min"
    )
  hours = f"{total / 3600:.1f} h" if total > 5400 else f"{total / 60:.0f} min"
  print(
    f"{len(runs)} runs, about {hours} of steps; compiling and validations "
    "come on top"
  )


if __name__ == "__main__":
  cli.run(main)
