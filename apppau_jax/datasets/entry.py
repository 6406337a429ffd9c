"""What a data set states of one image, without its pixels."""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from apppau_jax.imaging.film import Spacing


@dataclasses.dataclass(frozen=True)
class Entry:
  """One image without its pixels.

  Attributes:
    id: its name, unique in the data set.
    label: position in the class names of the data set; -1 if unknown.
    has_mask: whether it has a lung mask.
    patient: the name of the patient; the id if unknown.
    height: of the raw image in pixels.
    width: likewise.
    sex: "F", "M", "O" or "".
    age: in whole years, or "".
    finding: the text of the clinical reading, or "".
    source: the prepared set that holds it.
    structures: names of the structures outlined besides the lungs.
    spacing: of the raw image's pixels; None if unknown.
    details: features that only its set has, such as JSRT's nodules.
    findings: of each finding that its set states 1 if it is present, 0 if it
      is absent and -1 if that is not stated.
  """

  id: str
  label: int
  has_mask: bool
  patient: str
  height: int
  width: int
  sex: str = ""
  age: str = ""
  finding: str = ""
  source: str = ""
  structures: tuple[str, ...] = ()
  spacing: Spacing | None = None
  details: Mapping[str, int | str] = dataclasses.field(
    default_factory=dict, hash=False
  )
  findings: tuple[int, ...] = ()


def patients_of(entries: Sequence[Entry]) -> dict[str, str]:
  """Returns the patient of each id; sets do not share names of patients."""
  several = len({e.source for e in entries}) > 1
  return {
    e.id: f"{e.source}/{e.patient}" if several else e.patient for e in entries
  }


def given_parts(entries: Sequence[Entry]) -> dict[str, str]:
  """Returns train, validation or test by id, where the set itself states it."""
  stated = {e.id: str(e.details.get("split", "")) for e in entries}
  return {i: part for i, part in stated.items() if part}


def labels_for(
  entries: Sequence[Entry],
  *,
  usable: Collection[str],
  findings: Sequence[str] = (),
  stated: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> np.ndarray:
  """Returns the labels of images; what is unknown is -1.

  Args:
    entries: n images.
    usable: ids of those whose labels may be used; those of others are unknown.
    findings: names of the k labels of an image; () for its class.
    stated: by set, the names of `Entry.findings`.

  Returns:
    int32 [n], the classes; or [n, k], 1 for a finding that is present.
  """
  if not findings:
    label = [e.label if e.id in usable else -1 for e in entries]
    return np.array(label, np.int32)
  places = {
    source: [
      (k, [*names].index(f)) for k, f in enumerate(findings) if f in names
    ]
    for source, names in stated.items()
  }
  label = np.full((len(entries), len(findings)), -1, np.int32)
  for row, entry in zip(label, entries):
    if entry.id in usable:
      for k, place in places[entry.source]:
        row[k] = entry.findings[place]
  return label
