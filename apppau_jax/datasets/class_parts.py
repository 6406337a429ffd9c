"""Divide images with a class and without a mask, for the diagnosis.

Lung Dice needs masks, a class does not. Where masks are few, the images that
have a class alone are most of a set, and a test of the diagnosis on images with
masks alone would be small.
"""

import dataclasses
import re
from collections.abc import Mapping, Sequence

from apppau_jax.datasets import registry, split_protocols, stratified_split
from apppau_jax.datasets.entry import Entry
from apppau_jax.datasets.parts import Parts
from apppau_jax.errors import ConfigError


def add(
  entries: Sequence[Entry],
  parts: Parts,
  name: str,
  *,
  dataset: str,
  patients: Mapping[str, str],
  seed: int,
  given: Mapping[str, str],
) -> Parts:
  """Returns the split with images that measure the diagnosis alone."""
  masked = listed(dataset)
  roles = {patients[i]: role for i, role in parts.roles().items()}
  divided = [
    divide(
      name,
      dataset=member,
      labels={
        e.id: e.label
        for e in entries
        if e.source == member and e.id not in masked
      },
      groups=patients,
      roles=roles,
      seed=seed,
      given=given,
    )
    for member in registry.members(dataset)
  ]
  validation, test = zip(*divided)
  parts = dataclasses.replace(
    parts,
    validation_classes=tuple(sorted(i for some in validation for i in some)),
    test_classes=tuple(sorted(i for some in test for i in some)),
  )
  parts.check(groups=patients)
  return parts


def listed(dataset: str) -> set[str]:
  """Returns the images of public lists, which have masks."""
  return {
    i
    for member in registry.members(dataset)
    for i in registry.spec(member).masked_ids or ()
  }


def divide(
  name: str,
  *,
  dataset: str,
  labels: Mapping[str, int],
  groups: Mapping[str, str],
  roles: Mapping[str, str],
  seed: int,
  given: Mapping[str, str],
) -> tuple[list[str], list[str]]:
  """Returns the images that validate and that test the diagnosis.

  An image of a patient who is in a part already belongs to that part. Other
  patients are divided by the rule of the split, so that `classification`, of
  all images of Shenzhen, has the sizes of mednet's lists. All others train.

  Args:
    name: of the split, see `splits.make_split`.
    dataset: the set of the images, not a combination.
    labels: class of each image to divide; -1 for findings.
    groups: patient of each image.
    roles: train, validation or test by patient, of images with masks.
    seed: of the split.
    given: train, validation or test by id, for `given`.

  Returns:
    Sorted ids; either may be empty if there are few images.

  Raises:
    ConfigError: the split is a public list of images with masks.
  """
  if name == "idiap":
    raise ConfigError(
      "config.data.classes_without_masks divides images that have no mask, and "
      "config.data.split is 'idiap', whose lists hold images with masks only. "
      "Use paper or fold-K-of-N, or leave classes_without_masks False."
    )
  known = {i: roles.get(groups[i], "") for i in labels}
  if name == "given":
    known = {i: known[i] or given.get(i, "train") for i in labels}
  members = stratified_split.units(
    [i for i in labels if not known[i]], labels=labels, groups=groups
  )
  divided = {
    part: [i for i in labels if known[i] == part]
    for part in ("validation", "test")
  }
  if len(members) >= _least(name):
    _, validation, test = split_protocols.divide_more(
      name, dataset=dataset, members=members, seed=seed
    )
    divided["validation"] += validation
    divided["test"] += test
  return sorted(divided["validation"]), sorted(divided["test"])


def _least(name: str) -> int:
  """Returns how many patients a division needs; with fewer all train."""
  folds = re.fullmatch(r"fold-\d+-of-(\d+)", name)
  return max(3, int(folds[1]) + 1) if folds else 3
