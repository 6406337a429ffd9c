"""What parts of a split share and must not: patients, pictures."""

import collections
import itertools
from collections.abc import Iterable, Mapping

from apppau_jax.checks.duplicates import Pair
from apppau_jax.checks.findings import Finding, error, warning
from apppau_jax.datasets import published
from apppau_jax.datasets.splits import Split

_ROLES = {
  "train_labelled": "train",
  "train_unlabelled": "train",
  "validation": "validation",
  "test": "test",
}


def roles(split: Split) -> dict[str, str]:
  """The part of each id: train, validation or test."""
  return {i: _ROLES[part] for part, ids in split.as_dict().items() for i in ids}


def patients(
  part: Mapping[str, str], *, groups: Mapping[str, str], split: str
) -> list[Finding]:
  """Patients in two parts.

  An error; but the public Idiap lists divide two patients of Montgomery and
  are used as published, so that results compare: a warning.

  Args:
    part: of each id.
    groups: patient of each id.
    split: its name.
  """
  films = collections.defaultdict(list)
  for i in sorted(part):
    films[groups.get(i, i)].append(i)
  known = published.published_groups("montgomery")
  found = []
  for patient, ids in films.items():
    if len({part[i] for i in ids}) == 1:
      continue
    where = ", ".join(f"{i} in {part[i]}" for i in ids)
    what = f"split {split} divides patient {patient}: {where}"
    as_published = split == "idiap" and all(i in known for i in ids)
    make = warning if as_published else error
    found.append(make("patients", what, *ids))
  return found


def twins(
  alike: Iterable[Pair],
  *,
  parts: Mapping[str, Mapping[str, str]],
  labels: Mapping[str, str],
  names: Mapping[str, str],
) -> list[Finding]:
  """Pictures under two names: an error across parts, or with two classes.

  Args:
    alike: the pairs.
    parts: of each split by its name, the part of each id.
    labels: class of each id.
    names: what messages call each id.
  """
  found = []
  for pair in alike:
    ids = (pair.first, pair.second)
    how = (
      "equal pixels"
      if pair.equal
      else f"nearly the same picture (correlation {pair.alike:.2f})"
    )
    what = f"{names[pair.first]} and {names[pair.second]}: {how}"
    across = [
      f"split {split} has them in {part[ids[0]]} and {part[ids[1]]}"
      for split, part in parts.items()
      if part.get(ids[0], "") != part.get(ids[1], "")
      and all(map(part.get, ids))
    ]
    if labels[ids[0]] != labels[ids[1]]:
      across.append("their classes differ")
    make = error if across else warning
    found.append(make("twins", "; ".join([what, *across]), *ids))
  return found


def shared(ids: Iterable[tuple[str, str]]) -> list[Finding]:
  """Ids that two sets have; (id, set) of every image."""
  homes = collections.defaultdict(list)
  for i, source in ids:
    homes[i].append(source)
  return [
    error("twins", f"{' and '.join(sources)} both have an image {i}", i)
    for i, sources in homes.items()
    if len(sources) > 1
  ]


def all_findings(
  alike: Iterable[Pair],
  *,
  splits: Mapping[str, Split],
  groups: Mapping[str, str],
  labels: Mapping[str, str],
  names: Mapping[str, str],
) -> list[Finding]:
  """All that some splits of a set share between their parts."""
  parts = {name: roles(split) for name, split in splits.items()}
  divided = (
    patients(part, groups=groups, split=name) for name, part in parts.items()
  )
  return [
    *itertools.chain(*divided),
    *twins(alike, parts=parts, labels=labels, names=names),
  ]
