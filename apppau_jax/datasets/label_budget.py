"""Split catalogued images under budgets of masks and of classes."""

import dataclasses
import functools
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from apppau_jax.datasets import phantom, registry, splits
from apppau_jax.datasets.parts import Parts
from apppau_jax.errors import ConfigError, DataError
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


def labels_of(
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


def split_entries(
  entries: Sequence[Entry],
  name: str = "paper",
  *,
  dataset: str,
  split_seed: int = 0,
  label_fraction: float = 1.0,
  label_count: int = 0,
  label_seed: int = 0,
  labelled_ids: Sequence[str] = (),
  class_fraction: float = 0.0,
  class_count: int = 0,
  structures: Sequence[str] = (),
  unmasked_images: bool = False,
) -> Parts:
  """Splits the images of a data set; for the arguments see `Dataset.split`."""
  masked = [e for e in entries if e.has_mask]
  patients = patients_of(entries)
  divide = functools.partial(
    splits.make_split,
    name,
    dataset=dataset,
    ids=[e.id for e in masked],
    labels={e.id: e.label for e in masked},
    groups=patients,
    seed=split_seed,
    label_seed=label_seed,
    given=given_parts(entries),
    sources={e.id: e.source for e in masked},
  )
  if labelled_ids:
    parts = _chosen(divide(label_fraction=1.0), labelled_ids)
  else:
    parts = divide(label_fraction=label_count or label_fraction)
  if structures:
    parts = _outlined(parts, masked, structures=structures)
  # Both budgets follow one order of labelling, so that the images of the
  # smaller one are contained in those of the larger one.
  classes = parts.train_labelled
  if budget := class_count or class_fraction:
    classes = divide(label_fraction=budget).train_labelled
  if unmasked_images:
    extra = _unmasked(entries, parts, dataset=dataset, given=name == "given")
    parts = dataclasses.replace(
      parts, train_unlabelled=tuple(sorted({*parts.train_unlabelled, *extra}))
    )
    parts.check(groups=None if name == "idiap" else patients)
    if class_fraction == 1.0 and not class_count:
      classes = tuple(sorted({*classes, *extra}))
  labelled = {e.id for e in entries if max(e.label, *e.findings, -1) >= 0}
  return dataclasses.replace(
    parts, classes=tuple(i for i in classes if i in labelled)
  )


def _chosen(parts: Parts, ids: Sequence[str]) -> Parts:
  """Returns the split if masks of the training part are used of `ids` alone.

  Raises:
    ConfigError: an id that is no training image with a mask.
  """
  training = {*parts.train_labelled}
  if wrong := sorted({*ids} - training):
    raise ConfigError(
      f"config.data.labelled_ids has {', '.join(map(repr, wrong[:5]))}, which "
      f"is no image with a mask in the training part ({len(training)} images, "
      f"such as {parts.train_labelled[0]!r}). Name images of that part."
    )
  return dataclasses.replace(
    parts,
    train_labelled=tuple(sorted({*ids})),
    train_unlabelled=tuple(sorted(training - {*ids})),
  )


def _unmasked(
  entries: Sequence[Entry], parts: Parts, *, dataset: str, given: bool
) -> list[str]:
  """Returns images without masks to train on.

  No patient of them is validated or tested on. An image in a public list never
  counts as an image without a mask, even if its mask file is missing, since it
  may be a test image. `given`: respect the parts that the set itself states.
  """
  patients = patients_of(entries)
  stated = given_parts(entries) if given else {}
  evaluated = {patients[i] for i in (*parts.validation, *parts.test)}
  listed = {
    i
    for member in registry.members(dataset)
    for i in registry.spec(member).masked_ids or ()
  }
  return [
    e.id
    for e in entries
    if not e.has_mask
    and e.id not in listed
    and patients[e.id] not in evaluated
    and stated.get(e.id, "train") == "train"
  ]


def _outlined(
  parts: Parts, entries: Sequence[Entry], *, structures: Sequence[str]
) -> Parts:
  """Returns the split if the masks are those of some structures.

  A training image that lacks one of them is unlabelled, since a mask of zeros
  would teach that the structure is absent. Such images are neither validated
  nor tested on.

  Raises:
    DataError: no mask is left to train on.
  """
  ids = {e.id for e in entries if {*structures} <= {*e.structures}}
  labelled = ids.intersection(parts.train_labelled)
  if not labelled:
    raise DataError(
      f"None of the {len(parts.train_labelled)} labelled training images has "
      f"all of config.data.structures={tuple(structures)} outlined. Prepare "
      "the set with the files of all its structures, or leave the key () for "
      "the united lungs."
    )
  lacking = {*parts.train_labelled} - labelled
  return Parts(
    train_labelled=tuple(sorted(labelled)),
    train_unlabelled=tuple(sorted({*parts.train_unlabelled, *lacking})),
    validation=tuple(i for i in parts.validation if i in ids),
    test=tuple(i for i in parts.test if i in ids),
  )


def training_count(
  dataset: str, *, split: str = "paper", unmasked_images: bool = False
) -> int:
  """Returns how many images train if the complete set is prepared.

  Args:
    dataset: public sets or phantoms, or a combination of them.
    split: see `splits.make_split`; `auto` means `paper`.
    unmasked_images: whether published images without masks train too.

  Raises:
    ConfigError: the count is not public, as for a set of the user.

  Example:
    >>> training_count("ccx")
    615
    >>> training_count("phantom")
    135
  """
  entries: list[Entry] = []
  for member in registry.members(dataset):
    ids = registry.spec(member).ids
    without = registry.spec(member).without_mask
    if member == phantom.PHANTOM.name:
      ids = phantom.DEFAULT_IDS
    if ids is None:
      raise ConfigError(
        f"The number of training images of {member} is not public; state it "
        "with --images."
      )
    label = registry.spec(member).label
    entries += [
      Entry(i, label(i), i not in without, i, 1, 1, source=member) for i in ids
    ]
  parts = split_entries(
    entries,
    "paper" if split == "auto" else split,
    dataset=dataset,
    unmasked_images=unmasked_images,
  )
  return len(parts.train_labelled) + len(parts.train_unlabelled)
