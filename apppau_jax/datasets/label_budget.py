"""Split catalogued images under budgets of masks and of classes."""

import dataclasses
import functools
from collections.abc import Sequence

from apppau_jax.datasets import class_parts, phantom, registry, splits
from apppau_jax.datasets.entry import Entry, given_parts, patients_of
from apppau_jax.datasets.parts import Parts
from apppau_jax.errors import ConfigError, DataError


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
  classes_without_masks: bool = False,
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
  labelled = {e.id for e in entries if max(e.label, *e.findings, -1) >= 0}
  if classes_without_masks:
    parts = class_parts.add(
      [e for e in entries if e.id in labelled and not e.has_mask],
      parts,
      name,
      dataset=dataset,
      patients=patients,
      seed=split_seed,
      given=given_parts(entries),
    )
  if unmasked_images:
    extra = _unmasked(entries, parts, dataset=dataset, given=name == "given")
    parts = dataclasses.replace(
      parts, train_unlabelled=tuple(sorted({*parts.train_unlabelled, *extra}))
    )
    parts.check(groups=None if name == "idiap" else patients)
    if class_fraction == 1.0 and not class_count:
      classes = tuple(sorted({*classes, *extra}))
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
  evaluated = {
    patients[i] for i, role in parts.roles().items() if role != "train"
  }
  listed = class_parts.listed(dataset)
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
