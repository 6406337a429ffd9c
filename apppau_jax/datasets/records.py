"""The records of prepared sets, by position: the only reader of the shards.

A combination (`data.sets`) is read from its members: labels become positions
in the union of their classes, ids and pictures stay as they are.
"""

import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from apppau_jax import errors
from apppau_jax.datasets import names
from apppau_jax.datasets.prepare import prepared_folder
from apppau_jax.datasets.shards import Record, Shards

_AT_ONCE = 256  # records in memory while looking through a set


class Place(NamedTuple):
  """Where a record lies: a set, and a position in it."""

  member: str
  position: int


class Records:
  """A prepared set or combination with its pictures as PNG bytes.

  Nothing is kept in memory; reading is safe from several threads.

  Attributes:
    class_names: those it was prepared with; labels are positions in them, -1
      where unknown.
  """

  def __init__(
    self,
    data_dir: str | os.PathLike[str],
    *,
    dataset: str,
    resolution: int,
    bits: int = 8,
  ):
    """Opens the shards after verifying their checksums.

    Raises:
      DataError: not prepared or damaged, with the command that mends it.
    """
    self._sources: dict[str, Shards] = {}
    classes: dict[str, tuple[str, ...]] = {}
    for member in names.members(dataset):
      form = {"dataset": member, "resolution": resolution, "bits": bits}
      folder = prepared_folder(data_dir, **form)
      self._sources[member] = Shards(folder, **form)
      classes[member] = self._sources[member].class_names
    self.class_names = names.union(classes.values())
    self._labels = {
      member: {i: self.class_names.index(name) for i, name in enumerate(own)}
      for member, own in classes.items()
    }

  def scan(self) -> Iterator[tuple[Place, Record]]:
    """All records, some at a time, labels made common.

    Raises:
      DataError: two sets have an id in common.
    """
    seen: dict[str, str] = {}
    for member, source in self._sources.items():
      for start in range(0, len(source), _AT_ONCE):
        stop = min(start + _AT_ONCE, len(source))
        places = [Place(member, i) for i in range(start, stop)]
        for place, record in zip(places, self.read(places)):
          other = seen.setdefault(record["id"], member)
          if other != member:
            raise errors.DataError(
              f"The sets {other} and {member} both have an image "
              f"{record['id']!r}; ids must be unique, so these sets "
              "cannot be combined."
            )
          yield place, record

  def read(self, places: Sequence[Place]) -> list[Record]:
    """The records at some places, in that order, labels made common."""
    found: dict[Place, Record] = {}
    for member, source in self._sources.items():
      own = sorted({p for p in places if p.member == member})
      if own:
        common = self._labels[member]
        read = source.read([p.position for p in own])
        found |= {
          place: {**record, "label": common.get(int(record["label"]), -1)}
          for place, record in zip(own, read)
        }
    return [found[place] for place in places]
