"""Validates a data set and reports every problem in one run.

  python -m launch.verify_data --dataset=montgomery --raw_dir=RAW \
    --out=runs/checked
  python -m launch.verify_data --dataset=montgomery+shenzhen --data_dir=data

Validates raw files or prepared data. Writes verify.json and verify.html, with
thumbnails, to --out, and stores the findings in prepared data for training.
The exit status is 3 if there are errors; warnings are allowed.
"""

import pathlib
import shlex
import sys

import rich.console
import rich.table
from absl import flags

from apppau_jax import escapes, progress
from apppau_jax.checks import findings, verification
from apppau_jax.datasets.dataset import Dataset
from apppau_jax.errors import ConfigError, DataError
from launch import cli, column_flags

_DATASET = flags.DEFINE_string(
  "dataset", None, "The dataset; several joined by +, or ccx."
)
_RAW_DIR = flags.DEFINE_multi_string(
  "raw_dir",
  None,
  "The owner's folder or zip; for several sets one for all, or one each.",
)
_DATA_DIR = flags.DEFINE_string(
  "data_dir", None, "The folder of prepared datasets; instead of --raw_dir."
)
_RESOLUTION = flags.DEFINE_integer(
  "resolution", 128, "Of the prepared images: 128, 256 or 512."
)
_BITS = flags.DEFINE_integer("bits", 8, "Of the prepared images: 8 or 16.")
_SPLITS = flags.DEFINE_list(
  "splits",
  None,
  "Splits whose parts must share no patient and no image: paper, idiap, "
  "given, fold-K-of-N, or a run's splits.json. By default all that exist.",
)
_OUT = flags.DEFINE_string(
  "out", None, "Folder for verify.json and verify.html; it will show images."
)
_COLUMNS = column_flags.define()
_WORKERS = flags.DEFINE_integer(
  "workers", None, "Threads; one per CPU by default.", lower_bound=1
)

_SHOWN = 40  # findings on the screen; verify.json has all of them
_COLOURS = {"error": "red", "warning": "yellow", "note": "blue"}


def main() -> None:
  """Validates the data, prints and writes the findings."""
  if not _DATASET.value or bool(_RAW_DIR.value) == bool(_DATA_DIR.value):
    raise ConfigError(
      "Give --dataset, and either --raw_dir (the owner's folder or zip) or "
      "--data_dir (prepared data)."
    )
  splits, workers = _SPLITS.value or (), _WORKERS.value
  if _RAW_DIR.value:
    checked = verification.verify_raw(
      _DATASET.value,
      _RAW_DIR.value,
      splits=splits,
      columns=column_flags.given(_COLUMNS),
      workers=workers,
    )
  else:
    dataset = Dataset(
      _DATASET.value,
      data_dir=str(_DATA_DIR.value),
      resolution=_RESOLUTION.value,
      bits=_BITS.value,
    )
    checked = verification.verify_prepared(
      dataset, splits=splits, workers=workers
    )
  _show(checked)
  if _OUT.value:
    folder = pathlib.Path(_OUT.value).expanduser()
    arguments = ["python", "-m", "launch.verify_data", *sys.argv[1:]]
    checked.write(folder, command=shlex.join(arguments))
    progress.say(f"wrote {folder / 'verify.html'} and verify.json")
  if bad := checked.errors:
    raise DataError(
      f"{checked.name} has {len(bad)} errors, first ({bad[0].check}): "
      f"{bad[0].what}. {bad[0].advice}"
    )


def _show(checked: verification.Verification) -> None:
  screen = rich.console.Console()
  found = checked.findings
  if found:
    table = rich.table.Table(title="findings, worst first")
    for name in ("level", "check", "what"):
      table.add_column(name, overflow="fold")
    for f in found[:_SHOWN]:
      cells = (
        rich.table.Text(escapes.printable(cell))
        for cell in (f.level, f.check, f.what)
      )
      table.add_row(*cells, style=_COLOURS[f.level])
    screen.print(table)
  if len(found) > _SHOWN:
    progress.say(f"... and {len(found) - _SHOWN} more")
  numbers = findings.counts(found)
  counts = ", ".join(f"{level}s {n}" for level, n in numbers.items())
  screen.print(
    f"{len(checked.images)} images examined: {counts}", highlight=False
  )


if __name__ == "__main__":
  cli.run(main)
