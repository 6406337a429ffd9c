"""The rows of the tables: networks, losses, methods and their configurations.

The protocol `paper` follows the text (configs/paper_table1.py, paper_table2.py)
and `best` uses the same networks and losses with this project's recipes. The
rows that the paper lacks follow its own: cross-entropy and Dice (its Fig. 5),
the other presets, and for Table 2 ablations and baselines.

The table `semi` compares what S learns from images without masks, with few
masks, from the model in the package and from random weights. Its seed is the
draw of the masks and chooses the fold.
"""

import copy
import dataclasses
import importlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from apppau_jax import reading
from apppau_jax.config import KEYS, Config
from apppau_jax.datasets import registry
from apppau_jax.errors import ConfigError
from apppau_jax.keys import did_you_mean
from apppau_jax.models.segmentor import PRESETS
from apppau_jax.reports import report
from configs import base, few_masks

PROTOCOLS = ("paper", "best")
# The row that others are compared with: that of the paper, and supervision.
PROPOSED = {
  "1": "PPAU-Net, KLTV",
  "2": "APPAU-Net, KLTV",
  "semi": "supervised, 3 masks",
}
FOLDS = 3  # of the table `semi`
# Methods of the table `semi` by the number of masks.
_TWO = ("supervised", "copy_paste")
_METHODS = {
  "1": _TWO,
  "3": tuple(few_masks.METHODS),
  "5": _TWO,
  "10": tuple(few_masks.METHODS),
  "40": _TWO,
  "all": ("supervised",),
}
# Keys that rows and runs set themselves.
_RESERVED = (
  *("seed", "data.dataset", "data.data_dir", "data.label_seed"),
  *("loss.name", "discriminator.enabled"),
)
_LOSSES = {
  "tversky": "TV",
  "kl_tversky": "KLTV",
  "cross_entropy_tversky": "XETV",
  "cross_entropy": "XE",
  "dice": "Dice",
}
_PAPER_MODELS = ("unet", "attention_unet", "ppau_unet")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
  """A row of a table for one data set.

  Attributes:
    name: network and loss, as in "PPAU-Net, KLTV".
    dataset: name of the data set.
    in_paper: whether the paper's table has this row.
    config: the configuration without seeds.
    folds: their number, if the seed chooses the fold; else 0.
  """

  name: str
  dataset: str
  in_paper: bool
  config: Any
  folds: int = 0

  def run_config(
    self,
    seed: int,
    *,
    data_dir: str,
    overrides: Mapping[str, Any],
    quick: bool,
  ) -> Any:
    """Returns the configuration of a run, seeded in network, order and labels.

    Raises:
      ConfigError: an override of the wrong type or out of range.
    """
    config = copy.deepcopy(self.config)
    config = base.quick(config) if quick else config
    flat = Config.from_dict(config.to_dict()).flat()
    config = Config.from_dict({**flat, **overrides})
    config.data.data_dir = data_dir
    config.seed = config.data.label_seed = seed
    if self.folds:
      config.data.split = f"fold-{seed % self.folds}-of-{self.folds}"
    return config

  @property
  def folder(self) -> str:
    """The name in the form of a folder's name."""
    return self.name.lower().replace(" ", "_").replace(",", "")


def parse_protocol(text: str) -> tuple[str, bool]:
  """Reads one of `PROTOCOLS`, and whether `:quick` follows it.

  Raises:
    ConfigError: any other text.
  """
  protocol, colon, argument = text.partition(":")
  if protocol not in PROTOCOLS or (colon and argument != "quick"):
    raise ConfigError(
      f"--protocol={text} must be {' or '.join(PROTOCOLS)}, optionally "
      "followed by :quick, as in paper:quick."
    )
  return protocol, bool(colon)


def parse_overrides(items: Iterable[str]) -> dict[str, Any]:
  """Reads `key=value` pairs such as `model.base_width=8`.

  Raises:
    ConfigError: not of that form, or a key that does not exist.
  """
  overrides = {}
  for item in items:
    key, equals, value = item.partition("=")
    if key in _RESERVED:
      raise ConfigError(
        f"--set={item}: the rows of the table set {key} themselves. Choose "
        "them by --table, --datasets, --seeds, --row and --data_dir."
      )
    if not equals or key not in KEYS:
      hint = did_you_mean(key, KEYS)
      raise ConfigError(
        f"--set={item} is not key=value with a configuration key.{hint}"
      )
    try:
      overrides[key] = reading.parse_json(
        {"True": "true", "False": "false"}.get(value, value)
      )
    except ValueError:
      overrides[key] = value
  return overrides


def rows(
  table: str, *, protocol: str, datasets: Sequence[str], extra: bool
) -> list[Row]:
  """Returns the rows of a table, data set by data set.

  Args:
    table: "1" (segmentation alone), "2" (both tasks, a tenth of the labels)
      or "semi" (few masks), which has the protocol `best` and no row of the
      paper.
    protocol: one of `PROTOCOLS`.
    datasets: names of data sets.
    extra: whether to add the rows that the paper lacks.

  Raises:
    ConfigError: no such table or data set, or a set without such a table.
  """
  tables = {"1": _table1, "2": _table2, "semi": _table_semi}
  if table not in tables:
    raise ConfigError(
      f"--table={table} does not exist; there are {', '.join(tables)}."
    )
  for dataset in datasets:
    registry.members(dataset)  # refuses unknown names
  return [
    row
    for dataset in datasets
    for row in tables[table](dataset, protocol)
    if extra or row.in_paper
  ]


