"""Table 3 of the paper, from the complete public lists of ids.

The lists are public, so counting needs no image. The counts are those of a
complete set, from which `splits.make_split` selects the images that are there.
"""

import dataclasses
from collections import Counter
from itertools import chain

from apppau_jax.datasets import ccx, registry, splits

NAMES = (*ccx.MEMBERS, ccx.NAME)
CLASSES = registry.class_names(ccx.NAME)


@dataclasses.dataclass(frozen=True)
class Row:
  """A data set: images by class (of `CLASSES`) and by part."""

  dataset: str
  classes: tuple[int, ...]
  train: int
  validation: int
  test: int

  @property
  def images(self) -> int:
    """The number of all images."""
    return sum(self.classes)


def rows(*, seed: int = 0) -> list[Row]:
  """Returns the four rows; every seed gives the same numbers."""
  return [_row(name, seed=seed) for name in NAMES]


def _row(dataset: str, *, seed: int) -> Row:
  specs = [registry.spec(member) for member in registry.members(dataset)]
  split = splits.make_split(
    "paper",
    dataset=dataset,
    ids=[*chain(*(spec.masked_ids or () for spec in specs))],
    labels={},
    groups={},
    seed=seed,
  )
  kept = {*chain(*split.as_dict().values())}
  counted = Counter(
    spec.class_names[spec.label(i)]
    for spec in specs
    for i in spec.masked_ids or ()
    if i in kept
  )
  return Row(
    dataset=dataset,
    classes=tuple(counted[name] for name in CLASSES),
    train=len(split.train_labelled) + len(split.train_unlabelled),
    validation=len(split.validation),
    test=len(split.test),
  )
