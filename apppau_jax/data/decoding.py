"""One raw image with its mask and reading to the features of one example."""

import dataclasses
import io
from collections.abc import Mapping
from typing import Any

import numpy as np

from apppau_jax import errors
from apppau_jax.data import layout as layout_lib
from apppau_jax.data import reading
from apppau_jax.data import source as source_lib


def read_example(
  source: source_lib.RawSource,
  raw: layout_lib.RawExample,
  *,
  side: int,
  layout: layout_lib.Layout,
  metadata: Mapping[str, layout_lib.Reading],
) -> tuple[dict[str, Any], list[str]]:
  """Reads, checks and resamples one image with its mask and reading.

  Returns:
    The TFDS features of one example, and remarks on it.

  Raises:
    DataError: a file that cannot be used.
  """
  image = reading.read_grey(
    source.read(raw.image), name=source.describe(raw.image)
  )
  remarks = []
  if image.min() == image.max():
    remarks.append(f"the image is constant ({image.flat[0]} everywhere)")
  small = np.zeros((side, side), np.uint8)
  if raw.masks:
    mask = _read_masks(source, raw, shape=image.shape)
    remarks.append(reading.check_polarity(mask, name=raw.id))
    small = reading.resize_mask(mask, (side, side)).astype(np.uint8)
  told = metadata.get(raw.id, layout_lib.Reading())
  if raw.reading:
    text = source.read(raw.reading).decode("utf-8", errors="replace")
    told = layout.parse(text)
    if text.strip() and not told.sex:
      remarks.append(f"reading not understood: {text.strip()[:80]!r}")
  resampled = reading.resize_area(image, (side, side))
  features = {
    "id": raw.id,
    "image": io.BytesIO(reading.encode_png(resampled)),
    "mask": io.BytesIO(reading.encode_png(small)),
    "has_mask": bool(raw.masks),
    "label": raw.label,
    "patient": raw.patient,
    "height": image.shape[0],
    "width": image.shape[1],
    **dataclasses.asdict(told),
  }
  return features, [r for r in remarks if r]


def _read_masks(
  source: source_lib.RawSource,
  raw: layout_lib.RawExample,
  *,
  shape: tuple[int, ...],
) -> np.ndarray:
  """The union of an example's mask files, at the size of its image."""
  union = np.zeros(shape, bool)
  for key in raw.masks:
    mask = reading.read_mask(source.read(key), name=source.describe(key))
    if mask.shape != shape:
      raise errors.DataError(
        f"The mask {source.describe(key)} is {mask.shape[1]}x{mask.shape[0]} "
        f"pixels but its image is {shape[1]}x{shape[0]}. They belong "
        "together pixel by pixel; neither is stretched to fit."
      )
    union |= mask
  return union
