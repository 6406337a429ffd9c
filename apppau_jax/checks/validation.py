"""Run all checks on the images of a set or a combination."""

import collections
import dataclasses
from collections.abc import Mapping, Sequence

from apppau_jax import errors
from apppau_jax.checks import (
  dataset_checks,
  duplicates,
  leakage,
  radiograph_checks,
)
from apppau_jax.checks.duplicates import Pair
from apppau_jax.checks.findings import Finding, error, warning, worst_first
from apppau_jax.checks.radiograph import Radiograph
from apppau_jax.datasets import parts as parts_lib
from apppau_jax.datasets import splits as splits_lib


@dataclasses.dataclass(frozen=True, kw_only=True)
class Validation:
  """Results that do not depend on a split.

  Attributes:
    findings: worst first.
    alike: images under two names; their level depends on a split.
  """

  findings: tuple[Finding, ...]
  alike: tuple[Pair, ...]


def validate(
  images: Sequence[Radiograph], *, found: Sequence[Finding] = ()
) -> Validation:
  """Runs all checks of images and of sets.

  Args:
    images: measured images of one or more sets.
    found: findings from reading them.
  """
  found = [*found, *leakage.shared_ids((i.id, i.source) for i in images)]
  by_set = collections.defaultdict(list)
  for image in images:
    by_set[image.source].append(image)
    for check in radiograph_checks.ALL:
      found += check(image)
  for own in by_set.values():
    found += dataset_checks.texts(own)
    found += dataset_checks.likeness_to_mean(own)
  return Validation(
    findings=tuple(worst_first(found)), alike=tuple(duplicates.pairs(images))
  )


def with_splits(
  validated: Validation,
  images: Sequence[Radiograph],
  *,
  dataset: str,
  names: Sequence[str],
) -> list[Finding]:
  """Adds what the parts of some splits share; worst first.

  Args:
    validated: of the same images.
    images: the measured images.
    dataset: the name of the set or combination.
    names: of splits (see `splits.make_split`), or files that hold one.
  """
  several = len({image.source for image in images}) > 1
  groups = {
    i.id: f"{i.source}/{i.patient}" if several else i.patient for i in images
  }
  made, found = {}, list(validated.findings)
  for name in names:
    try:
      made[name] = _split(name, dataset, images, groups=groups)
    except errors.ConfigError as e:  # not offered for this set
      found.append(warning("split", f"{name}: {e}"))
    except errors.DataError as e:
      found.append(error("split", f"{name}: {e}"))
  found += leakage.all_findings(
    validated.alike,
    splits=made,
    groups=groups,
    labels={image.id: image.label for image in images},
    names={image.id: image.name for image in images},
  )
  return worst_first(found)


def _split(
  name: str,
  dataset: str,
  images: Sequence[Radiograph],
  *,
  groups: Mapping[str, str],
) -> parts_lib.Parts:
  if name.endswith(".json"):
    return parts_lib.read_splits(name)
  masked = [image for image in images if image.outline is not None]
  classes = sorted({image.label for image in masked})
  return splits_lib.make_split(
    name,
    dataset=dataset,
    ids=[image.id for image in masked],
    labels={image.id: classes.index(image.label) for image in masked},
    groups=groups,
    seed=0,
    given={image.id: image.part for image in masked if image.part},
    sources={image.id: image.source for image in masked},
  )
