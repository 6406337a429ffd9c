"""The configuration: every key once, with its default, range, unit and use.

`python -m apppau_jax.config` prints all of it as a Markdown table. Recipes
(configs/) change an `ml_collections.ConfigDict` made by `defaults`; behind the
commands everything works on the typed `Config`, whose names are the same.

To add a key, add it to its section here and read it in apppau_jax/experiment.
`used_by` says when it has an effect (see `keys.key`); losses and methods use
the keys that are parameters of theirs. Sources: "paper" is arXiv
1908.03693 as docs/paper.md reads it, and the equations are the paper's.
"""

import dataclasses
import functools
import inspect
import re
from collections.abc import Iterable, Mapping
from typing import Any

import ml_collections

from apppau_jax import errors, keys, losses, progress, semi
from apppau_jax.checks import findings
from apppau_jax.datasets import registry
from apppau_jax.keys import key, section
from apppau_jax.losses import objectives
from apppau_jax.models import blocks, discriminator, segmentor
from apppau_jax.training import mirror, optimizers
from apppau_jax.transforms import normalize

# Options that were removed, and the value at which an older configuration that
# holds them still means the same run.
REMOVED: dict[str, Any] = {
  "augment.shear": 0.0,
  "augment.elastic": 0.0,
  "augment.gas": 0.0,
  "consistency.gas": 0.0,
  "discriminator.repeats": 1,
  "discriminator.norm": "batch",
  "train.accumulate": 1,
  "train.shard_parameters": False,
}
_REMOVED_CHOICES = (
  ("adversarial.form", "feature_matching"),
  ("data.normalize", "zscore"),
)

_number = functools.partial(key, low=0)
_share = functools.partial(key, low=0, high=1)
_decay = functools.partial(key, low=0, high=0.999999)
_rate = functools.partial(key, low=0, above=True, high=10)
_count = functools.partial(key, low=1, high=65536)
_seed = functools.partial(key, 0, low=0, high=2**31 - 1)
_width = functools.partial(key, 32, low=1, high=1024, unit="channels")
_names = functools.partial(
  key,
  (),
  valid=(lambda v: len({*v}) == len(v), "a sequence of different names, or ()"),
)
_SPLIT = re.compile(r"paper|idiap|given|auto|classification|fold-\d+-of-\d+")

_PLAYERS = "discriminator.enabled"
_CLASSIFIES = "classifier.enabled"
_CLASSES = (
  f"{_PLAYERS} or {_CLASSIFIES}",
  "discriminator.class_weight or discriminator.predicted_weight or "
  f"{_CLASSIFIES}",
)
_ONE_CLASS = "data.diagnosis=class"
_FEWER_LABELS = (
  "data.label_count or data.label_fraction!=1.0 or data.class_count or "
  "data.class_fraction!=0.0|1.0"
)
_BY_BUDGET = "data.labelled_ids=()"
_ADVERSARY = "adversarial.form!=none"
_STUDENT = "consistency.name!=none"
_VIEWS = f"{_STUDENT} or {_PLAYERS} and discriminator.consistency_weight"
_GEOMETRY = "augment.rotate_degrees or augment.scale or augment.shift"
_SIDE_OUTPUTS = "model.preset=" + "|".join(
  name
  for name in segmentor.PRESETS
  if getattr(segmentor.from_preset(name), "progressive", False)
)
_view = functools.partial(_share, used_by=_VIEWS)


def _is_dataset(value: str) -> bool:
  public = (*registry.DATASETS, *registry.COMBINATIONS)
  return all(x in public or registry.is_own(x) for x in value.split("+"))


def _users(parameter: str, *, of: str, registry: Mapping[str, Any]) -> str:
  """Return the rule that the chosen function or class has this parameter."""
  users = [
    name
    for name, function in registry.items()
    if parameter in inspect.signature(function).parameters
  ]
  return f"{of}={'|'.join(users)}" if users else ""


_LOSS = functools.partial(_users, of="loss.name", registry=losses.LOSSES)
_METHOD = functools.partial(
  _users, of="consistency.name", registry=semi.METHODS
)


