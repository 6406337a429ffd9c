"""The cells of the paper's tables: which networks, losses and data, by row.

`paper` is the literal protocol (configs/paper_table1.py, paper_table2.py),
`best` the same networks and losses under our recipes. The rows the paper lacks
follow its own: cross-entropy and Dice (its Fig. 5), the eight presets, and for
Table 2 what the semi-supervised recipe has to beat.
"""

import copy
import dataclasses
import importlib
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from apppau_jax.errors import ConfigError
from launch import schema

PROTOCOLS = ("paper", "best")
_LOSS_NAMES = {
  "tversky": "TV",
  "kl_tversky": "KLTV",
  "cross_entropy_tversky": "XETV",
  "cross_entropy": "XE",
  "dice": "Dice",
}
_MODEL_NAMES = {
  "unet": "U-Net",
  "attention_unet": "Attention U-Net",
  "ppau_unet": "PPAU-Net",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cell:
  """One row of one data set; with a seed, one run.

  Attributes:
    row: its name in the table.
    dataset: the data set.
    in_paper: whether the paper's table has this row.
    config: the whole configuration but for the seeds.
  """

  row: str
  dataset: str
  in_paper: bool
  config: Any

  def seeded(self, seed: int, *, overrides: dict[str, Any]) -> Any:
    """The configuration of one run: network, order and labels by its seed."""
    config = copy.deepcopy(self.config)
    config.seed = config.data.label_seed = seed
    for key, value in overrides.items():
      *rooms, last = key.split(".")
      room = config
      for name in rooms:
        room = room[name]
      room[last] = value
    schema.check(config.to_dict())
    return config

  @property
  def folder(self) -> str:
    """The row's name as a folder."""
    return self.row.lower().replace(" ", "_").replace(",", "")


def parse_overrides(items: Iterable[str]) -> dict[str, Any]:
  """Reads `key=value` pairs such as `model.base_width=8`.

  Raises:
    ConfigError: not of that form, or a key that does not exist.
  """
  overrides = {}
  for item in items:
    key, equals, value = item.partition("=")
    if not equals or key not in schema.SCHEMA:
      hint = schema.did_you_mean(key, schema.SCHEMA)
      raise ConfigError(
        f"--set={item} is not key=value with a key of configs/base.py.{hint}"
      )
    try:
      overrides[key] = json.loads(value)
    except json.JSONDecodeError:
      overrides[key] = value
  return overrides


def cells(
  table: int, *, protocol: str, datasets: Sequence[str], extra: bool
) -> list[Cell]:
  """The cells of a table, data set by data set.

  Args:
    table: 1 (segmentation alone) or 2 (both tasks, a tenth of the labels).
    protocol: `paper` or `best`.
    datasets: names of data sets.
    extra: whether to add the rows that the paper lacks.

  Raises:
    ConfigError: no such table or protocol, or no recipe for a data set.
  """
  if table not in (1, 2) or protocol not in PROTOCOLS:
    raise ConfigError(
      f"--table={table} --protocol={protocol}: there are tables 1 and 2 and "
      f"protocols {' and '.join(PROTOCOLS)}."
    )
  rows = _table1 if table == 1 else _table2
  return [
    cell
    for dataset in datasets
    for cell in rows(dataset, protocol)
    if extra or cell.in_paper
  ]


def _table1(dataset: str, protocol: str) -> Iterator[Cell]:
  def cell(model: str, loss: str, *, in_paper: bool) -> Cell:
    if protocol == "paper":
      arg = f"dataset={dataset},model={model},loss={loss}"
      config = _load("paper_table1", arg)
    else:
      config = _load(dataset)
      config.model.preset = model
      config.loss.name = loss
      if loss in ("tversky", "kl_tversky"):
        config.loss.fp_weight, config.loss.fn_weight = 0.3, 0.7
    name = _MODEL_NAMES.get(model, model.replace("_", " "))
    return Cell(
      row=f"{name}, {_LOSS_NAMES[loss]}",
      dataset=dataset,
      in_paper=in_paper,
      config=config,
    )

  for model in _MODEL_NAMES:
    for loss in ("tversky", "kl_tversky"):
      yield cell(model, loss, in_paper=True)
  for loss in ("cross_entropy", "dice"):
    yield cell("ppau_unet", loss, in_paper=False)
  for model in schema.PRESETS:
    if model not in _MODEL_NAMES:
      yield cell(model, "kl_tversky", in_paper=False)


def _table2(dataset: str, protocol: str) -> Iterator[Cell]:
  def recipe(loss: str) -> Any:
    if protocol == "paper":
      return _load("paper_table2", f"dataset={dataset},loss={loss}")
    config = _load(f"appau_{dataset}")
    config.loss.name = loss
    if loss in ("tversky", "kl_tversky"):
      config.loss.fp_weight, config.loss.fn_weight = 0.3, 0.7
    return config

  for loss in ("tversky", "cross_entropy_tversky", "kl_tversky"):
    yield Cell(
      row=f"APPAU-Net, {_LOSS_NAMES[loss]}",
      dataset=dataset,
      in_paper=True,
      config=recipe(loss),
    )
  alone = recipe("cross_entropy_tversky")
  alone.discriminator.enabled = False
  alone.consistency.name = "none"
  alone.train.unlabelled_in_batch = 0
  alone.train.select_by = "dice"
  yield Cell(
    row="PPAU-Net supervised only, XETV",
    dataset=dataset,
    in_paper=False,
    config=alone,
  )


def _load(name: str, arg: str | None = None) -> Any:
  try:
    module = importlib.import_module(f"configs.{name}")
  except ModuleNotFoundError as error:
    raise ConfigError(
      f"There is no recipe configs/{name}.py for this cell; leave its data set "
      "out of --datasets, or write one."
    ) from error
  return module.get_config(arg)
