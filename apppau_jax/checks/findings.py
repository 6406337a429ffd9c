"""Findings: what is wrong, how severe it is, and what to do about it."""

import dataclasses
from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

LEVELS = ("error", "warning", "note")


class Check(NamedTuple):
  """What a check looks for, and what to do about its findings."""

  looks_for: str
  advice: str


CHECKS: dict[str, Check] = {
  "readable": Check(
    "file or archive that cannot be read", "Get it again from its owner."
  ),
  "size": Check(
    "unusual height or width",
    "Check that the file is the radiograph itself, not a crop or thumbnail.",
  ),
  "mode": Check(
    "unsupported pixel mode", "Save it upright as 8-bit or 16-bit grey PNG."
  ),
  "depth": Check(
    "16 bits of which the upper ones are empty",
    "Scale the values to the whole range of 16 bits, or save 8 bits.",
  ),
  "constant": Check("one grey level everywhere", "Remove the image."),
  "contrast": Check(
    "few grey levels, or most pixels black or white",
    "Check whether a display window was applied; export it without.",
  ),
  "view": Check(
    "lateral, turned or negative film, by its header or its pixels",
    "Inspect it: only frontal, upright, positive films belong to the set.",
  ),
  "polarity": Check(
    "lungs that are not darker than their surroundings",
    "Inspect it: invert a negative, or pair the image with its own mask.",
  ),
  "values": Check(
    "mask values other than {0, 1} or {0, full scale}",
    "Export the mask again without smoothing.",
  ),
  "shape": Check(
    "mask of another size than its image", "Get the mask of this image."
  ),
  "mask": Check(
    "mask of one lung without the other", "Add the mask of the other lung."
  ),
  "fraction": Check(
    "unusual lung area", "Inspect the mask, and whether it is inverted."
  ),
  "components": Check(
    "mask that does not consist of two pieces",
    "Inspect the mask; remove small pieces.",
  ),
  "sides": Check(
    "image or mask mirrored or upside down",
    "Inspect it; mirror image or mask back.",
  ),
  "counts": Check(
    "files missing from the published set, or added to it",
    "Complete the folder; missing images are neither trained on nor measured.",
  ),
  "text": Check(
    "class that contradicts the clinical text",
    "Read the text; correct the class or the text.",
  ),
  "patients": Check(
    "one patient in two parts of a split", "Keep a patient in one part."
  ),
  "twins": Check(
    "one image under two names", "Keep one of them, or both in one part."
  ),
  "split": Check("split that cannot be made", "Choose another split."),
}
# Of `Finding.as_dict` in JSON, see `reading`.
FORM = {"check": str, "level": str, "what": str, "ids": [str]}
# Checks that only a mask can fail.
OF_MASKS = frozenset(
  {"values", "shape", "mask", "fraction", "components", "sides", "polarity"}
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding:
  """One problem.

  Attributes:
    check: a key of `CHECKS`.
    level: "error" (training refuses), "warning" or "note".
    what: a sentence with names and numbers.
    ids: the images concerned; none if it concerns the whole set.
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
    """Converts it for verify.json."""
    return {**dataclasses.asdict(self), "advice": self.advice}

  @classmethod
  def from_dict(cls, values: dict[str, Any]) -> "Finding":
    """Reverses `as_dict`.

    Raises:
      ValueError: an unknown check or level.
    """
    if values["check"] not in CHECKS or values["level"] not in LEVELS:
      raise ValueError(f"no such finding: {values['check']}, {values['level']}")
    names = ("check", "level", "what")
    return cls(**{n: values[n] for n in names}, ids=tuple(values["ids"]))


def error(check: str, what: str, *ids: str) -> Finding:
  """Makes a finding because of which training refuses."""
  return Finding(check=check, level="error", what=what, ids=ids)


def warning(check: str, what: str, *ids: str) -> Finding:
  """Makes a finding to inspect."""
  return Finding(check=check, level="warning", what=what, ids=ids)


def note(check: str, what: str, *ids: str) -> Finding:
  """Makes a finding that is no problem."""
  return Finding(check=check, level="note", what=what, ids=ids)


def worst_first(found: Iterable[Finding]) -> list[Finding]:
  """Sorts by level, check and id, and removes copies."""
  place = list(CHECKS)
  return sorted(
    set(found),
    key=lambda f: (LEVELS.index(f.level), place.index(f.check), f.ids, f.what),
  )


def accepted(finding: Finding, accept: Collection[str]) -> bool:
  """Returns whether `accept` names the check, or the check and one id."""
  names = {finding.check, *(f"{finding.check}:{i}" for i in finding.ids)}
  return bool(names.intersection(accept))


def counts(found: Sequence[Finding]) -> dict[str, int]:
  """Counts the findings of each level."""
  return {level: sum(f.level == level for f in found) for level in LEVELS}