@dataclasses.dataclass(slots=True, kw_only=True)
class Data(keys.Section):
  """Which images train, and which of their labels training may use."""

  dataset: str = key(
    "phantom",
    "prepared data set; a+b: both as one",
    choices=(*registry.DATASETS, *registry.COMBINATIONS),
    valid=(_is_dataset, f"{registry.OWN_FORM}, or several joined by +"),
  )
  data_dir: str = key("data", "folder that launch.prepare_data wrote")
  resolution: int = key(
    128, "side", choices=(128, 256, 512), unit="pixels", source="paper"
  )
  bits: int = key(8, "depth of the prepared grey levels", choices=(8, 16))
  diagnosis: str = key(
    "class",
    "class: one of an image; findings: any number of them",
    choices=("class", "findings"),
    used_by=_CLASSES,
  )
  class_names: tuple[str, ...] = _names(
    "(): as prepared", used_by=f"{_PLAYERS} or {_CLASSIFIES}"
  )
  split: str = key(
    "paper",
    "auto: given where the data set has one, else paper",
    valid=(
      _SPLIT.fullmatch,
      "paper, idiap, given, classification, auto or fold-K-of-N",
    ),
  )
  split_seed: int = _seed("of new splits", used_by="data.split!=idiap|given")
  label_fraction: float = _share(
    1.0,
    "with masks; paper: 0.1",
    above=True,
    used_by=("data.label_count=0", _BY_BUDGET),
  )
  label_count: int = _number(
    0, "with masks; 0: label_fraction", unit="images", used_by=_BY_BUDGET
  )
  label_seed: int = _seed("of the label budgets", used_by=_FEWER_LABELS)
  labelled_ids: tuple[str, ...] = _names("masks used; (): by the budget")
  class_fraction: float = _share(
    0.0, "with classes; 0: as masks", used_by=(*_CLASSES, "data.class_count=0")
  )
  class_count: int = _number(
    0, "with classes; 0: class_fraction", unit="images", used_by=_CLASSES
  )
  unmasked_images: bool = key(False, "train on images without masks too")
  classes_without_masks: bool = key(
    False,
    "divide images with a class and no mask too, for the diagnosis",
    used_by=_CLASSES,
  )
  structures: tuple[str, ...] = _names("masks to predict; (): the united lungs")
  streaming: bool = key(False, "read from disk, do not keep in memory")
  normalize: str = key("minmax", choices=normalize.METHODS, source="paper")
  accept: tuple[str, ...] = key(
    (),
    "errors of launch.verify_data to train in spite of",
    valid=(
      lambda v: all(item.partition(":")[0] in findings.CHECKS for item in v),
      f"checks, or CHECK:ID, of {', '.join(findings.CHECKS)}",
    ),
  )


@dataclasses.dataclass(slots=True, kw_only=True)
class Model(keys.Section):
  """The segmentor S, and how both networks compute."""

  preset: str = key("ppau_unet", choices=segmentor.PRESETS, source="paper")
  base_width: int = _width("at full resolution")
  norm: str = key("batch", choices=blocks.NORMS, source="paper")
  dtype: str = key("float32", "arithmetic", choices=("float32", "bfloat16"))
  remat: bool = key(False, "compute blocks twice to save memory")
  convolutions: str = key(
    "auto", "auto: oneDNN on one CPU", choices=("auto", "xla", "onednn")
  )


@dataclasses.dataclass(slots=True, kw_only=True)
class Loss(keys.Section):
  """The segmentation loss and its side outputs, eq. (1)."""

  name: str = key("kl_tversky", choices=losses.LOSSES, source="paper")
  fp_weight: float = _number(0.3, "of false positives", source="eq. (4): alpha")
  fn_weight: float = _number(0.7, "of false negatives", source="eq. (4): beta")
  smooth: float = _number(1e-6, above=True, unit="pixels", source="eq. (4)")
  kl_weight: float = _number(
    0.2, "0.2: as cross-entropy at p = 1/2", source="eq. (3): a"
  )
  kl_channels: str = key("both", "roi: the paper's", choices=("both", "roi"))
  kl_eps: float = key(1e-3, "smoothing of the target", low=1e-30, high=0.499)
  tversky_weight: float = _number(1.0, source="eq. (3): b")
  cross_entropy_weight: float = _number(1.0)
  side_weights: tuple[float, ...] = _number(
    (),
    "coarse to fine; (): each twice the one before",
    valid=(lambda v: not v or any(v), "numbers from 0, one positive, or ()"),
    used_by=_SIDE_OUTPUTS,
    source="eq. (1)",
  )
  side_target: str = key(
    "hard", "soft: area share", choices=("hard", "soft"), used_by=_SIDE_OUTPUTS
  )


