"""Images and patients that parts of a split share but must not share."""

import collections
import itertools
import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence

from apppau_jax.checks.duplicates import Pair
from apppau_jax.checks.findings import Finding, error, warning
from apppau_jax.datasets import parts as parts_lib
from apppau_jax.datasets import registry
from apppau_jax.datasets.parts import Parts
from apppau_jax.datasets.stratified_split import former_name
from apppau_jax.errors import DataError


def used_images(
  ids: Sequence[str],
  *,
  part: str,
  dataset: str,
  trained_on: str,
  splits: str | os.PathLike[str],
) -> list[str]:
  """Returns those images to measure that a run has used already.

  Args:
    ids: the images to measure.
    part: `validation`, or `test`, whose images model selection must not have
      used either.
    dataset: the data set of the images.
    trained_on: the data set of the run. Ids are compared only if the two have
      a set in common, since phantoms of older versions bear ids of real
      images; a phantom is the same under either of its names.
    splits: the splits.json of the run.

  Returns:
    Their ids, sorted.

  Raises:
    DataError: the split cannot be read, or there is none, as of a model file.
  """
  common = {*registry.parts(dataset)} & {*registry.parts(trained_on)}
  if not common:
    return []
  if not (run := pathlib.Path(splits).parent).is_dir():
    raise DataError(
      f"{run} was trained on {trained_on}, and a model file does not say on "
      f"which images, so it cannot be measured on {dataset}. Evaluate the run "
      "that it was made of, or name another --dataset."
    )
  used = parts_lib.read_splits(splits).used_before(part)
  former = set(map(former_name, used))
  return sorted(i for i in ids if former_name(i) in former)


def patients(
  part: Mapping[str, str], *, groups: Mapping[str, str], split: str
) -> list[Finding]:
  """Finds patients in two parts.

  They are errors, except in the public Idiap lists, which divide two patients
  of Montgomery and are used as published, so that results are comparable.

  Args:
    part: train, validation or test by id.
    groups: patient of each id.
    split: its name.
  """
  images = collections.defaultdict(list)
  for i in sorted(part):
    images[groups.get(i, i)].append(i)
  found = []
  for patient, ids in images.items():
    if len({part[i] for i in ids}) == 1:
      continue
    where = ", ".join(f"{i} in {part[i]}" for i in ids)
    what = f"split {split} divides patient {patient}: {where}"
    as_published = split == "idiap" and any(
      spec.lists and {*ids} <= spec.patients.keys()
      for spec in registry.DATASETS.values()
    )
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
  """Finds images under two names: errors across parts or with two classes.

  Args:
    alike: the pairs.
    parts: of each split by its name, the part of each id.
    labels: class of each id.
    names: name of each id for messages.
  """
  found = []
  for pair in alike:
    ids = (pair.first, pair.second)
    how = (
      "equal pixels"
      if pair.equal
      else f"nearly the same image (correlation {pair.alike:.2f})"
    )
    what = f"{names[pair.first]} and {names[pair.second]}: {how}"
    reasons = [
      f"split {split} has them in {part[ids[0]]} and {part[ids[1]]}"
      for split, part in parts.items()
      if part.get(ids[0], "") != part.get(ids[1], "")
      and all(map(part.get, ids))
    ]
    if labels[ids[0]] != labels[ids[1]]:
      reasons.append("their classes differ")
    make = error if reasons else warning
    found.append(make("twins", "; ".join([what, *reasons]), *ids))
  return found


def shared_ids(ids: Iterable[tuple[str, str]]) -> list[Finding]:
  """Finds ids that two sets have, given (id, set) of every image."""
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
  splits: Mapping[str, Parts],
  groups: Mapping[str, str],
  labels: Mapping[str, str],
  names: Mapping[str, str],
) -> list[Finding]:
  """Returns what the parts of some splits, by their names, share."""
  parts = {name: split.roles() for name, split in splits.items()}
  divided = (
    patients(part, groups=groups, split=name) for name, part in parts.items()
  )
  return [
    *itertools.chain(*divided),
    *twins(alike, parts=parts, labels=labels, names=names),
  ]
