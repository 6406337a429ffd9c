"""Named protocols that divide one complete data set: paper, idiap, folds."""

import fractions
import re
from collections.abc import Mapping, Sequence

from apppau_jax.datasets import registry, stratified_split
from apppau_jax.datasets.folder_labels import PARTS
from apppau_jax.datasets.montgomery import MONTGOMERY
from apppau_jax.datasets.stratified_split import Unit
from apppau_jax.errors import ConfigError
from apppau_jax.hints import did_you_mean

_FOLD = re.compile(r"fold-(\d+)-of-(\d+)")
# Training, validation and test images of mednet's lists for classification.
CLASSIFICATION = {"montgomery": (88, 22, 28), "shenzhen": (422, 107, 133)}
_FORMS = (
  "paper, idiap, given, classification or fold-K-of-N with K counted from 0 "
  "(fold-0-of-5 to fold-4-of-5)"
)


def offered(members: Sequence[str], *, given: bool) -> list[str]:
  """Returns the protocols of some sets; `given`: labels.csv has a split."""
  if given:
    return ["given"]
  listed = all(registry.spec(member).lists for member in members)
  return ["paper", "idiap"] if listed else ["paper"]


def divide_by(
  name: str,
  *,
  dataset: str,
  members: Sequence[Unit],
  seed: int,
  given: Mapping[str, str],
) -> list[list[str]]:
  """Divides a complete set by a named protocol.

  Args:
    name: `paper`, `idiap`, `given`, `classification` or `fold-K-of-N` (see
      `splits.make_split`).
    dataset: the set's name.
    members: all its patients, at least three.
    seed: of `paper`, `classification` and the folds.
    given: train, validation or test by id, where the set itself states it.

  Returns:
    Sorted ids of train, validation and test. `paper` leaves 39 Shenzhen
    images out of all three.

  Raises:
    ConfigError: no such protocol, or not for this set.
  """
  if name == "paper":
    return _paper(members, dataset=dataset, seed=seed)
  if name == "idiap":
    return _idiap(dataset)
  if name == "classification":
    return _classification(members, dataset=dataset, seed=seed)
  if name == "given":
    return _given(members, dataset=dataset, given=given)
  return _fold(members, name=name, seed=seed)


def divide_more(
  name: str, *, dataset: str, members: Sequence[Unit], seed: int
) -> list[list[str]]:
  """Divides images besides the complete set of those with masks.

  `paper` has the proportions of the set's parts, without its subset.

  Args:
    name: `paper`, `classification` or `fold-K-of-N`.
    dataset: the set's name.
    members: all patients with such images, at least three.
    seed: of the split.

  Returns:
    Ids of train, validation and test.

  Raises:
    ConfigError: no such protocol, or not for this set.
  """
  if name == "paper":
    return _in_proportion(members, dataset=dataset, salt=f"{seed}:more")
  if name == "classification":
    return _classification(members, dataset=dataset, seed=seed)
  return _fold(members, name=name, seed=seed)


def _paper(
  members: Sequence[Unit], *, dataset: str, seed: int
) -> list[list[str]]:
  spec = registry.spec(dataset)
  if spec.paper_subset:
    label, count, salt = spec.paper_subset
    names = [u.ids[0] for u in members if u.label == label]
    kept = stratified_split.lowest(names, salt=salt, count=count)
    members = [u for u in members if u.label != label or u.ids[0] in kept]
  return _in_proportion(members, dataset=dataset, salt=seed)


def _in_proportion(
  members: Sequence[Unit], *, dataset: str, salt: object
) -> list[list[str]]:
  total = sum(len(u.ids) for u in members)
  # Other sets are divided in the proportions of Montgomery.
  weights = registry.spec(dataset).paper_counts or MONTGOMERY.paper_counts or ()
  counts = stratified_split.apportion(total, weights=weights)
  if not counts[1]:  # validation rounds to none for fewer than 8 images
    counts = [counts[0] - 1, 1, counts[2]]
  return stratified_split.divide(members, counts=counts, salt=salt)


def _idiap(dataset: str) -> list[list[str]]:
  lists = registry.spec(dataset).lists
  if lists is None:
    listed = (n for n, spec in registry.DATASETS.items() if spec.lists)
    raise ConfigError(
      f"config.data.split is 'idiap', but there is no Idiap list for "
      f"{dataset}; there are lists for {', '.join(listed)}. Use paper "
      "or fold-K-of-N."
    )
  return [list(lists[part]) for part in PARTS]


def _classification(
  members: Sequence[Unit], *, dataset: str, seed: int
) -> list[list[str]]:
  weights = CLASSIFICATION.get(dataset)
  if weights is None:
    raise ConfigError(
      "config.data.split is 'classification', which is for "
      f"{' and '.join(CLASSIFICATION)}, not {dataset}. Use paper or "
      "fold-K-of-N."
    )
  total = sum(len(unit.ids) for unit in members)
  counts = stratified_split.apportion(total, weights=weights)
  return stratified_split.divide(
    members, counts=counts, salt=f"{seed}:classification"
  )


def _given(
  members: Sequence[Unit], *, dataset: str, given: Mapping[str, str]
) -> list[list[str]]:
  ids = sorted(i for unit in members for i in unit.ids)
  if not any(i in given for i in ids):
    raise ConfigError(
      f"config.data.split is 'given', but {dataset} gives none: only a "
      "labels.csv with a column split does. Use paper or fold-K-of-N."
    )
  return [[i for i in ids if given.get(i) == part] for part in PARTS]


def _fold(members: Sequence[Unit], *, name: str, seed: int) -> list[list[str]]:
  found = _FOLD.fullmatch(name)
  if found is None:
    numbers = [*re.findall(r"\d+", name), "0", "5"]
    own = ("paper", "idiap", "given", "classification")
    forms = (*own, f"fold-{numbers[0]}-of-{numbers[1]}")
    hint = did_you_mean(name.lower(), forms)
    raise ConfigError(f"config.data.split is {name!r}; use {_FORMS}.{hint}")
  fold, folds = int(found[1]), int(found[2])
  if not (2 <= folds < len(members) and fold < folds):
    raise ConfigError(
      f"config.data.split is {name!r}; folds are counted from 0, K must be "
      f"less than N, and N from 2 to {len(members) - 1}, one less than the "
      "number of patients, as in fold-0-of-5."
    )
  test = stratified_split.deal(members, parts=folds, salt=seed)[fold]
  others = [u for u in members if u.ids[0] not in test]
  if len(others) < 2:
    raise ConfigError(
      f"config.data.split is {name!r}, whose test part leaves one patient to "
      "train and to validate on; choose a larger N."
    )
  total = sum(len(u.ids) for u in others)
  tenth = max(1, stratified_split.round_half_up(fractions.Fraction(total, 10)))
  # The name salts the choice, so that the folds validate on other images.
  train, validation = stratified_split.divide(
    others, counts=(total - tenth, tenth), salt=f"{seed}:{name}"
  )
  return [train, validation, test]