@dataclasses.dataclass(slots=True, kw_only=True)
class Optim(keys.Section):
  """Adam or AdamW of S, and of D where D has no key of its own."""

  learning_rate: float = _rate(1e-3)
  schedule: str = key("cosine", "paper: constant", choices=optimizers.SCHEDULES)
  warmup_epochs: float = _number(0.0, "linear rise from 0", unit="epochs")
  b1: float = _decay(0.9, high=0.9999, source="paper")
  b2: float = _decay(0.999)
  weight_decay: float = _share(0.0, "decoupled; 0: Adam", source="paper")
  grad_clip: float = _number(0.0, "largest global norm; 0: off")
  ema_decay: float = _decay(0.99, "of the evaluated weights; 0: off (paper)")


@dataclasses.dataclass(slots=True, kw_only=True)
class Train(keys.Section):
  """Length, minibatches, and how often to report."""

  epochs: int = _number(100, "passes over the training images", low=1)
  start_from: str = key(
    "none",
    "none: random; box: the model in the package; or a run, a model file",
  )
  batch_size: int = _count(16, unit="images", source="paper")
  keep_checkpoints: bool = key(
    True, "False: at the end only model.safetensors remains"
  )
  mirror: str = key(
    "none", "also log there, if installed", choices=("none", *mirror.NAMES)
  )
  unlabelled_in_batch: int = _count(0, "paper: 8", low=0, unit="images")
  steps_per_call: int = key(
    0, "0: 1 on a CPU, else about 50", low=0, high=100000, unit="steps"
  )
  log_every: int = _number(10, low=1, unit="steps")
  eval_every_epochs: int = _number(5, low=1, unit="epochs")
  select_by: str = key(
    "dice", "of the best weights", choices=("dice", "auroc", "dice_auroc")
  )


@dataclasses.dataclass(slots=True, kw_only=True)
class Augment(keys.Section):
  """Random changes of training images, drawn uniformly; 0 is off."""

  geometry_probability: float = _share(1.0, "of the first 3", used_by=_GEOMETRY)
  rotate_degrees: float = _number(0.0, high=180, unit="degrees, ±")
  scale: float = _share(0.0, unit="relative, ±")
  shift: float = _share(0.0, unit="of the side, ±")
  gamma: float = _number(0.0, high=2, unit="log of the exponent, ±")
  contrast: float = _share(0.0, unit="relative, ±")
  brightness: float = _share(0.0, unit="of the grey range, ±")
  noise: float = _share(0.0, "largest deviation", unit="of the grey range")


@dataclasses.dataclass(slots=True, kw_only=True)
class Discriminator(keys.Section):
  """The discriminator D, the second player of Algorithm 1."""

  enabled: bool = key(False)
  base_width: int = _width("of the first stage")
  pooling: str = key("mean", choices=discriminator.POOLINGS)
  class_input: str = key(
    "pair", "image: no mask", choices=discriminator.CLASS_INPUTS, source="paper"
  )
  dropout: float = _share(0.4, high=0.99, source="paper")
  learning_rate: float = _rate(1e-4, source="paper")
  b1: float = _decay(0.9, high=0.9999, source="paper")
  weight_decay: float = _share(0.0, "decoupled")
  grad_clip: float = _number(0.0, "largest global norm; 0: off")
  class_weight: float = _number(1.0, source="eq. (6)")
  real_weight: float = _number(0.5, source="eq. (7)")
  fake_weight: float = _number(0.5, source="eq. (8)")
  predicted_weight: float = _number(0.0, "class loss of (x, S(x))")
  consistency_weight: float = _number(0.0, "of unlabelled (x, S(x))")
  conditional: bool = key(
    True,
    "False: n + 1 classes, eq. (10)",
    used_by=("discriminator.class_weight", _ONE_CLASS),
  )
  mask_smoothing: float = _share(0.0, "s: real masks are s and 1 - s", high=0.4)


