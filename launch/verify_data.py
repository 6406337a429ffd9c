"""The doctor: examines a dataset, and says all that is wrong with it at once.

  python -m launch.verify_data --dataset=montgomery --raw_dir=RAW \
    --out=runs/checked
  python -m launch.verify_data --dataset=montgomery+shenzhen --data_dir=data

Raw files or prepared ones. Writes verify.json and verify.html, with pictures
of the suspects, to --out; of prepared data also the verdict that training
reads. Exit status 3 if there are errors; warnings are allowed.
"""

import pathlib
import shlex
import sys
from typing import Any

import rich.console
import rich.table
from absl import flags

from apppau_jax import progress as console
from apppau_jax.errors import ConfigError, DataError
from launch import cli

_DATASET = flags.DEFINE_string(
  "dataset", None, "Which dataset; several joined by +, or ccx."
)
_RAW_DIR = flags.DEFINE_multi_string(
  "raw_dir",
  None,
  "The owner's folder or zip; for several sets one for all, or one each.",
)
_DATA_DIR = flags.DEFINE_string(
  "data_dir", None, "Where prepared datasets live; instead of --raw_dir."
)
_RESOLUTION = flags.DEFINE_integer(
  "resolution", 128, "Of the prepared images: 128, 256 or 512."
)
_BITS = flags.DEFINE_integer("bits", 8, "Of the prepared images: 8 or 16.")
_SPLITS = flags.DEFINE_list(
  "splits",
  None,
  "Splits whose parts must share no patient and no picture: paper, idiap, "
  "given, fold-K-of-N, or a run's splits.json. By default those there are.",
)
_OUT = flags.DEFINE_string(
  "out", None, "Folder for verify.json and verify.html; it will show images."
)
_WORKERS = flags.DEFINE_integer(
  "workers", None, "Threads; one per CPU by default.", lower_bound=1
)

_SHOWN = 40  # findings on the screen; the file has them all
_COLOURS = {"error": "red", "warning": "yellow", "note": "blue"}


def main() -> None:
  """Examines, prints, writes, and judges."""
  if not _DATASET.value or bool(_RAW_DIR.value) == bool(_DATA_DIR.value):
    raise ConfigError(
      "Say which --dataset, and where it is: either --raw_dir (the owner's "
      "folder or zip) or --data_dir (prepared data)."
    )
  from apppau_jax.checks import examination
  from apppau_jax.datasets import names as sets
  from apppau_jax.datasets import split_protocols

  dataset = _DATASET.value
  members = sets.members(dataset)
  if _DATA_DIR.value:
    films, found = _read_prepared(dataset, _DATA_DIR.value)
  else:
    films, found = _read_raw(members, _RAW_DIR.value)
  examined = examination.examine(films, found=found)
  if _DATA_DIR.value:
    _keep_verdict(dataset, _DATA_DIR.value, examined)
  given = any(film.part for film in films)
  names = _SPLITS.value or split_protocols.offered(members, given=given)
  found = examination.divided(examined, films, dataset=dataset, names=names)
  _show(found, images=len(films))
  _write(dataset, films, found, splits=names)
  _judge(found)


def _read_raw(members, folders) -> tuple[list[Any], list[Any]]:
  from apppau_jax.checks import raw_data

  if len(folders) not in (1, len(members)):
    raise ConfigError(
      f"--raw_dir is given {len(folders)} times for {len(members)} sets "
      f"({', '.join(members)}); give it once for all or once for each, in "
      "this order."
    )
  films, found = [], []
  folders = folders if len(folders) == len(members) else folders * len(members)
  for member, folder in zip(members, folders):
    with console.bar(f"examining {member}") as progress:
      own, of_set = raw_data.read(
        member, folder, workers=_WORKERS.value, progress=progress
      )
    films += own
    found += of_set
  return films, found


def _read_prepared(dataset: str, data_dir: str) -> tuple[list[Any], list[Any]]:
  from apppau_jax.checks import prepared_data
  from apppau_jax.datasets import catalogue

  known = catalogue.read_catalogue(
    data_dir,
    dataset=dataset,
    resolution=_RESOLUTION.value,
    bits=_BITS.value,
  )
  with console.bar(f"examining {dataset}") as progress:
    return prepared_data.read(
      data_dir, known, workers=_WORKERS.value, progress=progress
    )


def _keep_verdict(dataset: str, data_dir: str, examined) -> None:
  """Puts the verdict beside the data, if it may be written there."""
  from apppau_jax.checks import saved_findings
  from apppau_jax.datasets import catalogue

  where = {
    "dataset": dataset,
    "resolution": _RESOLUTION.value,
    "bits": _BITS.value,
  }
  path = saved_findings.path(data_dir, **where)
  digest = catalogue.content_sha256(data_dir, **where)
  try:
    saved_findings.write(path, examined, content_sha256=digest)
  except OSError as error:
    print(f"note: the verdict is not kept: {error}", file=sys.stderr)


def _show(found, *, images: int) -> None:
  from apppau_jax.checks import findings

  screen = rich.console.Console()
  if found:
    table = rich.table.Table(title="worst first")
    for name in ("level", "check", "what"):
      table.add_column(name, overflow="fold")
    for f in found[:_SHOWN]:
      cells = (f.level, f.check, f.what)
      colour = _COLOURS[f.level]
      table.add_row(*(rich.table.Text(c) for c in cells), style=colour)
    screen.print(table)
  if len(found) > _SHOWN:
    screen.print(f"... and {len(found) - _SHOWN} more")
  numbers = findings.counts(found)
  told = ", ".join(f"{level}s {n}" for level, n in numbers.items())
  screen.print(f"{images} images examined: {told}", highlight=False)


def _write(dataset: str, films, found, *, splits: list[str]) -> None:
  if not _OUT.value:
    return
  from apppau_jax import files
  from apppau_jax.checks import findings, html_page

  folder = pathlib.Path(_OUT.value).expanduser()
  command = ["python", "-m", "launch.verify_data", *sys.argv[1:]]
  files.write_json(
    folder / "verify.json",
    {
      "dataset": dataset,
      "images": len(films),
      "splits": splits,
      "counts": findings.counts(found),
      "findings": [finding.as_dict() for finding in found],
    },
  )
  what = "raw files" if _RAW_DIR.value else f"{_RESOLUTION.value} pixels"
  html_page.write(
    folder / "verify.html",
    title=f"{dataset}, {what}",
    films=films,
    findings=found,
    command=shlex.join(command),
  )
  print(f"wrote {folder / 'verify.html'} and verify.json")


def _judge(found) -> None:
  errors = [finding for finding in found if finding.level == "error"]
  if errors:
    first = errors[0]
    raise DataError(
      f"{_DATASET.value} has {len(errors)} errors, first ({first.check}): "
      f"{first.what}. {first.advice}"
    )


if __name__ == "__main__":
  cli.run(main)
