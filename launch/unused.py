"""Which of the keys a user set this run will not look at.

A learning rate for a player that does not play is a mistake that no range can
catch: it is told before anything starts.
"""

from collections.abc import Iterable, Mapping
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
    ("nonsaturating", "saturating", "feature_matching"),
  ),
  (
    ("consistency.weight", "consistency.teacher", "consistency.cutmix"),
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

# How unlabelled images are disturbed, for S and for D: one of them is enough.
_VIEWS = (
  ("consistency.",),
  "consistency.name",
  ("mean_teacher", "pseudo_label"),
)


def unused(flat: Mapping[str, Any], *, given: Iterable[str]) -> list[str]:
  """One line for each given key that has no effect.

  Args:
    flat: the configuration, keys joined by dots.
    given: the keys set on the command line.
  """
  lines = []
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
  return lines