@dataclasses.dataclass(slots=True, kw_only=True)
class Classifier(keys.Section):
  """A linear classifier of S's features, in place of D's classes."""

  enabled: bool = key(False, "fitted after the training, does not change S")


@dataclasses.dataclass(slots=True, kw_only=True)
class Adversarial(keys.Section):
  """The adversarial term of S, c L_adv of eq. (3)."""

  form: str = key(
    "nonsaturating", choices=(*objectives.ADVERSARIAL, "none"), source="eq. (5)"
  )
  weight: float = _number(0.01, used_by=_ADVERSARY, source="eq. (3): c")
  unlabelled_weight: float = _number(
    0.01, "c without mask", used_by=(_ADVERSARY, "train.unlabelled_in_batch")
  )
  ramp_up: float = _share(0.0, used_by=_ADVERSARY, unit="of the run")


@dataclasses.dataclass(slots=True, kw_only=True)
class Consistency(keys.Section):
  """Learning from weak and strong views of unlabelled images."""

  name: str = key("none", choices=("none", *semi.METHODS))
  weight: float = _number(1.0, "of S's term", used_by=_STUDENT)
  ramp_up: float = _share(0.3, used_by=_VIEWS, unit="of the run")
  threshold: float = _share(0.95, "of a pseudo-label", low=0.5)
  teacher: str = key("averaged", "weights", choices=("averaged", "student"))
  gamma: float = _view(0.6, high=2, unit="log of the exponent, ±")
  contrast: float = _view(0.4, unit="relative, ±")
  brightness: float = _view(0.2, unit="of the grey range, ±")
  noise: float = _view(0.1, unit="of the grey range")
  cutmix: float = _share(0.5, "views with a pasted box", used_by=_STUDENT)
  cutmix_with: str = key(
    "unlabelled",
    "images that the box comes from",
    choices=("unlabelled", "labelled"),
    used_by=(_STUDENT, "consistency.cutmix"),
  )


@dataclasses.dataclass(slots=True, kw_only=True)
class Eval(keys.Section):
  """Evaluation and prediction."""

  checkpoint: str = key("best", "latest: paper", choices=("best", "latest"))
  threshold: float = _share(0.5, "of a structure's probability")
  largest_components: int = _count(0, "kept of a mask; 0: all", low=0, high=99)
  test_time_augmentation: bool = key(False, "masks: mean of six views")
  positive_class: str = key(
    "auto", "of two, that of ROC and AUROC; auto: the second", used_by=_CLASSES
  )
  temperature_scaling: bool = key(
    False, "of D's classes", used_by=(*_CLASSES, _ONE_CLASS)
  )
  least_positives: int = _count(
    10,
    "with and without a finding, for its AUROC",
    unit="images",
    used_by=(*_CLASSES, "data.diagnosis=findings"),
  )
  batch_size: int = _count(16, unit="images")


