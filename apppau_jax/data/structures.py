"""What a set outlines besides the lungs, each structure kept apart.

Prepared as one picture an image, bit k for structure k, beside the united
lungs that all sets have. JSRT has five; they overlap (clavicles and lungs).
"""

import dataclasses
import os
from collections.abc import Iterable, Sequence

import numpy as np

from apppau_jax.data import examples, sets
from apppau_jax.data.prepare import builder_class


@dataclasses.dataclass(frozen=True)
class Structures:
  """The structures of n images.

  Attributes:
    names: the k structures.
    mask: uint8 [n, h, w, k] in {0, 1}; zeros where `known` is False.
    known: bool [n].
  """

  names: tuple[str, ...]
  mask: np.ndarray
  known: np.ndarray


def structure_names(dataset: str) -> tuple[str, ...]:
  """The structures that a set or combination outlines; often none."""
  layouts = (builder_class(member).layout() for member in sets.members(dataset))
  return tuple(
    dict.fromkeys(name for one in layouts for name in one.structures)
  )


def load_structures(
  data_dir: str | os.PathLike[str],
  *,
  dataset: str,
  resolution: int,
  ids: Sequence[str],
  masks_of: Iterable[str] | None = None,
) -> Structures:
  """Loads the structures of some images; no other picture is decoded.

  Args:
    data_dir: where prepared datasets live.
    dataset: its name, or that of a combination.
    resolution: its side in pixels.
    ids: which images, in the order wanted.
    masks_of: the ids whose structures may be read (default: all of `ids`).

  Raises:
    DataError: see `examples.load_examples`.
  """
  names = structure_names(dataset)
  chosen = examples.chosen_records(
    data_dir, dataset=dataset, resolution=resolution, ids=ids
  )
  allowed = frozenset(ids if masks_of is None else masks_of)
  known = np.array(
    [
      bool(r.get("has_structures")) and i in allowed
      for i, r in zip(ids, chosen)
    ],
    bool,
  )
  mask = np.zeros((len(ids), resolution, resolution, len(names)), np.uint8)
  for i in np.flatnonzero(known):
    bits = examples.pixels(chosen[i]["structures"])
    mask[i] = bits[..., None] >> np.arange(len(names)) & 1
  return Structures(names, mask, known)
