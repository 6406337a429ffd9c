"""Which images train, validate and test: id lists, seeded, by patient.

Where the list of a dataset's ids is public, `paper` and fold splits are made
of the whole list and cut down to the images at hand afterwards: a missing
file never moves another one to another part. The split of a combination is the
union of its members' own: an image's place depends on its own set alone.
"""

import dataclasses
import fractions
import json
import os
import pathlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from apppau_jax import files
from apppau_jax.datasets import names as sets
from apppau_jax.datasets import split_protocols, stratified_split
from apppau_jax.datasets.published import (
  published_groups,
  published_ids,
  published_label,
)
from apppau_jax.errors import ConfigError, DataError


@dataclasses.dataclass(frozen=True)
class Split:
  """Sorted ids of each part; `train_unlabelled` trains without its masks."""

  train_labelled: tuple[str, ...]
  train_unlabelled: tuple[str, ...]
  validation: tuple[str, ...]
  test: tuple[str, ...]

  def as_dict(self) -> dict[str, list[str]]:
    """The four parts by name, as lists."""
    return {part: list(ids) for part, ids in dataclasses.asdict(self).items()}

  def check(self, *, groups: Mapping[str, str] | None = None) -> None:
    """Makes sure that what is learnt from is never what is judged.

    Args:
      groups: patient of each id. The two training parts may share a patient.

    Raises:
      DataError: an id twice, or a patient in two of train, validation, test.
    """
    parts = self.as_dict()
    counted = Counter(name for ids in parts.values() for name in ids)
    twice = sorted(name for name, times in counted.items() if times > 1)
    if twice:
      raise DataError(
        f"{len(twice)} ids appear more than once in the split, first "
        f"{twice[0]!r}; each image belongs to one part, once. Remove the "
        "copies from the list."
      )
    seen: dict[str, tuple[str, str]] = {}
    for part, ids in parts.items():
      for name in ids:
        patient = (groups or {}).get(name, name)
        role = part.split("_")[0]
        other, before = seen.setdefault(patient, (name, role))
        if before != role:
          raise DataError(
            f"Patient {patient!r} is in two parts of the split: {other} in "
            f"{before}, {name} in {role}. Scores would be flattered by "
            "images of a person seen in training; keep a patient's images "
            "in one part."
          )


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
) -> Split:
  """Divides the images at hand.

  Args:
    name: `paper`: Table 3's counts on the complete public sets, its
      proportions 93 : 10 : 35 on any other; `idiap`: the public lists of that
      name, as they are, the same for every seed (on Montgomery they put films
      of two patients in two parts); `given`: what the set itself says of each
      image; `fold-K-of-N`: part K (from 0) of N tests and a tenth of the
      others validates.
    dataset: its name, or that of a combination (`data.sets`): the union of
      its members' splits, except that `paper` takes one Shenzhen image from
      the test part of all three sets for training, as Table 3 has it.
    ids: the images at hand that have masks.
    labels: class of each id, to balance the parts; unused for public ids.
    groups: patient of each id; patients are never divided.
    seed: of `paper` and the folds.
    label_fraction: part of the training images whose masks are used, in
      (0, 1], rounded half up; a whole number above 1, or the integer 1, is a
      count. At least one image per class, as far as the count allows. Taken
      of the complete training part, by class (of a combination by set and
      class); smaller choices are contained in larger ones.
    label_seed: another choice of the labelled images in the same split.
    given: train, validation or test of each id, for `given`.
    sources: the member of a combination that each id lies in; without it an
      id that no public list has belongs to the one set without a list.

  Returns:
    The split, cut down to `ids`. Validation or test may be empty when files
    are missing.

  Raises:
    ConfigError: a split or label fraction that does not exist here.
    DataError: too few images, ids twice or unknown, nothing to train on.
  """
  members = sets.parts(dataset)  # of one, any name will do
  if len(members) > 1:
    members = sets.members(dataset)
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
  if name == "paper" and members == sets.CCX:
    moved = split_protocols.moved_in_ccx(divided[1][0][2], seed=seed)
    train.append(moved)
    test.remove(moved)
  # Classes of one set are apart from those of another.
  strata_labels = {
    i: label + 100 * place
    for place, (_, known) in enumerate(divided)
    for i, label in known.items()
  }
  order = stratified_split.even_order(
    train, labels=strata_labels, salt=f"labelled:{label_seed}"
  )
  labelled = set(
    order[: _label_count(label_fraction, train=order, labels=strata_labels)]
  )
  split = Split(
    train_labelled=_at_hand(labelled, ids),
    train_unlabelled=_at_hand(set(train) - labelled, ids),
    validation=_at_hand(validation, ids),
    test=_at_hand(test, ids),
  )
  if not split.train_labelled:
    raise DataError(
      f"None of the {len(labelled)} labelled training images of split "
      f"{name!r} of {dataset} is among the {len(ids)} images at hand. Prepare "
      "more of the files, or raise config.data.label_fraction."
    )
  # The Idiap lists are kept as published, shared patients included.
  split.check(groups=None if name == "idiap" else groups)
  return split