@dataclasses.dataclass(slots=True, kw_only=True)
class Config(keys.Section):
  """A whole configuration.

  Example:
    >>> config = Config.from_dict({"optim": {"learning_rate": 1e-4}})
    >>> config.optim.learning_rate, config.train.batch_size
    (0.0001, 16)
  """

  seed: int = _seed("of initial weights, order and augmentation")
  data: Data = section(Data)
  model: Model = section(Model)
  loss: Loss = section(Loss, used_by=_LOSS)
  optim: Optim = section(Optim)
  train: Train = section(Train)
  augment: Augment = section(Augment)
  discriminator: Discriminator = section(Discriminator, used_by=_PLAYERS)
  classifier: Classifier = section(Classifier)
  adversarial: Adversarial = section(Adversarial, used_by=_PLAYERS)
  consistency: Consistency = section(Consistency, used_by=_METHOD)
  eval: Eval = section(Eval)

  @classmethod
  def from_dict(cls, tree: Mapping[str, Any]) -> "Config":
    """Read a configuration, nested or flat; keys it lacks take their default.

    Args:
      tree: keys and values, lists for tuples as JSON has them. A removed option
        is accepted at the value that means the same run.

    Raises:
      ConfigError: lists every unknown key, wrong type and value out of range.
    """
    config, flat = cls(), keys.flatten(tree)
    for name in KEYS.keys() & flat.keys():
      group, _, last = name.rpartition(".")
      owner = getattr(config, group) if group else config
      setattr(owner, last, KEYS[name].convert(flat[name]))
    config.check(*(_unknown(name, flat[name]) for name in flat.keys() - KEYS))
    return config

  def check(self, *faults: str) -> None:
    """Raise a ConfigError that lists all values that cannot be used.

    Args:
      *faults: sentences on what else is wrong; empty ones do not count.
    """
    flat = self.flat()
    found = [*faults, *(KEYS[name].fault(flat[name]) for name in KEYS)]
    found += [
      f"The choice {value} of config.{name} was removed."
      for name, value in _REMOVED_CHOICES
      if flat[name] == value
    ]
    if any(found):
      raise errors.ConfigError(" ".join(sorted(filter(None, found))))

  def flat(self) -> dict[str, Any]:
    """Return the values by name with dots, as `optim.learning_rate`."""
    return keys.flatten(self.to_dict())

  def to_config_dict(self) -> ml_collections.ConfigDict:
    """Return a ConfigDict, which recipes and absl's flags change."""
    return ml_collections.ConfigDict(self.to_dict())

  def __str__(self) -> str:
    """Return a Markdown table of the values and what they mean."""
    return keys.table(self.flat(), KEYS)


KEYS: dict[str, keys.Key] = keys.declared(Config)


def _unknown(name: str, value: Any) -> str:
  """Return what is wrong with a key that is not declared, or ""."""
  if name not in REMOVED:
    name = name[: keys.SHOWN]
    return f"config.{name} is unknown.{keys.did_you_mean(name, KEYS)}"
  if value == REMOVED[name]:
    return ""
  return (
    f"config.{name}={keys.shorten(value)} cannot be used: this option "
    f"was removed, and a configuration may hold it at {REMOVED[name]!r} only."
  )


def defaults() -> ml_collections.ConfigDict:
  """Return the default of every key, for a recipe to change."""
  return Config().to_config_dict()


def warnings(config: Config, *, given: Iterable[str] = ()) -> list[str]:
  """Return a line for each setting without effect, or with a surprising one.

  Args:
    config: the configuration.
    given: names of the keys that the user set.
  """
  flat, lines = config.flat(), []
  warmup, epochs = config.optim.warmup_epochs, config.train.epochs
  if warmup >= epochs:
    lines.append(
      f"config.optim.warmup_epochs={warmup:g} is as long as the run (config."
      f"train.epochs={epochs}): the learning rate rises until the last step"
    )
  teaches = not KEYS["consistency.teacher"].why_unused(flat)
  averaged = config.consistency.teacher == "averaged"
  if teaches and averaged and not config.optim.ema_decay:
    lines.append(
      "config.optim.ema_decay=0 makes the averaged teacher of "
      "config.consistency the student itself"
    )
  for name in sorted(given):
    reason = KEYS[name].why_unused(flat)
    if not reason and name in ("data.class_count", "data.class_fraction"):
      reason = _beyond_masks(config)
    if reason:
      lines.append(f"config.{name} has no effect: {reason}")
  return lines


def _beyond_masks(config: Config) -> str:
  """Return why classes of images without masks are not learned, or ""."""
  data = config.data
  more = data.class_fraction > data.label_fraction
  if data.class_count:  # how many masks a fraction makes is open here
    more = data.class_count > data.label_count > 0
  elif data.label_count:
    more = data.class_fraction == 1.0
  if config.discriminator.predicted_weight or not more:
    return ""
  return (
    "it exceeds the images with masks, and of the others "
    "discriminator.predicted_weight=0.0 learns no class"
  )


if __name__ == "__main__":
  progress.say(Config())
