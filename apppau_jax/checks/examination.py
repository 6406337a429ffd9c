"""All checks on the films of a set or a combination."""

import collections
import dataclasses
from collections.abc import Mapping, Sequence

from apppau_jax import errors
from apppau_jax.checks import (
  dataset_checks,
  duplicates,
  image_checks,
  leakage,
  mask_checks,
)
from apppau_jax.checks.duplicates import Pair
from apppau_jax.checks.findings import Finding, error, warning, worst_first
from apppau_jax.checks.radiograph import Film
from apppau_jax.datasets import splits as splits_lib

ON_A_FILM = (
  image_checks.size,
  image_checks.constant,
  image_checks.contrast,
  image_checks.polarity,
  mask_checks.fraction,
  mask_checks.components,
  mask_checks.sides,
)
ON_A_SET = (dataset_checks.texts, dataset_checks.likeness_to_mean)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Examination:
  """What does not depend on a split.

  Attributes:
    findings: worst first.
    alike: pictures under two names; how bad that is, a split decides.
  """

  findings: tuple[Finding, ...]
  alike: tuple[Pair, ...]


def examine(
  films: Sequence[Film], *, found: Sequence[Finding] = ()
) -> Examination:
  """Does all checks of films and sets.

  Args:
    films: measured ones, of one or more sets.
    found: what reading them has found.
  """
  found = [*found, *leakage.shared((film.id, film.source) for film in films)]
  for film in films:
    for check in ON_A_FILM:
      found += check(film)
  by_set = collections.defaultdict(list)
  for film in films:
    by_set[film.source].append(film)
  for own in by_set.values():
    for check in ON_A_SET:
      found += check(own)
  return Examination(
    findings=tuple(worst_first(found)), alike=tuple(duplicates.pairs(films))
  )


def divided(
  examined: Examination,
  films: Sequence[Film],
  *,
  dataset: str,
  names: Sequence[str],
) -> list[Finding]:
  """All findings, with what parts of the named splits share; worst first.

  Args:
    examined: the same films.
    films: measured ones.
    dataset: the set's or combination's name.
    names: of splits (see `splits.make_split`), or files that hold one.
  """
  groups = _patients(films)
  made, found = {}, list(examined.findings)
  for name in names:
    try:
      made[name] = _split(name, dataset, films, groups=groups)
    except errors.ConfigError as e:  # not offered for this set
      found.append(warning("split", f"{name}: {e}"))
    except errors.DataError as e:
      found.append(error("split", f"{name}: {e}"))
  found += leakage.all_findings(
    examined.alike,
    splits=made,
    groups=groups,
    labels={film.id: film.label for film in films},
    names={film.id: film.name for film in films},
  )
  return worst_first(found)


def _split(
  name: str, dataset: str, films: Sequence[Film], *, groups: Mapping[str, str]
) -> splits_lib.Split:
  if name.endswith(".json"):
    return splits_lib.read_splits(name)
  masked = [film for film in films if film.outline is not None]
  classes = sorted({film.label for film in masked})
  return splits_lib.make_split(
    name,
    dataset=dataset,
    ids=[film.id for film in masked],
    labels={film.id: classes.index(film.label) for film in masked},
    groups=groups,
    seed=0,
    given={film.id: film.part for film in masked if film.part},
    sources={film.id: film.source for film in masked},
  )


def _patients(films: Sequence[Film]) -> dict[str, str]:
  """Patient of each id; two sets may call two people the same."""
  several = len({film.source for film in films}) > 1
  return {
    film.id: f"{film.source}/{film.patient}" if several else film.patient
    for film in films
  }
