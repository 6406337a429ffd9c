"""Examples in memory, and examples that are decoded when they are taken.

Both decode by the same code, so that a set too large for memory gives the same
batches. They share the methods `take` and `batches`.
"""

import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent import futures
from typing import Any

import numpy as np

from apppau_jax.datasets import prefetch
from apppau_jax.imaging.decode import read_prepared

_AT_ONCE = 32  # images that one thread decodes while loading


@dataclasses.dataclass(frozen=True)
class Examples:
  """n examples in memory, in the order of `ids`.

  Attributes:
    ids: n names.
    image: uint8 or uint16 [n, h, w, 1], grey.
    mask: uint8 [n, h, w, k] in {0, 1}, the united lungs or k structures;
      zeros where `has_mask` is False.
    label: int32 [n], the classes; or [n, k], for each of k findings whether it
      is present. What is unknown is -1.
    has_mask: bool [n].
    has_label: bool [n], whether any label is known.
  """

  ids: tuple[str, ...]
  image: np.ndarray
  mask: np.ndarray
  label: np.ndarray
  has_mask: np.ndarray
  has_label: np.ndarray

  def take(self, rows: Sequence[int] | np.ndarray) -> "Examples":
    """Returns the examples in some rows, in that order."""
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
    """Yields the examples of each batch of rows."""
    return map(self.take, rows)


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Stored:
  """n examples on disk, decoded when they are taken.

  Attributes:
    ids: n names.
    label: int32 [n] or [n, k], see `Examples`.
    has_mask: bool [n].
    has_label: bool [n].
    places: where each record lies, with the name of its set as `member`.
    read: returns the records at some places.
    side: of the pictures in pixels.
    dtype: of the image's grey levels.
    planes: by set, the bits of the structures that are the masks; () for the
      united lungs.
  """

  ids: tuple[str, ...]
  label: np.ndarray
  has_mask: np.ndarray
  has_label: np.ndarray
  places: tuple[Any, ...]
  read: Callable[[Sequence[Any]], Sequence[Mapping[str, Any]]]
  side: int
  dtype: type[np.unsignedinteger]
  planes: Mapping[str, tuple[int, ...]]

  @property
  def _masks(self) -> int:
    return max(1, *(len(planes) for planes in self.planes.values()))

  def take(self, rows: Sequence[int] | np.ndarray) -> Examples:
    """Decodes the images in some rows, and the masks that may be used."""
    rows = np.asarray(rows)
    shape = (len(rows), self.side, self.side)
    image = np.empty((*shape, 1), self.dtype)
    mask = np.zeros((*shape, self._masks), np.uint8)
    records = self.read([self.places[i] for i in rows])
    for i, (row, record) in enumerate(zip(rows, records)):
      image[i, ..., 0] = self._decode(record["image"], self.dtype)
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
    """Yields the examples of each batch of rows, decoded ahead in threads."""
    return prefetch.ahead(lambda i: self.take(rows[i]), stop=len(rows))

  def load(self) -> Examples:
    """Decodes all examples into memory."""
    n = len(self.ids)
    shape = (n, self.side, self.side)
    image = np.empty((*shape, 1), self.dtype)
    mask = np.empty((*shape, self._masks), np.uint8)

    def fill(start: int) -> None:
      rows = np.arange(start, min(start + _AT_ONCE, n))
      part = self.take(rows)
      image[rows], mask[rows] = part.image, part.mask

    with futures.ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
      list(pool.map(fill, range(0, n, _AT_ONCE)))
    return Examples(
      self.ids, image, mask, self.label, self.has_mask, self.has_label
    )

  def _mask(self, record: Mapping[str, Any], *, member: str) -> np.ndarray:
    """Returns the masks of one example, uint8 [h, w, k] in {0, 1}."""
    planes = self.planes[member]
    name = "structures" if planes else "mask"
    dtype = None if planes else np.uint8  # more than eight need 16 bits
    picture = self._decode(record[name], dtype)[..., None]
    return picture >> np.array(planes, picture.dtype) & 1 if planes else picture

  def _decode(
    self, png: bytes, dtype: type[np.unsignedinteger] | None
  ) -> np.ndarray:
    return read_prepared(png, side=self.side, dtype=dtype)


# Examples to train on or to measure, in memory or on disk.
Source = Examples | Stored
