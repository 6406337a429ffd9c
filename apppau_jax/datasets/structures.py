"""What a set outlines besides the lungs, each structure kept apart.

Prepared as one picture an image, bit k for structure k of the set's layout,
beside the united lungs that all sets have. JSRT has five; they overlap
(clavicles and lungs).

An image has all that is asked for, or it has none: it then counts as
unlabelled, for a mask of zeros would teach that the structure is not there.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from apppau_jax.datasets import names as sets
from apppau_jax.datasets.prepare import builder_class
from apppau_jax.errors import ConfigError


@functools.lru_cache
def structure_names(dataset: str) -> tuple[str, ...]:
  """The structures that a set or combination outlines; often none.

  Names are as in a configuration: `left_lung` for the owner's "left lung".
  """
  layouts = (builder_class(member).layout() for member in sets.members(dataset))
  return tuple(
    dict.fromkeys(
      name.replace(" ", "_") for one in layouts for name in one.structures
    )
  )


def check(wanted: Sequence[str], *, dataset: str) -> None:
  """Makes sure that some set of a combination outlines all of `wanted`.

  Raises:
    ConfigError: no set does; says what there is.
  """
  members = sets.members(dataset)
  if any(set(wanted) <= {*structure_names(member)} for member in members):
    return
  offered = ", ".join(structure_names(dataset)) or "none"
  raise ConfigError(
    f"config.data.structures asks for {', '.join(wanted)}, which no set of "
    f"{dataset} outlines in one image; it offers: {offered}. Leave it () for "
    "the united lungs, which every set has."
  )


def outlined(record: Mapping[str, Any], *, member: str) -> tuple[str, ...]:
  """The structures that a record of a set outlines."""
  known = bool(record.get("has_structures"))
  return structure_names(member) if known else ()


def unpack(
  picture: np.ndarray, *, member: str, wanted: Sequence[str]
) -> np.ndarray:
  """The masks uint8 [h, w, k] of `wanted` in a picture uint8 [h, w] of bits."""
  names = structure_names(member)
  bits = np.array([names.index(name) for name in wanted], np.uint8)
  return picture[..., None] >> bits & 1
