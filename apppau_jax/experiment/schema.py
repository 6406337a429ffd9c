"""Type and range of every configuration key; checked before JAX starts."""

import dataclasses
import difflib
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from apppau_jax.checks.findings import CHECKS
from apppau_jax.datasets import names
from apppau_jax.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class Number:
  """A number in [low, high], or in (low, high] with `above`; whole if `int`."""

  low: float
  high: float = math.inf
  above: bool = False
  kind: type = float

  def __call__(self, value: Any) -> bool:
    """Whether `value` is in range."""
    if isinstance(value, bool) or not isinstance(value, int | float):
      return False
    if self.kind is int and not isinstance(value, int):
      return False
    low_ok = value > self.low if self.above else value >= self.low
    return math.isfinite(value) and low_ok and value <= self.high

  def __str__(self) -> str:
    what = "a whole number" if self.kind is int else "a number"
    low = f"greater than {self.low:g}" if self.above else f"from {self.low:g}"
    return f"{what} {low}" + (
      f" to {self.high:g}" if math.isfinite(self.high) else ""
    )


@dataclasses.dataclass(frozen=True)
class Choice:
  """One of some values."""

  words: tuple[Any, ...]

  def __call__(self, value: Any) -> bool:
    """Whether `value` is one of them."""
    return value in self.words

  def __str__(self) -> str:
    return "one of " + ", ".join(map(str, self.words))


@dataclasses.dataclass(frozen=True)
class Sets(Choice):
  """One of some words, a set of the user's own, or several joined by `+`."""

  def __call__(self, value: Any) -> bool:
    """Whether every part of `value` is one of them."""
    return isinstance(value, str) and all(
      word in self.words or names.is_own(word) for word in value.split("+")
    )

  def __str__(self) -> str:
    return f"{super().__str__()}, {names.OWN_FORM}, or several joined by +"


@dataclasses.dataclass(frozen=True)
class Text:
  """Text that matches a pattern; `form` says it in words."""

  form: str = "text"
  pattern: str = ".+"

  def __call__(self, value: Any) -> bool:
    """Whether `value` matches."""
    return isinstance(value, str) and bool(re.fullmatch(self.pattern, value))

  def __str__(self) -> str:
    return self.form


@dataclasses.dataclass(frozen=True)
class Names:
  """Different words, or none for the default."""

  def __call__(self, value: Any) -> bool:
    """Whether `value` is such a sequence."""
    return (
      isinstance(value, tuple | list)
      and all(isinstance(name, str) and name for name in value)
      and len(set(value)) == len(value)
    )

  def __str__(self) -> str:
    return "a sequence of different names, or ()"


@dataclasses.dataclass(frozen=True)
class Weights:
  """Numbers from 0, one a side output, or none for the default."""

  def __call__(self, value: Any) -> bool:
    """Whether `value` is such a sequence, not of zeros alone."""
    return isinstance(value, tuple | list) and (
      all(Number(0)(v) for v in value) and (not value or any(value))
    )

  def __str__(self) -> str:
    return "a sequence of numbers from 0, one positive, coarse to fine, or ()"


@dataclasses.dataclass(frozen=True)
class Checks:
  """Checks of the doctor, each whole or for one image."""

  def __call__(self, value: Any) -> bool:
    """Whether `value` is such a sequence."""
    return isinstance(value, tuple | list) and all(
      isinstance(v, str) and v.partition(":")[0] in CHECKS for v in value
    )

  def __str__(self) -> str:
    return (
      "a sequence of checks, whole or for one image, as in ('twins', "
      f"'patients:ID'), of {', '.join(CHECKS)}"
    )


DATASETS = (*names.CLASSES, "ccx", names.OWN)
PRESETS = (
  "unet",
  "pyramid_unet",
  "progressive_unet",
  "attention_unet",
  "pyramid_progressive_unet",
  "pyramid_attention_unet",
  "progressive_attention_unet",
  "ppau_unet",
)
LOSSES = (
  "tversky",
  "dice",
  "cross_entropy",
  "kl_tversky",
  "cross_entropy_tversky",
)

_SEED = Number(0, 2**31 - 1, kind=int)
_COUNT = Number(1, kind=int)
_SWITCH = Choice((True, False))

