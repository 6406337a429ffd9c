"""Prepares a dataset: the owner's folder or zip becomes TFDS shards.

python -m launch.prepare_data --dataset=montgomery --raw_dir=NLM.zip
python -m launch.prepare_data --dataset=folder:clinic --raw_dir=RAW
python -m launch.prepare_data --dataset=phantom
python -m launch.prepare_data --table3
"""

from typing import Any

import rich.console
import rich.table
from absl import flags, logging

from apppau_jax import escapes
from apppau_jax import progress as console
from apppau_jax.datasets import phantom, registry
from apppau_jax.datasets import prepare as prepare_lib
from apppau_jax.errors import ConfigError
from apppau_jax.paper import table3
from apppau_jax.phantoms import draw_set
from launch import cli, column_flags

_DATASET = flags.DEFINE_string(
  "dataset",
  None,
  f"The dataset: {', '.join(registry.DATASETS)}, or {registry.OWN_FORM}.",
)
_TABLE3 = flags.DEFINE_bool(
  "table3", False, "Print the paper's Table 3 from the public lists, and exit."
)
_RAW_DIR = flags.DEFINE_string(
  "raw_dir",
  None,
  "The folder or zip of its files; not needed for phantoms, which are drawn.",
)
_DATA_DIR = flags.DEFINE_string(
  "data_dir", "data", "The folder of all prepared datasets."
)
_RESOLUTION = flags.DEFINE_integer(
  "resolution", 128, "Side of the prepared images: 128, 256 or 512."
)
_BITS = flags.DEFINE_integer(
  "bits", 8, "Bits of a prepared grey level: 8, or 16 for deeper files."
)
_ALLOW_MISSING = flags.DEFINE_bool(
  "allow_missing", False, "Continue if files that belong to it are missing."
)
_COLUMNS = column_flags.define()
_WORKERS = flags.DEFINE_integer(
  "workers", None, "Decoding threads; one per CPU by default.", lower_bound=1
)
_PHANTOM_COUNT = flags.DEFINE_integer(
  "phantom_count", phantom.COUNT, "How many phantoms to draw.", 1
)
_PHANTOM_SEED = flags.DEFINE_integer(
  "phantom_seed", 0, "The same seed draws the same phantoms.", 0
)
_PHANTOM_WIDE = flags.DEFINE_bool(
  "phantom_wide",
  False,
  "Draw phantoms that differ as the films of many hospitals do.",
)

_SHOWN = 10  # remarks and missing files on the screen; prepare.json has all


def main() -> None:
  """Prepares the dataset of the flags and prints what was found."""
  logging.set_verbosity(logging.WARNING)  # TFDS logs its staging folder
  screen = rich.console.Console()
  if _TABLE3.value:
    screen.print(_table3())
    return
  if _DATASET.value is None:
    raise ConfigError(
      f"Give --dataset={'|'.join(registry.DATASETS)} or folder:NAME. "
      "Combinations such as ccx are not prepared, only their members."
    )
  _report(_prepare(_DATASET.value), screen)


def _table3() -> rich.table.Table:
  """Returns the paper's Table 3 for complete sets."""
  table = rich.table.Table(title="Table 3: images by class and by part")
  parts = ("train", "validation", "test")
  for name in ("dataset", "images", *table3.CLASSES, *parts):
    table.add_column(name, justify="left" if name == "dataset" else "right")
  for row in table3.rows():
    numbers = (row.images, *row.classes, row.train, row.validation, row.test)
    table.add_row(row.dataset, *map(str, numbers))
  return table


def _prepare(dataset: str) -> dict[str, Any]:
  raw_dir = _RAW_DIR.value
  if raw_dir is None and dataset == "phantom":
    with console.bar("drawing phantoms") as progress:
      raw_dir = draw_set.draw(
        _DATA_DIR.value,
        count=_PHANTOM_COUNT.value,
        seed=_PHANTOM_SEED.value,
        wide=_PHANTOM_WIDE.value,
        workers=_WORKERS.value or 1,
        progress=progress,
      )
  with console.bar(f"preparing {dataset}") as progress:
    return prepare_lib.prepare(
      dataset,
      raw_dir=raw_dir,
      data_dir=_DATA_DIR.value,
      resolution=_RESOLUTION.value,
      bits=_BITS.value,
      allow_missing=_ALLOW_MISSING.value,
      columns=column_flags.given(_COLUMNS),
      workers=_WORKERS.value,
      progress=progress,
    )


def _report(summary: dict[str, Any], screen: rich.console.Console) -> None:
  """Prints the counts, the first remarks, and where the others are."""
  title = (
    f"{summary['dataset']} at {summary['resolution']} pixels of "
    f"{summary.get('bits', 8)} bits"
  )
  table = rich.table.Table(title=rich.table.Text(title))
  for name in summary["counts"]:
    name = rich.table.Text(escapes.printable(name))  # no markup
    table.add_column(name, justify="right", overflow="fold")
  table.add_row(*(str(count) for count in summary["counts"].values()))
  screen.print(table)
  remarks = [
    f"{v['level']}: {v['id']}: {v['message']}" for v in summary["verdicts"]
  ]
  lines = [
    *_some("remarks", remarks),
    *_some("unlabelled (without a mask)", summary["unlabelled"]),
    *_some("missing files", summary["missing"]),
    f"{'already ' if summary['reused'] else ''}prepared in "
    f"{summary['folder']} (complete lists: prepare.json there)",
  ]
  for line in lines:
    console.say(line)


def _some(title: str, lines: list[str]) -> list[str]:
  """Returns the first lines of a list, and how many there are."""
  more = len(lines) - _SHOWN
  return [
    *([f"{title}: {len(lines)}"] if lines else []),
    *(f"  {line}" for line in lines[:_SHOWN]),
    *([f"  ... and {more} more"] if more > 0 else []),
  ]


if __name__ == "__main__":
  cli.run(main)
