"""One raw image with its mask and reading to the features of one example."""

import functools
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from apppau_jax import errors
from apppau_jax.datasets import layout as layout_lib
from apppau_jax.datasets import raw_index
from apppau_jax.datasets import raw_source as source_lib
from apppau_jax.imaging import grey_levels, polarity, reading

_PICTURE = b"\x89PNG"


class FrameError(errors.DataError):
  """A mask of another size than its image."""


def read_example(
  source: source_lib.RawSource,
  raw: raw_index.RawExample,
  *,
  side: int,
  bits: int,
  layout: layout_lib.Layout,
  metadata: Mapping[str, layout_lib.Reading],
) -> tuple[dict[str, Any], list[str]]:
  """Reads, checks and resamples one image with its mask and reading.

  Args:
    source: the files.
    raw: which of them.
    side: of the square that it becomes, in pixels.
    bits: of its grey levels, 8 or 16.
    layout: how the owner lays out the files.
    metadata: readings by id, where the set has tables of them.

  Returns:
    The TFDS features of one example, and remarks on it.

  Raises:
    DataError: a file that cannot be used.
  """
  features, remarks = _pictures(
    source, raw, side=side, bits=bits, layout=layout
  )
  told, remark = read_told(source, raw, layout=layout, metadata=metadata)
  features |= {
    "id": raw.id,
    "has_mask": bool(raw.masks),
    "label": raw.label,
    "patient": raw.patient,
    "sex": told.sex,
    "age": told.age,
    "finding": told.finding,
    **{name: told.details.get(name, v) for name, v in layout.details.items()},
  }
  return features, [r for r in (*remarks, remark) if r]


def _pictures(
  source: source_lib.RawSource,
  raw: raw_index.RawExample,
  *,
  side: int,
  bits: int,
  layout: layout_lib.Layout,
) -> tuple[dict[str, Any], list[str]]:
  """The features that are pictures, or about them, and remarks."""
  size = (side, side)
  image, stated = read_image(source, raw, bits=bits, layout=layout)
  read = functools.partial(
    read_masks, source, shape=image.shape, scaled=layout.scaled
  )
  remarks, lungs = [], None
  if image.min() == image.max():
    remarks.append(f"the image is constant ({image.flat[0]} everywhere)")
  if raw.masks:
    mask = read(raw.masks)
    remarks.append(reading.check_polarity(mask, name=raw.id))
    lungs = reading.resize_mask(mask, size)
  small = reading.resize_area(image, size)
  if layout.negatives and not stated:
    if polarity.is_negative(grey_levels.shallow(small), lungs, name=raw.id):
      small = reading.resize_area(~image, size)
      remarks.append("lungs were bright: a negative, and now inverted")
  elif (layout.negatives or layout.edited) and lungs is not None:
    remarks.append(polarity.check_stated(grey_levels.shallow(small), lungs))
  features = {
    "image": _png(small),
    "mask": _png(np.zeros(size, np.uint8) if lungs is None else _bytes(lungs)),
    "height": image.shape[0],
    "width": image.shape[1],
  }
  if layout.structures:
    inside = np.zeros(size, np.uint8)
    for bit, key in enumerate(raw.structures):
      inside |= _bytes(reading.resize_mask(read([key]), size)) << bit
    features["structures"] = _png(inside)
    features["has_structures"] = bool(raw.structures)
  return features, remarks


def _bytes(mask: np.ndarray) -> np.ndarray:
  return mask.astype(np.uint8)


def _png(image: np.ndarray) -> io.BytesIO:
  return io.BytesIO(reading.encode_png(image))


def read_image(
  source: source_lib.RawSource,
  raw: raw_index.RawExample,
  *,
  layout: layout_lib.Layout,
  bits: int = 8,
) -> tuple[np.ndarray, bool]:
  """The image, levels [h, w], and whether its polarity is a stated one."""
  content, name = source.read(raw.image), source.describe(raw.image)
  if layout.read_raw is None or content.startswith(_PICTURE):
    return reading.read_grey(content, name=name, bits=bits), False
  return layout.read_raw(content, name, bits=bits), True


def read_told(
  source: source_lib.RawSource,
  raw: raw_index.RawExample,
  *,
  layout: layout_lib.Layout,
  metadata: Mapping[str, layout_lib.Reading],
) -> tuple[layout_lib.Reading, str]:
  """What the texts say of an image, and a remark if they say it oddly."""
  told = metadata.get(raw.id, layout_lib.Reading())
  text, understood = told.finding, told.understood
  if raw.reading and layout.parse:
    text = source.read(raw.reading).decode("utf-8", errors="replace").strip()
    told = layout.parse(text)
    understood = bool(told.sex) or not text
  return told, "" if understood else f"reading not understood: {text[:80]!r}"


def read_masks(
  source: source_lib.RawSource,
  keys: Sequence[str],
  *,
  shape: tuple[int, ...],
  scaled: bool,
) -> np.ndarray:
  """The union of some mask files of an example.

  Args:
    source: the files.
    keys: which of them, at least one.
    shape: (height, width) of the image.
    scaled: the masks may show its frame at another scale, a whole number of
      times coarser or finer, the same in both directions.

  Returns:
    bool, at the size of the masks.
  """
  union: np.ndarray | None = None
  for key in keys:
    mask = reading.read_mask(source.read(key), name=source.describe(key))
    name = source.describe(key)
    check_frame(mask.shape, shape, name=name, scaled=scaled)
    if union is not None:
      check_frame(mask.shape, union.shape, name=name, scaled=False)
    union = mask if union is None else union | mask
  assert union is not None  # the caller has looked
  return union


def check_frame(
  mask: tuple[int, ...], image: tuple[int, ...], *, name: str, scaled: bool
) -> None:
  """Makes sure that a mask, called `name`, shows the frame of its image.

  Args:
    mask: its (height, width).
    image: that of the image, or of another of its masks.
    name: what messages call the mask.
    scaled: see `read_masks`.

  Raises:
    FrameError: it does not.
  """
  if _same_frame(mask, image) if scaled else mask == image:
    return
  raise FrameError(
    f"The mask {name} is {mask[1]}x{mask[0]} pixels but its image is "
    f"{image[1]}x{image[0]}. They belong together pixel by pixel; neither is "
    "stretched to fit."
  )


def _same_frame(mask: tuple[int, ...], image: tuple[int, ...]) -> bool:
  """Whether one size is a whole multiple of the other, in both directions."""
  (h, w), (rows, columns) = image, mask
  return h * columns == w * rows and not (h % rows and rows % h)
