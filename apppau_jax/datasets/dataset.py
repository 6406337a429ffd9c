"""A prepared data set or combination, opened and verified once."""

import functools
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from apppau_jax import errors
from apppau_jax.datasets import label_budget, prepared, registry
from apppau_jax.datasets.entry import (
  Entry,
  given_parts,
  labels_for,
  patients_of,
)
from apppau_jax.datasets.examples import Examples, Stored
from apppau_jax.datasets.parts import Parts
from apppau_jax.datasets.prepared import Prepared
from apppau_jax.datasets.raw_source import summarise
from apppau_jax.datasets.shards import Record, Shards
from apppau_jax.imaging import grey_levels

_AT_ONCE = 256  # records in memory while the entries are read


class Place(NamedTuple):
  """Where a record lies: a set, and a position in its shards."""

  member: str
  position: int


class Dataset:
  """A prepared data set, or a combination such as `ccx` or `a+b`.

  Opening it verifies the checksums of all files; the entries are read once, on
  first use. Reading is safe from several threads.

  Attributes:
    name: of the data set or combination.
    data_dir: the folder of all prepared sets.
    resolution: side of the pictures in pixels.
    bits: of the image's grey levels, 8 or 16.
    class_names: the classes; labels are positions in it.
    finding_names: the findings that a set states, any number for an image.
    content_sha256: checksum of the examples, independent of where they were
      prepared; for a combination, of its members' names and checksums.

  Raises:
    ConfigError: an unknown name, resolution or depth.
    DataError: not prepared, damaged, or not written by this package.

  Example:
    >>> import tempfile
    >>> from apppau_jax import phantoms
    >>> from apppau_jax.datasets import prepare
    >>> folder = tempfile.mkdtemp()
    >>> phantoms.write_montgomery(folder, count=8, size=64)
    >>> _ = prepare.prepare("phantom", raw_dir=folder, data_dir=folder)
    >>> dataset = Dataset("phantom", data_dir=folder)
    >>> parts = dataset.split("paper", label_count=2)
    >>> len(parts.train_labelled), len(parts.validation), len(parts.test)
    (2, 1, 2)
    >>> dataset.open(parts.test).image.shape
    (2, 128, 128, 1)
  """

  def __init__(
    self,
    name: str,
    *,
    data_dir: str | os.PathLike[str] = "data",
    resolution: int = 128,
    bits: int = 8,
  ):
    self.name, self.data_dir = name, data_dir
    self.resolution, self.bits = resolution, bits
    form: dict[str, Any] = {
      "data_dir": data_dir,
      "resolution": resolution,
      "bits": bits,
    }
    self._shards = {
      member: Shards(Prepared(dataset=member, **form))
      for member in registry.members(name)
    }
    shards = self._shards.values()
    self.class_names = registry.union(own.class_names for own in shards)
    self._labels = {
      own.member: {
        i: self.class_names.index(name)
        for i, name in enumerate(own.class_names)
      }
      for own in shards
    }
    self.finding_names = registry.union(s.spec.finding_names for s in shards)
    self.content_sha256 = prepared.joint_sha256(
      {own.member: own.record.get("content_sha256", "") for own in shards}
    )

  @functools.cached_property
  def _catalogue(self) -> dict[str, tuple[Entry, Place]]:
    """Entries and places by id, sorted.

    Raises:
      DataError: two sets have an id in common.
    """
    found: dict[str, tuple[Entry, Place]] = {}
    places = [
      Place(m, i) for m, s in self._shards.items() for i in range(len(s))
    ]
    for place, record in self._stream(places):
      entry = self._shards[place.member].entry(record)
      before, _ = found.setdefault(entry.id, (entry, place))
      if before is not entry:
        raise errors.DataError(
          f"The sets {before.source} and {entry.source} both have an image "
          f"{entry.id!r}; ids must be unique, so these sets cannot be combined."
        )
    return dict(sorted(found.items()))

  @functools.cached_property
  def entries(self) -> tuple[Entry, ...]:
    """The images without their pixels, sorted by id."""
    return tuple(entry for entry, _ in self._catalogue.values())

  @property
  def ids(self) -> tuple[str, ...]:
    """The names of the images, sorted."""
    return tuple(self._catalogue)

  @functools.cached_property
  def patients(self) -> dict[str, str]:
    """The patient of each id."""
    return patients_of(self.entries)

  @functools.cached_property
  def labels(self) -> dict[str, int]:
    """The label of each id; -1 where it is unknown."""
    return {entry.id: entry.label for entry in self.entries}

  @property
  def flags(self) -> str:
    """The flags that select it, for messages that hold a command."""
    return (
      f"--dataset={self.name} --data_dir={self.data_dir} "
      f"--resolution={self.resolution} --bits={self.bits}"
    )

  @property
  def has_given_split(self) -> bool:
    """Whether the set itself states the parts of a split."""
    return bool(given_parts(self.entries))

  def split(
    self,
    name: str = "paper",
    *,
    split_seed: int = 0,
    label_fraction: float = 1.0,
    label_count: int = 0,
    label_seed: int = 0,
    labelled_ids: Sequence[str] = (),
    class_fraction: float = 0.0,
    class_count: int = 0,
    structures: Sequence[str] = (),
    unmasked_images: bool = False,
    classes_without_masks: bool = False,
  ) -> Parts:
    """Divides the images into parts, and chooses which labels are used.

    Smaller choices of labels are contained in larger ones.

    Args:
      name: `paper`, `idiap`, `given`, `classification` or `fold-K-of-N` (see
        `splits.make_split`).
      split_seed: of `paper`, `classification` and the folds.
      label_fraction: share in (0, 1] of training images whose mask is used.
      label_count: their number instead; 0 for the share.
      label_seed: another choice of the labelled images.
      labelled_ids: ids of the training images whose mask is used, instead.
      class_fraction: share in [0, 1] of training images whose class is used;
        0 for those whose mask is used.
      class_count: their number instead; 0 for the share.
      structures: names of the masks (see `open`). Training images that lack
        one of them are unlabelled, others are left out.
      unmasked_images: also train, without masks, on the images that have none.
      classes_without_masks: also divide the images that have a class and no
        mask. They validate and test the diagnosis alone.

    Raises:
      ConfigError: a split or budget that does not exist here.
      DataError: too few images, or nothing to train on.
    """
    return label_budget.split_entries(
      self.entries,
      name,
      dataset=self.name,
      split_seed=split_seed,
      label_fraction=label_fraction,
      label_count=label_count,
      label_seed=label_seed,
      labelled_ids=labelled_ids,
      class_fraction=class_fraction,
      class_count=class_count,
      structures=structures,
      unmasked_images=unmasked_images,
      classes_without_masks=classes_without_masks,
    )

  def open(
    self,
    ids: Sequence[str],
    *,
    masks_of: Iterable[str] | None = None,
    labels_of: Iterable[str] | None = None,
    structures: Sequence[str] = (),
    findings: Sequence[str] = (),
    streaming: bool = False,
  ) -> Examples | Stored:
    """Returns examples, with only those masks and labels that may be used.

    Args:
      ids: the images, in the order wanted.
      masks_of: the ids whose masks may be used; all by default. No other mask
        is ever decoded.
      labels_of: likewise for labels.
      structures: names of separate masks, in this order; () for the united
        lungs. An image that lacks one of them has no mask.
      findings: the labels are these findings, in this order, and not the class.
        One that the set of an image does not state is -1.
      streaming: decode pictures when they are taken, not now.

    Raises:
      ConfigError: no set outlines all of `structures`; or the masks of the sets
        outline different things.
      DataError: the data set does not hold some ids.
    """
    self._check_structures(structures)
    unknown = sorted(set(ids) - self._catalogue.keys())
    if unknown:
      raise errors.DataError(
        f"{len(unknown)} ids are not in the prepared dataset {self.name} in "
        f"{self.data_dir}: {summarise(unknown)} Either the split belongs to "
        "another dataset, or these files were missing when it was prepared."
      )
    masked = frozenset(ids if masks_of is None else masks_of)
    labelled = frozenset(ids if labels_of is None else labels_of)
    entries = [self._catalogue[i][0] for i in ids]
    label = labels_for(
      entries,
      usable=labelled,
      findings=findings,
      stated={m: own.spec.finding_names for m, own in self._shards.items()},
    )
    has_mask = [
      e.has_mask and e.id in masked and {*structures} <= {*e.structures}
      for e in entries
    ]
    stored = Stored(
      ids=tuple(ids),
      label=label,
      has_mask=np.array(has_mask, bool),
      has_label=np.max(label.reshape(len(label), -1), axis=1, initial=-1) >= 0,
      places=tuple(self._catalogue[i][1] for i in ids),
      read=self.read,
      side=self.resolution,
      dtype=grey_levels.dtype_of(self.bits),
      planes={m: self._planes(m, structures) for m in self._shards},
    )
    return stored if streaming else stored.load()

  def _check_structures(self, wanted: Sequence[str]) -> None:
    if not wanted:
      registry.check_masks(self.name)
    offered = [s.spec.structure_names for s in self._shards.values()]
    if not any({*wanted} <= {*names} for names in offered):
      raise errors.ConfigError(
        f"config.data.structures asks for {', '.join(wanted)}, which no set of "
        f"{self.name} outlines in one image; it offers: "
        f"{', '.join(registry.union(offered)) or 'none'}. Leave it () for "
        "the masks that every set has."
      )

  def _planes(self, member: str, wanted: Sequence[str]) -> tuple[int, ...]:
    """Returns the bits of the structures in the pictures of a member."""
    names = self._shards[member].spec.structure_names
    return tuple(names.index(name) for name in wanted if name in names)

  def records(self) -> Iterator[tuple[Entry, Record]]:
    """Yields every entry with its record, sorted by id."""
    places = [place for _, place in self._catalogue.values()]
    records = (record for _, record in self._stream(places))
    yield from zip(self.entries, records)

  def _stream(self, places: list[Place]) -> Iterator[tuple[Place, Record]]:
    for start in range(0, len(places), _AT_ONCE):
      some = places[start : start + _AT_ONCE]
      yield from zip(some, self.read(some))

  def read(self, places: Sequence[Place]) -> list[Record]:
    """Returns records, in that order, with labels in `class_names`."""
    found: dict[Place, Record] = {}
    for member, shards in self._shards.items():
      own = sorted({p for p in places if p.member == member})
      records = shards.read([p.position for p in own])
      common = self._labels[member]
      found |= {
        place: {**record, "label": common.get(int(record["label"]), -1)}
        for place, record in zip(own, records)
      }
    return [found[place] for place in places]
