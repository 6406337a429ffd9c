"""Images with what is known of them: in memory, or read as they are wanted.

Both decode by the same code, so that a set too large for memory gives the very
batches that it would have given from memory. `take` and `batches` are what the
two have in common.
"""

import dataclasses
import os
from collections.abc import Iterator, Sequence
from concurrent import futures

import numpy as np

from apppau_jax.datasets import prefetch
from apppau_jax.datasets import structures as structures_lib
from apppau_jax.datasets.records import Place, Record, Records
from apppau_jax.imaging import grey_levels
from apppau_jax.imaging.reading import read_prepared

_AT_ONCE = 32  # images that one thread decodes while loading


@dataclasses.dataclass(frozen=True)
class Examples:
  """n images in memory, in the order of `ids`.

  Attributes:
    ids: n names.
    image: uint8 or uint16 [n, h, w, 1], grey.
    mask: uint8 [n, h, w, k] in {0, 1}, the united lungs or k structures;
      zeros where `has_mask` is False.
    label: int32 [n]; -1 where `has_label` is False.
    has_mask: bool [n].
    has_label: bool [n].
  """

  ids: tuple[str, ...]
  image: np.ndarray
  mask: np.ndarray
  label: np.ndarray
  has_mask: np.ndarray
  has_label: np.ndarray

  def take(self, rows: Sequence[int] | np.ndarray) -> "Examples":
    """The examples in some rows, in that order, repeated where they are."""
    rows = np.asarray(rows)
    return Examples(
      tuple(self.ids[i] for i in rows),
      self.image[rows],
      self.mask[rows],
      self.label[rows],
      self.has_mask[rows],
      self.has_label[rows],
    )

  def batches(self, rows: Sequence[np.ndarray]) -> Iterator["Examples"]:
    """`take` of each of some batches of rows."""
    return map(self.take, rows)


@dataclasses.dataclass(frozen=True, eq=False)
class Stored:
  """n images on disk, decoded when they are taken.

  Attributes:
    ids: n names.
    label: int32 [n]; -1 where `has_label` is False.
    has_mask: bool [n].
    has_label: bool [n].
    records: where their pictures are.
    places: the record of each.
    side: of the pictures, in pixels.
    bits: of their grey levels.
    structures: names of the masks; none for the united lungs.
  """

  ids: tuple[str, ...]
  label: np.ndarray
  has_mask: np.ndarray
  has_label: np.ndarray
  records: Records
  places: tuple[Place, ...]
  side: int
  bits: int
  structures: tuple[str, ...]

  def take(self, rows: Sequence[int] | np.ndarray) -> Examples:
    """Decodes the images in some rows, and of masks only those known."""
    rows = np.asarray(rows)
    shape, k = (len(rows), self.side, self.side), len(self.structures) or 1
    image = np.empty((*shape, 1), grey_levels.dtype_of(self.bits))
    mask = np.zeros((*shape, k), np.uint8)
    read = self.records.read([self.places[i] for i in rows])
    for i, (row, record) in enumerate(zip(rows, read)):
      image[i, ..., 0] = read_prepared(
        record["image"], side=self.side, bits=self.bits
      )
      if self.has_mask[row]:
        mask[i] = self._mask(record, member=self.places[row].member)
    return Examples(
      tuple(self.ids[i] for i in rows),
      image,
      mask,
      self.label[rows],
      self.has_mask[rows],
      self.has_label[rows],
    )

  def batches(self, rows: Sequence[np.ndarray]) -> Iterator[Examples]:
    """`take` of each of some batches of rows, ahead in the background."""
    return prefetch.ahead(lambda i: self.take(rows[i]), stop=len(rows))

  def load(self) -> Examples:
    """All of them in memory."""
    n, k = len(self.ids), len(self.structures) or 1
    shape = (n, self.side, self.side)
    image = np.empty((*shape, 1), grey_levels.dtype_of(self.bits))
    mask = np.empty((*shape, k), np.uint8)

    def fill(start: int) -> None:
      rows = np.arange(start, min(start + _AT_ONCE, n))
      part = self.take(rows)
      image[rows], mask[rows] = part.image, part.mask

    with futures.ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
      list(pool.map(fill, range(0, n, _AT_ONCE)))
    return Examples(
      self.ids, image, mask, self.label, self.has_mask, self.has_label
    )

  def _mask(self, record: Record, *, member: str) -> np.ndarray:
    if not self.structures:
      mask = read_prepared(record["mask"], side=self.side, bits=8)
      return mask[..., None]
    bits = read_prepared(record["structures"], side=self.side, bits=8)
    return structures_lib.unpack(bits, member=member, wanted=self.structures)


# What may be trained on or measured, wherever its pictures are.
Source = Examples | Stored