def _by_set(
  ids: Sequence[str], *, members: Sequence[str], sources: Mapping[str, str]
) -> dict[str, list[str]]:
  """Images by the set that lists them; the rest in the one without a list."""
  public = {member: published_ids(member) for member in members}
  rest = next((m for m in members if public[m] is None), members[0])
  home = {i: m for m, listed in public.items() for i in listed or ()}
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
  """Train, validation, test of one complete set, and its classes by id."""
  known, patients = published_ids(dataset), groups
  if known is None:
    known = tuple(ids)
    classes = {i: labels.get(i, -1) for i in known}
  else:
    classes = {i: published_label(i) for i in known}
    patients = published_groups(dataset)
  _check_ids(ids, known=known, dataset=dataset)
  members = stratified_split.units(known, labels=classes, groups=patients)
  if len(members) < 3:
    raise DataError(
      f"{dataset} has masks of {len(members)} patients; a split needs at least "
      "three, to train, to validate and to test. Prepare more images."
    )
  parts = split_protocols.divide_by(
    name, dataset=dataset, members=members, seed=seed, given=given
  )
  return parts, classes


def _at_hand(part: Iterable[str], ids: Sequence[str]) -> tuple[str, ...]:
  return tuple(sorted(set(part).intersection(ids)))


def _check_ids(ids, *, known, dataset: str) -> None:
  if len(set(ids)) != len(ids):
    twice = sorted(i for i, times in Counter(ids).items() if times > 1)
    raise DataError(
      f"{len(twice)} ids of {dataset} appear more than once, first "
      f"{twice[0]!r}; ids must be unique. Remove or rename the copies."
    )
  strangers = sorted(set(ids).difference(known))
  if strangers:
    raise DataError(
      f"{len(strangers)} images are not in the public list of {dataset} with "
      f"masks, first {strangers[0]!r}, so no public split has a place for "
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
    # Through its digits: 0.1 is a tenth here, not the nearest double.
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


def write_splits(path: str | os.PathLike[str], split: Split) -> None:
  """Writes the four lists as JSON, whole or not at all."""
  files.write_json(pathlib.Path(path), split.as_dict())


def read_splits(path: str | os.PathLike[str]) -> Split:
  """Reads what `write_splits` wrote, or a list of the same form.

  Args:
    path: a JSON file with the keys train_labelled, train_unlabelled,
      validation and test, each a list of ids in any order.

  Raises:
    DataError: no such file, not of this form, or an id twice.
  """
  names = [field.name for field in dataclasses.fields(Split)]
  try:
    parts = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
  except (OSError, ValueError) as error:
    raise DataError(
      f"The split {path} cannot be read ({error}). It is written when a run "
      "starts; give the folder of a run, or start one."
    ) from error
  fits = isinstance(parts, dict) and sorted(parts) == sorted(names)
  for ids in parts.values() if fits else ():
    fits &= isinstance(ids, list) and all(isinstance(i, str) for i in ids)
  if not fits:
    raise DataError(
      f"{path} is not a split: it must hold a JSON object with the keys "
      f"{', '.join(names)} and nothing else, each a list of image ids."
    )
  split = Split(**{part: tuple(sorted(ids)) for part, ids in parts.items()})
  split.check()
  return split
