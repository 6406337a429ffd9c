"""Which of the keys a user set this run will not look at.

A learning rate for a player that does not play is a mistake that no range can
catch: it is told before anything starts.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

_TVERSKY = ("tversky", "kl_tversky", "cross_entropy_tversky")
_WEIGHTED = ("kl_tversky", "cross_entropy_tversky")

# Beginnings of keys, the key that decides, and its values that use them.
_RULES: tuple[tuple[tuple[str, ...], str, tuple[Any, ...]], ...] = (
  (("discriminator.", "adversarial."), "discriminator.enabled", (True,)),
  (("data.class_",), "discriminator.enabled", (True,)),
  (("eval.temperature_scaling",), "discriminator.enabled", (True,)),
  (
    ("adversarial.weight", "adversarial.unlabelled", "adversarial.ramp_up"),
    "adversarial.form",
    ("nonsaturating", "saturating"),
  ),
  (
    (
      "consistency.weight",
      "consistency.cutmix",
    ),
    "consistency.name",
    ("mean_teacher", "pseudo_label", "cross_pseudo_supervision"),
  ),
  (
    ("consistency.teacher",),
    "consistency.name",
    ("mean_teacher", "pseudo_label"),
  ),
  (("consistency.threshold",), "consistency.name", ("pseudo_label",)),
  (("loss.kl_",), "loss.name", ("kl_tversky",)),
  (("loss.fp_weight", "loss.fn_weight"), "loss.name", _TVERSKY),
  (("loss.tversky_weight",), "loss.name", _WEIGHTED),
  (("loss.cross_entropy_weight",), "loss.name", ("cross_entropy_tversky",)),
  (("loss.smooth",), "loss.name", (*_TVERSKY, "dice")),
)

# Beginnings of keys, and a reason why they have no effect, or "".
_REASONS: tuple[
  tuple[tuple[str, ...], Callable[[Mapping[str, Any]], str]], ...
] = (
  (
    ("loss.side_",),
    lambda c: (
      ""
      if c["model.preset"] == "ppau_unet" or "progressive" in c["model.preset"]
      else f"model.preset={c['model.preset']} has no side outputs"
    ),
  ),
  (
    ("data.label_fraction",),
    lambda c: "data.label_count is given" if c["data.label_count"] else "",
  ),
  (
    ("data.class_fraction",),
    lambda c: "data.class_count is given" if c["data.class_count"] else "",
  ),
  (
    ("data.split_seed",),
    lambda c: (
      f"data.split is {c['data.split']}"
      if c["data.split"] in ("idiap", "given")
      else ""
    ),
  ),
  (
    ("data.label_seed",),
    lambda c: (
      "every training image has its labels"
      if c["data.label_fraction"] == 1.0
      and not c["data.label_count"]
      and not c["data.class_count"]
      and c["data.class_fraction"] in (0.0, 1.0)
      else ""
    ),
  ),
  (
    ("adversarial.unlabelled_weight",),
    lambda c: (
      "" if c["train.unlabelled_in_batch"] else "train.unlabelled_in_batch is 0"
    ),
  ),
  (
    ("consistency.cutmix_with",),
    lambda c: "" if c["consistency.cutmix"] else "consistency.cutmix is 0",
  ),
  (
    ("discriminator.conditional",),
    lambda c: (
      ""
      if c["discriminator.class_weight"]
      else "discriminator.class_weight is 0"
    ),
  ),
  (
    ("eval.temperature_scaling",),
    lambda c: (
      ""
      if c["discriminator.class_weight"] or c["discriminator.predicted_weight"]
      else "discriminator.class_weight and predicted_weight are 0"
    ),
  ),
)

# How unlabelled images are disturbed, for S and for D: one of them is enough.
_VIEWS = (
  ("consistency.",),
  "consistency.name",
  ("mean_teacher", "pseudo_label", "cross_pseudo_supervision"),
)


def unused(flat: Mapping[str, Any], *, given: Iterable[str]) -> list[str]:
  """One line for each given key that has no effect or not the one it names.

  Args:
    flat: the configuration, keys joined by dots.
    given: the keys set on the command line.
  """
  lines = _questionable(flat)
  agreeing = flat["discriminator.enabled"] and (
    flat["discriminator.consistency_weight"] > 0
  )
  rules = _RULES if agreeing else (*_RULES, _VIEWS)
  for key in sorted(given):
    for starts, decides, values in rules:
      if (
        key != decides
        and key.startswith(starts)
        and flat[decides] not in values
      ):
        lines.append(
          f"config.{key} has no effect: {decides} is {flat[decides]}"
        )
        break
    else:
      lines += [
        f"config.{key} has no effect: {reason}"
        for starts, why in _REASONS
        if key.startswith(starts) and (reason := why(flat))
      ]
  return [*lines, *_classes(flat, given=given)]


def _questionable(flat: Mapping[str, Any]) -> list[str]:
  """What works otherwise than its name says, whoever set it."""
  lines = []
  warmup, epochs = flat["optim.warmup_epochs"], flat["train.epochs"]
  if warmup >= epochs:
    lines.append(
      f"optim.warmup_epochs={warmup:g} is as long as the run (train.epochs="
      f"{epochs}): the learning rate rises to its last step"
    )
  averaged = flat["consistency.teacher"] == "averaged"
  if (
    flat["consistency.name"] != "none"
    and averaged
    and flat["optim.ema_decay"] == 0.0
  ):
    lines.append(
      "optim.ema_decay=0 makes the averaged teacher of config.consistency the "
      "student itself"
    )
  return lines


def _classes(flat: Mapping[str, Any], *, given: Iterable[str]) -> list[str]:
  """Likewise of the budget of classes, which two weights decide together."""
  budget = sorted({"data.class_count", "data.class_fraction"} & {*given})
  enabled, predicted, real = (
    flat[f"discriminator.{name}"]
    for name in ("enabled", "predicted_weight", "class_weight")
  )
  if not enabled or predicted:
    return []
  if not real:
    why = "discriminator.class_weight and predicted_weight are 0"
    return [f"config.{key} has no effect: {why}" for key in budget]
  fraction, count = flat["data.class_fraction"], flat["data.class_count"]
  masks = flat["data.label_count"]
  if count:  # beside a fraction of masks, nobody knows yet how many those are
    more = count > masks > 0
  else:
    more = fraction == 1.0 if masks else fraction > flat["data.label_fraction"]
  if not more:
    return []
  return [
    f"config.{key} has no effect beyond the images with masks: "
    "discriminator.predicted_weight is 0"
    for key in budget
  ]
