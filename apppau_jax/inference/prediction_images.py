"""The pictures that are written for one image."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from apppau_jax import files
from apppau_jax.imaging import decode, resample
from apppau_jax.inference import outputs, overlay
from apppau_jax.inference.output_names import target
from apppau_jax.inference.outputs import Prediction

OVERLAY = 1024  # pixels of an overlay's longer side, at most
WHITE = 65535  # level of a probability map where the probability is 1
_MASK, _PROBABILITY = "mask", "probability"


def mask_kinds(structures: Sequence[str]) -> tuple[str, ...]:
  """What the names of an image's masks end in, in the order of writing."""
  return _kinds(structures, _MASK)


def exist(
  stem: Path, *, structures: Sequence[str], probability: bool = False
) -> bool:
  """Returns whether all pictures of an image have been written.

  Args:
    stem: of their paths, see `output_names`.
    structures: names of the masks; empty for the lungs.
    probability: whether probability maps are asked for.
  """
  last = [mask_kinds(structures)[-1]]
  if probability:
    last += _kinds(structures, _PROBABILITY)
  return all(target(stem, kind=kind).exists() for kind in last)


def write(
  stem: Path, *, source: Path, found: Prediction, probability: bool = False
) -> None:
  """Writes the overlay, probability maps, and masks.

  The last mask marks completion. A probability map has the levels 0 to `WHITE`
  for the probabilities 0 to 1.

  Args:
    stem: of their paths.
    source: the image.
    found: what was predicted for it.
    probability: whether to write probability maps.
  """
  drawn = _overlay(decode.read_grey(source), found)
  file = io.BytesIO()
  # A third of the time of level 6, and 4 % more bytes.
  Image.fromarray(drawn).save(file, format="PNG", compress_level=3)
  files.write_bytes(target(stem, kind="overlay"), file.getvalue())
  if probability:
    for kind, plane in zip(
      _kinds(found.structures, _PROBABILITY), _planes(found.probability)
    ):
      levels = np.rint(plane.clip(0, 1) * WHITE).astype(np.uint16)
      files.write_bytes(target(stem, kind=kind), decode.encode_png(levels))
  for kind, mask in zip(mask_kinds(found.structures), _planes(found.mask)):
    png = decode.encode_png(mask.astype(np.uint8) * 255)
    files.write_bytes(target(stem, kind=kind), png)


def _overlay(picture: np.ndarray, found: Prediction) -> np.ndarray:
  height, width = picture.shape
  size = outputs.shrunk((height, width), side=OVERLAY)
  masks = [resample.resize_mask(mask, size) for mask in _planes(found.mask)]
  drawn = overlay.outline(
    resample.resize_area(picture, size) / 255.0, np.stack(masks, axis=-1)
  )
  return overlay.with_legend(drawn, found.structures or ("lungs",))


def _planes(array: np.ndarray) -> list[np.ndarray]:
  return [*np.moveaxis(np.atleast_3d(array), -1, 0)]


def _kinds(structures: Sequence[str], kind: str) -> tuple[str, ...]:
  return tuple(f"{name}_{kind}" for name in structures) or (kind,)
