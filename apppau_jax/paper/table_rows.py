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

from apppau_jax.datasets import registry
from apppau_jax.errors import ConfigError
from apppau_jax.experiment import schema
from apppau_jax.reports import report
from configs import base

PROTOCOLS = ("paper", "best")
# Keys that make a cell what its name says.
_OWNED = (
  "seed",
  "data.dataset",
  "data.data_dir",
  "data.label_seed",
  "loss.name",
  "discriminator.enabled",
)
_LOSS_NAMES = {
  "tversky": "TV",
  "kl_tversky": "KLTV",
  "cross_entropy_tversky": "XETV",
  "cross_entropy": "XE",
  "dice": "Dice",
}
_PAPER_MODELS = ("unet", "attention_unet", "ppau_unet")

# What each part of our recipe is worth in Table 2.
_WITHOUT = {
  "adversarial term": base.without_adversarial,
  "classes": base.without_classes,
  "pseudo-labels": base.without_consistency,
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

  def seeded(
    self, seed: int, *, data_dir: str, overrides: dict[str, Any], quick: bool
  ) -> Any:
    """The configuration of one run: network, order and labels by its seed.

    Raises:
      ConfigError: an override of the wrong type or out of range.
    """
    config = copy.deepcopy(self.config)
    config = base.quick(config) if quick else config
    flat = {**schema.flatten(config.to_dict()), **overrides}
    schema.check(flat)
    for key, value in overrides.items():
      *rooms, last = key.split(".")
      room = config
      for name in rooms:
        room = room[name]
      room[last] = value
    config.data.data_dir = data_dir
    config.seed = config.data.label_seed = seed
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
    if key in _OWNED:
      raise ConfigError(
        f"--set={item}: {key} is what tells the cells apart; choose them by "
        "--table, --datasets, --seeds and --data_dir."
      )
    if not equals or key not in schema.SCHEMA:
      hint = schema.did_you_mean(key, schema.SCHEMA)
      raise ConfigError(
        f"--set={item} is not key=value with a key of configs/base.py.{hint}"
      )
    try:
      overrides[key] = json.loads(
        {"True": "true", "False": "false"}.get(value, value)
      )
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
    ConfigError: no such table, protocol or data set.
  """
  if table not in (1, 2) or protocol not in PROTOCOLS:
    raise ConfigError(
      f"--table={table} --protocol={protocol}: there are tables 1 and 2 and "
      f"protocols {' and '.join(PROTOCOLS)}."
    )
  for dataset in datasets:
    registry.members(dataset)  # a name that means nothing stops here
  rows = _table1 if table == 1 else _table2
  return [
    cell
    for dataset in datasets
    for cell in rows(dataset, protocol)
    if extra or cell.in_paper
  ]


def named(chosen: Sequence[Cell], parts: Sequence[str]) -> list[Cell]:
  """The cells whose row is one of `parts`, or has one in its name, in any case.

  Args:
    chosen: the cells.
    parts: whole names, which mean their own rows alone, or parts of names;
      none for every cell.

  Raises:
    ConfigError: a part that no name has.
  """
  rows = dict.fromkeys(cell.row for cell in chosen)
  wanted = set() if parts else set(rows)
  for part in parts:
    whole = [row for row in rows if row.lower() == part.lower()]
    found = whole or [row for row in rows if part.lower() in row.lower()]
    if not found:
      raise ConfigError(
        f"--row={part} is in no row's name; there are: {'; '.join(rows)}."
      )
    wanted.update(found)
  return [cell for cell in chosen if cell.row in wanted]


def _table1(dataset: str, protocol: str) -> Iterator[Cell]:
  def cell(model: str, loss: str, *, in_paper: bool) -> Cell:
    if protocol == "paper":
      arg = f"dataset={dataset},model={model},loss={loss}"
      config = _load("paper_table1", arg)
    else:
      config = base.segmentor_alone(_recipe(dataset))
      config.data.label_fraction = 1.0
      config.model.preset = model
      _weigh(config, loss)
    return Cell(
      row=f"{report.model_name(model)}, {_LOSS_NAMES[loss]}",
      dataset=dataset,
      in_paper=in_paper,
      config=config,
    )

  for model in _PAPER_MODELS:
    for loss in ("tversky", "kl_tversky"):
      yield cell(model, loss, in_paper=True)
  for loss in ("cross_entropy", "dice"):
    yield cell("ppau_unet", loss, in_paper=False)
  for model in schema.PRESETS:
    if model not in _PAPER_MODELS:
      yield cell(model, "kl_tversky", in_paper=False)


def _table2(dataset: str, protocol: str) -> Iterator[Cell]:
  def recipe(loss: str) -> Any:
    if protocol == "paper":
      return _load("paper_table2", f"dataset={dataset},loss={loss}")
    config = base.semi_supervised(_recipe(dataset))
    _weigh(config, loss)
    return config

  for loss in ("tversky", "cross_entropy_tversky", "kl_tversky"):
    yield Cell(
      row=f"APPAU-Net, {_LOSS_NAMES[loss]}",
      dataset=dataset,
      in_paper=True,
      config=recipe(loss),
    )
  if protocol == "best":
    for name, without in _WITHOUT.items():
      yield Cell(
        row=f"APPAU-Net without {name}, KLTV",
        dataset=dataset,
        in_paper=False,
        config=without(recipe("kl_tversky")),
      )
  alone = base.segmentor_alone(recipe("cross_entropy_tversky"))
  others = {"PPAU-Net supervised only": alone}
  if protocol == "best":
    whole = recipe("cross_entropy_tversky")
    others |= {
      "PPAU-Net with pseudo-labels": base.without_discriminator(
        copy.deepcopy(whole)
      ),
      "PPAU-Net with all masks": base.all_labelled(copy.deepcopy(alone)),
      "APPAU-Net with all labels": base.all_labelled(whole),
    }
  for name, config in others.items():
    yield Cell(
      row=f"{name}, XETV", dataset=dataset, in_paper=False, config=config
    )


def _weigh(config: Any, loss: str) -> None:
  """The loss; alpha and beta alike for all, so that they decide nothing."""
  config.loss.name = loss
  config.loss.fp_weight, config.loss.fn_weight = 0.3, 0.7


def _recipe(dataset: str) -> Any:
  """Our recipe: a set's own, the union's for a combination, a user's set's."""
  name = "ccx" if registry.is_combined(dataset) else registry.kind(dataset)
  module = importlib.import_module(f"configs.{name}")
  config = getattr(module, "recipe", module.get_config)()
  config.data.dataset = dataset
  return config


def _load(name: str, arg: str) -> Any:
  return importlib.import_module(f"configs.{name}").get_config(arg)
