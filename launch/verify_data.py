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
from collections.abc import Sequence

import rich.console
import rich.table
from absl import flags

from apppau_jax import files
from apppau_jax import progress as console
from apppau_jax.checks import (
  findings,
  html_page,
  prepared_data,
  raw_data,
  saved_findings,
  validation,
)
from apppau_jax.checks.findings import Finding
from apppau_jax.checks.radiograph import Radiograph
from apppau_jax.datasets import registry, split_protocols
from apppau_jax.datasets.dataset import Dataset
from apppau_jax.errors import ConfigError, DataError
from launch import cli

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
  name, dataset = _DATASET.value, None
  members = registry.members(name)
  if _DATA_DIR.value:
    dataset = Dataset(
      name,
      data_dir=_DATA_DIR.value,
      resolution=_RESOLUTION.value,
      bits=_BITS.value,
    )
    with console.bar(f"examining {name}") as progress:
      images, found = prepared_data.read(
        dataset, workers=_WORKERS.value, progress=progress
      )
  else:
    images, found = _read_raw(members, _RAW_DIR.value or [])
  validated = validation.validate(images, found=found)
  if dataset is not None:
    _store(dataset, validated)
  given = any(image.part for image in images)
  splits = _SPLITS.value or split_protocols.offered(members, given=given)
  found = validation.with_splits(validated, images, dataset=name, names=splits)
  _show(found, images=len(images))
  if _OUT.value:
    _write(images, found, splits=splits)
  bad = [finding for finding in found if finding.level == "error"]
  if bad:
    raise DataError(
      f"{name} has {len(bad)} errors, first ({bad[0].check}): {bad[0].what}. "
      f"{bad[0].advice}"
    )


def _read_raw(
  members: Sequence[str], folders: list[str]
) -> tuple[list[Radiograph], list[Finding]]:
  if len(folders) not in (1, len(members)):
    raise ConfigError(
      f"--raw_dir is given {len(folders)} times for {len(members)} sets "
      f"({', '.join(members)}); give it once for all or once for each, in "
      "this order."
    )
  images, found = [], []
  folders = folders if len(folders) == len(members) else folders * len(members)
  for member, folder in zip(members, folders):
    with console.bar(f"examining {member}") as progress:
      own, of_set = raw_data.read(
        member, folder, workers=_WORKERS.value, progress=progress
      )
    images += own
    found += of_set
  return images, found


def _store(dataset: Dataset, validated: validation.Validation) -> None:
  """Stores the findings beside the data, if the folder is writable."""
  try:
    saved_findings.write(dataset, validated)
  except OSError as error:
    print(f"note: the findings are not stored: {error}", file=sys.stderr)


def _show(found: Sequence[Finding], *, images: int) -> None:
  screen = rich.console.Console()
  if found:
    table = rich.table.Table(title="findings, worst first")
    for name in ("level", "check", "what"):
      table.add_column(name, overflow="fold")
    for f in found[:_SHOWN]:
      cells = (rich.table.Text(cell) for cell in (f.level, f.check, f.what))
      table.add_row(*cells, style=_COLOURS[f.level])
    screen.print(table)
  if len(found) > _SHOWN:
    screen.print(f"... and {len(found) - _SHOWN} more")
  numbers = findings.counts(found)
  counts = ", ".join(f"{level}s {n}" for level, n in numbers.items())
  screen.print(f"{images} images examined: {counts}", highlight=False)


def _write(
  images: Sequence[Radiograph],
  found: Sequence[Finding],
  *,
  splits: Sequence[str],
) -> None:
  folder = pathlib.Path(_OUT.value or ".").expanduser()
  files.write_json(
    folder / "verify.json",
    {
      "dataset": _DATASET.value,
      "images": len(images),
      "splits": list(splits),
      "counts": findings.counts(found),
      "findings": [finding.as_dict() for finding in found],
    },
  )
  what = "raw files" if _RAW_DIR.value else f"{_RESOLUTION.value} pixels"
  html_page.write(
    folder / "verify.html",
    title=f"{_DATASET.value}, {what}",
    images=images,
    findings=found,
    command=shlex.join(["python", "-m", "launch.verify_data", *sys.argv[1:]]),
  )
  print(f"wrote {folder / 'verify.html'} and verify.json")


if __name__ == "__main__":
  cli.run(main)
