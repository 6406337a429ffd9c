"""Divide images into training, validation and test parts, by patient.

If the ids of a data set are public, `paper` and fold splits are made of the
whole list and then restricted to the available images: a missing file never
moves another one to another part. The split of a combination is the union of
the splits of its members: the part of an image depends on its own set alone.
"""

import fractions
from collections import Counter
from collections.abc import Mapping, Sequence

from apppau_jax.datasets import (
  ccx,
  registry,
  split_protocols,
  stratified_split,
)
from apppau_jax.datasets.parts import Parts
from apppau_jax.errors import ConfigError, DataError


def make_split(
  name: str,
  *,
  dataset: str,
  ids: Sequence[str],
  labels: Mapping[str, int],
  groups: Mapping[str, str],
  seed: int,
  label_fraction: float = 1.0,
  label_seed: int = 0,
  given: Mapping[str, str] | None = None,
  sources: Mapping[str, str] | None = None,
) -> Parts:
  """Divides the available images.

  Args:
    name: `paper`: the counts of Table 3 on the complete public sets, its
      proportions 93 : 10 : 35 on others; `idiap`: the public lists of that
      name, unchanged, for every seed (on Montgomery they put images of two
      patients in two parts); `given`: what the set itself states for each
      image; `classification`: of Montgomery and Shenzhen, this project's own
      parts in the proportions of mednet's; `fold-K-of-N`: part K (from 0) of N
      is the test part, and a tenth of the others validates.
    dataset: its name, or that of a combination: the union of the splits of its
      members, except that `paper` moves one Shenzhen image from test to
      training in `ccx`, as Table 3 has it.
    ids: the available images that have masks.
    labels: class of each id, to balance the parts; unused for public ids.
    groups: patient of each id; patients are never divided.
    seed: of `paper`, `classification` and the folds.
    label_fraction: share of the training images whose masks are used, in
      (0, 1], rounded half up; a whole number above 1, or the integer 1, is a
      count. At least one image of each class, as far as the count allows. A
      share is chosen from the complete training part by class (of a
      combination by set and class), a count from its available images in the
      same order; smaller choices are contained in larger ones.
    label_seed: another choice of the labelled images in the same split.
    given: train, validation or test by id, for `given`.
    sources: the member of a combination of each id; without it an id that is
      in no public list belongs to the one set without a list.

  Returns:
    The parts, restricted to `ids`. Validation or test may be empty if files
    are missing.

  Raises:
    ConfigError: a split or label fraction that does not exist here.
    DataError: too few images, ids twice or unknown, nothing to train on.
  """
  members = registry.members(dataset)
  own = _by_set(ids, members=members, sources=sources or {})
  divided = [
    _divide(
      name, dataset=member, ids=own[member], labels=labels, groups=groups,
      seed=seed, given=given or {},
    )
    for member in members
  ]  # fmt: skip
  train, validation, test = (
    [i for parts, _ in divided for i in parts[role]] for role in range(3)
  )
  if name == "paper" and members == ccx.MEMBERS:
    shenzhen = divided[members.index("shenzhen")][0]
    moved = ccx.moved_to_training(shenzhen[2], seed=seed)
    train.append(moved)
    test.remove(moved)
  # Classes of one set differ from those of another.
  strata = {
    i: label + 100 * place
    for place, (_, classes) in enumerate(divided)
    for i, label in classes.items()
  }
  order = stratified_split.even_order(
    train, labels=strata, salt=f"labelled:{label_seed}"
  )
  if isinstance(label_fraction, int) or label_fraction > 1:
    order = [i for i in order if i in {*ids}]
  count = _label_count(label_fraction, train=order, labels=strata)
  chosen = (order[:count], order[count:], validation, test)
  parts = Parts(*(tuple(sorted({*part} & {*ids})) for part in chosen))
  if not parts.train_labelled:
    raise DataError(
      f"None of the {count} labelled training images of split "
      f"{name!r} of {dataset} is among the {len(ids)} available images. "
      "Prepare more of the files, or raise config.data.label_fraction."
    )
  # The Idiap lists are used as published, shared patients included.
  parts.check(groups=None if name == "idiap" else groups)
  return parts


def _by_set(
  ids: Sequence[str], *, members: Sequence[str], sources: Mapping[str, str]
) -> dict[str, list[str]]:
  listed = {member: registry.spec(member).masked_ids for member in members}
  rest = next((m for m in members if listed[m] is None), members[0])
  home = {i: m for m, public in listed.items() for i in public or ()}
  own: dict[str, list[str]] = {member: [] for member in members}
  for name in ids:
    own[sources.get(name) or home.get(name, rest)].append(name)
  return own


def _divide(
  name: str,
  *,
  dataset: str,
  ids: Sequence[str],
  labels: Mapping[str, int],
  groups: Mapping[str, str],
  seed: int,
  given: Mapping[str, str],
) -> tuple[list[list[str]], dict[str, int]]:
  """Returns train, validation and test of one complete set, and its labels."""
  spec = registry.spec(dataset)
  if spec.masked_ids is None:
    complete, patients = tuple(ids), groups
    classes = {i: labels.get(i, -1) for i in complete}
  else:
    complete, patients = spec.masked_ids, spec.patients
    classes = {i: spec.label(i) for i in complete}
  _check_ids(ids, complete=complete, dataset=dataset)
  members = stratified_split.units(complete, labels=classes, groups=patients)
  if len(members) < 3:
    raise DataError(
      f"{dataset} has masks of {len(members)} patients; a split needs at least "
      "three, to train, to validate and to test. Prepare more images."
    )
  parts = split_protocols.divide_by(
    name, dataset=dataset, members=members, seed=seed, given=given
  )
  return parts, classes


def _check_ids(
  ids: Sequence[str], *, complete: Sequence[str], dataset: str
) -> None:
  if len(set(ids)) != len(ids):
    twice = sorted(i for i, times in Counter(ids).items() if times > 1)
    raise DataError(
      f"{len(twice)} ids of {dataset} appear more than once, first "
      f"{twice[0]!r}; ids must be unique. Remove or rename the copies."
    )
  others = sorted(set(ids).difference(complete))
  if others:
    raise DataError(
      f"{len(others)} images are not in the public list of {dataset} with "
      f"masks, first {others[0]!r}, so no public split has a place for "
      "them. Remove their masks from the raw folder and prepare it again."
    )


def _label_count(
  wanted: float, *, train: Sequence[str], labels: Mapping[str, int]
) -> int:
  if isinstance(wanted, int) or wanted > 1:
    fits = float(wanted).is_integer() and 1 <= wanted <= len(train)
    count = int(wanted) if fits else 0
  else:
    fits = 0.0 < wanted <= 1.0
    # By its decimal digits: 0.1 is a tenth, not the nearest double.
    part = fractions.Fraction(repr(float(wanted)) if fits else 0)
    classes = len({labels.get(i, -1) for i in train})
    count = max(
      stratified_split.round_half_up(part * len(train)),
      min(classes, len(train)),
    )
  if not fits:
    raise ConfigError(
      f"The labelled part is {wanted!r}; config.data.label_fraction is a "
      "fraction above 0 and at most 1, and a count of labelled images lies "
      f"from 1 to the {len(train)} of the training part."
    )
  return count