def select(rows: Sequence[Row], texts: Sequence[str]) -> list[Row]:
  """Returns the rows whose name contains one of the texts, in any case.

  A text that is a whole name selects that row alone. Without texts all rows
  are returned.

  Raises:
    ConfigError: a text that no name contains.
  """
  every = dict.fromkeys(row.name for row in rows)
  chosen = set() if texts else set(every)
  for text in texts:
    whole = [name for name in every if name.lower() == text.lower()]
    found = whole or [n for n in every if text.lower() in n.lower()]
    if not found:
      raise ConfigError(
        f"--row={text}: no row's name contains it. The rows are: "
        f"{'; '.join(every)}."
      )
    chosen.update(found)
  return [row for row in rows if row.name in chosen]


def _table1(dataset: str, protocol: str) -> Iterator[Row]:
  def row(model: str, loss: str, *, in_paper: bool = False) -> Row:
    if protocol == "paper":
      arg = f"dataset={dataset},model={model},loss={loss}"
      config = _config("paper_table1", arg)
    else:
      config = base.segmentor_alone(_recipe(dataset))
      config.data.label_fraction = 1.0
      config.model.preset = model
      _set_loss(config, loss)
    name = f"{report.model_name(model)}, {_LOSSES[loss]}"
    return Row(name=name, dataset=dataset, in_paper=in_paper, config=config)

  for model in _PAPER_MODELS:
    for loss in ("tversky", "kl_tversky"):
      yield row(model, loss, in_paper=True)
  for loss in ("cross_entropy", "dice"):
    yield row("ppau_unet", loss)
  for model in PRESETS:
    if model not in _PAPER_MODELS:
      yield row(model, "kl_tversky")


def _table2(dataset: str, protocol: str) -> Iterator[Row]:
  def recipe(loss: str) -> Any:
    if protocol == "paper":
      return _config("paper_table2", f"dataset={dataset},loss={loss}")
    config = base.semi_supervised(_recipe(dataset))
    _set_loss(config, loss)
    return config

  def row(name: str, loss: str, *changes: Callable, in_paper=False) -> Row:
    config = recipe(loss)
    for change in changes:
      config = change(config)
    name = f"{name}, {_LOSSES[loss]}"
    return Row(name=name, dataset=dataset, in_paper=in_paper, config=config)

  for loss in ("tversky", "cross_entropy_tversky", "kl_tversky"):
    yield row("APPAU-Net", loss, in_paper=True)
  best = protocol == "best"
  if best:
    for part, change in (
      ("adversarial term", base.without_adversarial),
      ("classes", base.without_classes),
      ("pseudo-labels", base.without_consistency),
    ):
      yield row(f"APPAU-Net without {part}", "kl_tversky", change)
  loss, alone = "cross_entropy_tversky", base.segmentor_alone
  yield row("PPAU-Net supervised only", loss, alone)
  if best:
    yield row("PPAU-Net with pseudo-labels", loss, base.without_discriminator)
    yield row("PPAU-Net with all masks", loss, alone, base.all_labelled)
    yield row("APPAU-Net with all labels", loss, base.all_labelled)


def _table_semi(dataset: str, protocol: str) -> Iterator[Row]:
  if dataset not in few_masks.RECIPES or protocol != "best":
    raise ConfigError(
      "--table=semi compares our recipes for "
      f"{' and '.join(few_masks.RECIPES)}: pass --protocol=best and one of "
      f"these, not {protocol} and {dataset}."
    )
  for masks, start in itertools.product(_METHODS, ("box", "none")):
    for method in _METHODS[masks]:
      arg = f"dataset={dataset},masks={masks},start={start},method={method}"
      scratch = " from scratch" if start == "none" else ""
      number = "1 mask" if masks == "1" else f"{masks} masks"
      yield Row(
        name=f"{method.replace('_', ' ')}{scratch}, {number}",
        dataset=dataset,
        in_paper=False,
        config=few_masks.get_config(arg),
        folds=FOLDS,
      )


def _set_loss(config: Any, loss: str) -> None:
  """Sets the loss, with the same alpha and beta for all losses."""
  config.loss.name = loss
  config.loss.fp_weight, config.loss.fn_weight = 0.3, 0.7


def _recipe(dataset: str) -> Any:
  """This project's recipe for a data set, a combination or a user's set."""
  name = "ccx" if registry.is_combined(dataset) else registry.kind(dataset)
  module = importlib.import_module(f"configs.{name}")
  config = getattr(module, "recipe", module.get_config)()
  config.data.dataset = dataset
  return config


def _config(name: str, arg: str) -> Any:
  return importlib.import_module(f"configs.{name}").get_config(arg)