SCHEMA: dict[str, Callable[[Any], bool]] = {
  "seed": _SEED,
  "data.dataset": Sets(DATASETS),
  "data.data_dir": Text("a folder"),
  "data.class_names": Names(),
  "data.resolution": Choice((128, 256, 512)),
  "data.bits": Choice((8, 16)),
  "data.split": Text(
    "paper, idiap, given, auto or fold-K-of-N",
    r"paper|idiap|given|auto|fold-\d+-of-\d+",
  ),
  "data.split_seed": _SEED,
  "data.label_fraction": Number(0, 1, above=True),
  "data.label_count": Number(0, kind=int),
  "data.label_seed": _SEED,
  "data.class_fraction": Number(0, 1),
  "data.class_count": Number(0, kind=int),
  "data.unmasked_images": _SWITCH,
  "data.accept": Checks(),
  "data.structures": Names(),
  "data.streaming": _SWITCH,
  "data.normalize": Choice(("minmax", "percentile")),
  "model.preset": Choice(PRESETS),
  "model.base_width": Number(1, 1024, kind=int),
  "model.norm": Choice(("batch", "group")),
  "model.dtype": Choice(("float32", "bfloat16")),
  "model.remat": _SWITCH,
  "model.convolutions": Choice(("auto", "xla", "onednn")),
  "loss.name": Choice(LOSSES),
  "loss.fp_weight": Number(0),
  "loss.fn_weight": Number(0),
  "loss.smooth": Number(0, above=True),
  "loss.kl_weight": Number(0),
  "loss.kl_channels": Choice(("both", "roi")),
  "loss.kl_eps": Number(1e-30, 0.499),
  "loss.tversky_weight": Number(0),
  "loss.cross_entropy_weight": Number(0),
  "loss.side_weights": Weights(),
  "loss.side_target": Choice(("hard", "soft")),
  "discriminator.enabled": _SWITCH,
  "discriminator.base_width": Number(1, 1024, kind=int),
  "discriminator.repeats": Number(1, 8, kind=int),
  "discriminator.norm": Choice(("batch", "group", "spectral")),
  "discriminator.pooling": Choice(("mean", "mean_max")),
  "discriminator.class_input": Choice(("pair", "image")),
  "discriminator.dropout": Number(0, 0.99),
  "discriminator.learning_rate": Number(0, 10, above=True),
  "discriminator.b1": Number(0, 0.9999),
  "discriminator.weight_decay": Number(0, 1),
  "discriminator.grad_clip": Number(0),
  "discriminator.class_weight": Number(0),
  "discriminator.real_weight": Number(0),
  "discriminator.fake_weight": Number(0),
  "discriminator.predicted_weight": Number(0),
  "discriminator.consistency_weight": Number(0),
  "discriminator.conditional": _SWITCH,
  "discriminator.mask_smoothing": Number(0, 0.4),
  "adversarial.form": Choice(("nonsaturating", "saturating", "none")),
  "adversarial.weight": Number(0),
  "adversarial.unlabelled_weight": Number(0),
  "adversarial.ramp_up": Number(0, 1),
  "consistency.name": Choice(
    ("none", "mean_teacher", "pseudo_label", "cross_pseudo_supervision")
  ),
  "consistency.weight": Number(0),
  "consistency.ramp_up": Number(0, 1),
  "consistency.threshold": Number(0.5, 1),
  "consistency.teacher": Choice(("averaged", "student")),
  "consistency.gamma": Number(0, 2),
  "consistency.contrast": Number(0, 1),
  "consistency.brightness": Number(0, 1),
  "consistency.noise": Number(0, 1),
  "consistency.cutmix": Number(0, 1),
  "consistency.cutmix_with": Choice(("unlabelled", "labelled")),
  "augment.geometry_probability": Number(0, 1),
  "augment.rotate_degrees": Number(0, 180),
  "augment.scale": Number(0, 1),
  "augment.shift": Number(0, 1),
  "augment.gamma": Number(0, 2),
  "augment.contrast": Number(0, 1),
  "augment.brightness": Number(0, 1),
  "augment.noise": Number(0, 1),
  "optim.learning_rate": Number(0, 10, above=True),
  "optim.schedule": Choice(("cosine", "constant")),
  "optim.warmup_epochs": Number(0),
  "optim.b1": Number(0, 0.9999),
  "optim.b2": Number(0, 0.999999),
  "optim.weight_decay": Number(0, 1),
  "optim.grad_clip": Number(0),
  "optim.ema_decay": Number(0, 0.999999),
  "train.epochs": _COUNT,
  "train.batch_size": Number(1, 65536, kind=int),
  "train.unlabelled_in_batch": Number(0, 65536, kind=int),
  "train.steps_per_call": Number(0, 100000, kind=int),
  "train.log_every": _COUNT,
  "train.eval_every_epochs": _COUNT,
  "train.select_by": Choice(("dice", "auroc", "dice_auroc")),
  "eval.checkpoint": Choice(("best", "latest")),
  "eval.threshold": Number(0, 1),
  "eval.largest_components": Number(0, 100, kind=int),
  "eval.test_time_augmentation": _SWITCH,
  "eval.temperature_scaling": _SWITCH,
  "eval.batch_size": Number(1, 65536, kind=int),
}


def flatten(tree: Mapping[str, Any], *, prefix: str = "") -> dict[str, Any]:
  """Nested mappings as one, keys joined by dots."""
  flat: dict[str, Any] = {}
  for key, value in tree.items():
    name = f"{prefix}{key}"
    if isinstance(value, Mapping):
      flat |= flatten(value, prefix=f"{name}.")
    else:
      flat[name] = value
  return flat


def did_you_mean(word: str, known) -> str:
  """A hint for a mistyped word, or the empty string."""
  near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
  return f" Did you mean {near[0]}?" if near else ""


def check(tree: Mapping[str, Any]) -> None:
  """Raises ConfigError for every unknown key and value out of range at once.

  Args:
    tree: the configuration as nested mappings.
  """
  flat = flatten(tree)
  faults = [
    f"config.{key} is unknown.{did_you_mean(key, SCHEMA)}"
    for key in flat.keys() - SCHEMA.keys()
  ]
  faults += [f"config.{key} is missing." for key in SCHEMA.keys() - flat.keys()]
  for key, allowed in SCHEMA.items():
    if key in flat and not allowed(flat[key]):
      hint = ""
      if isinstance(allowed, Choice) and isinstance(flat[key], str):
        hint = did_you_mean(flat[key], map(str, allowed.words))
      faults.append(
        f"config.{key}={flat[key]!r} cannot be used; it must be {allowed}."
        f"{hint}"
      )
  if faults:
    raise ConfigError(" ".join(sorted(faults)))
