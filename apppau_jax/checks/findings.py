"""What was found, how bad it is, and what to do about it."""

import dataclasses
from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

LEVELS = ("error", "warning", "note")


class Check(NamedTuple):
  """What a check looks at, and what to do where it finds something."""

  asks: str
  advice: str


CHECKS: dict[str, Check] = {
  "readable": Check(
    "file or archive that cannot be read", "Fetch it again from its owner."
  ),
  "size": Check(
    "unusual height or width", "Look whether this is the film itself."
  ),
  "mode": Check(
    "pixel mode without a rule", "Save it upright as 8 or 16 bit grey PNG."
  ),
  "depth": Check(
    "16 bits of which the upper ones are empty",
    "Scale the values to the whole range of 16 bits, or save 8 bits.",
  ),
  "constant": Check("one grey level everywhere", "Leave the image out."),
  "contrast": Check(
    "few grey levels, or most pixels black or white",
    "Look whether a display window was burnt in; export it without.",
  ),
  "polarity": Check(
    "lungs that are not darker than what surrounds them",
    "Look at it: invert a negative, or pair the image with its own mask.",
  ),
  "values": Check(
    "mask values other than {0, 1} or {0, full scale}",
    "Export the mask again without smoothing.",
  ),
  "shape": Check(
    "mask of another size than its image", "Get the mask of this very image."
  ),
  "mask": Check("one lung's mask without the other's", "Add the other one."),
  "fraction": Check(
    "share of the image that is lung", "Look at the mask, and its polarity."
  ),
  "components": Check(
    "pieces that the mask is made of", "Look at the mask; remove specks."
  ),
  "sides": Check(
    "left for right, or upside down", "Look at it: mirror image or mask back."
  ),
  "counts": Check(
    "files that the published set has, or has not",
    "Complete the folder; what is absent is neither trained on nor measured.",
  ),
  "text": Check(
    "class against the clinical text", "Read the text; mend name or text."
  ),
  "patients": Check(
    "one patient in two parts of a split", "Keep a patient in one part."
  ),
  "twins": Check(
    "one picture under two names", "Keep one of them, or both in one part."
  ),
  "split": Check("a split that cannot be made", "Choose another split."),
}
# Checks that nothing but a mask can fail.
OF_MASKS = frozenset(
  {"values", "shape", "mask", "fraction", "components", "sides", "polarity"}
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding:
  """One thing that is wrong.

  Attributes:
    check: a key of `CHECKS`.
    level: "error" (training refuses), "warning" or "note".
    what: a sentence, names and numbers included.
    ids: the images it is about; none where it is about the whole set.
  """

  check: str
  level: str
  what: str
  ids: tuple[str, ...] = ()

  @property
  def advice(self) -> str:
    """What to do about it."""
    return CHECKS[self.check].advice

  def as_dict(self) -> dict[str, Any]:
    """For verify.json."""
    return {**dataclasses.asdict(self), "advice": self.advice}

  @classmethod
  def from_dict(cls, told: dict[str, Any]) -> "Finding":
    """What `as_dict` told."""
    return cls(
      check=told["check"],
      level=told["level"],
      what=told["what"],
      ids=tuple(told["ids"]),
    )


def error(check: str, what: str, *ids: str) -> Finding:
  """A finding that training refuses."""
  return Finding(check=check, level="error", what=what, ids=ids)


def warning(check: str, what: str, *ids: str) -> Finding:
  """A finding to look at."""
  return Finding(check=check, level="warning", what=what, ids=ids)


def note(check: str, what: str, *ids: str) -> Finding:
  """A fact worth knowing."""
  return Finding(check=check, level="note", what=what, ids=ids)


def worst_first(found: Iterable[Finding]) -> list[Finding]:
  """Errors, then warnings, then notes; each by check and id."""
  place = list(CHECKS)
  return sorted(
    set(found),
    key=lambda f: (LEVELS.index(f.level), place.index(f.check), f.ids, f.what),
  )


def accepted(finding: Finding, accept: Collection[str]) -> bool:
  """Whether `accept` names the check, or the check and one of the ids."""
  names = {finding.check, *(f"{finding.check}:{i}" for i in finding.ids)}
  return bool(names.intersection(accept))


def counts(found: Sequence[Finding]) -> dict[str, int]:
  """How many findings of each level."""
  return {level: sum(f.level == level for f in found) for level in LEVELS}
