"""Decode one raw image with its masks and reading."""

import functools
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from apppau_jax.datasets import features as features_lib
from apppau_jax.datasets.features import SPACING, Form
from apppau_jax.datasets.raw_index import RawExample
from apppau_jax.datasets.raw_source import RawSource
from apppau_jax.datasets.spec import Annotation, DatasetSpec, Drawn, Reading
from apppau_jax.errors import DataError
from apppau_jax.imaging import (
  boundary,
  decode,
  grey_levels,
  masks,
  polarity,
  resample,
)
from apppau_jax.imaging.film import Film, Spacing
from apppau_jax.reading import decode_text

_PNG = b"\x89PNG"


def read_example(
  source: RawSource,
  raw: RawExample,
  *,
  spec: DatasetSpec,
  form: Form,
  readings: Mapping[str, Reading],
) -> tuple[dict[str, Any], list[str]]:
  """Reads, checks and resamples one image with its masks and reading.

  Args:
    source: the raw files.
    raw: which of them.
    spec: the facts about the set.
    form: states the resolution and the bits of the pictures.
    readings: readings from the tables of the set, by id.

  Returns:
    The TFDS features of one example, and remarks on it.

  Raises:
    DataError: a file that cannot be used.
  """
  features, remarks = _pictures(source, raw, spec=spec, form=form)
  reading, remark = read_reading(source, raw, spec=spec, readings=readings)
  features |= {
    "id": raw.id,
    "has_mask": raw.has_mask,
    "label": raw.label,
    "patient": raw.patient,
    "sex": reading.sex,
    "age": reading.age,
    "finding": reading.finding,
    **{name: reading.details.get(name, v) for name, v in spec.details.items()},
    **{
      features_lib.finding(name): reading.findings[i]
      if reading.findings
      else -1
      for i, name in enumerate(spec.finding_names)
    },
  }
  return features, [r for r in (*remarks, remark) if r]


def _pictures(
  source: RawSource,
  raw: RawExample,
  *,
  spec: DatasetSpec,
  form: Form,
) -> tuple[dict[str, Any], list[str]]:
  """Returns the features that are pictures, or about them, and remarks."""
  size = (form.resolution, form.resolution)
  film, stated = read_image(source, raw, spec=spec, bits=form.bits)
  image = film.levels
  drawn = draw_masks(source, raw, spec=spec, shape=image.shape)
  remarks, lungs = [*film.remarks], None
  if image.min() == image.max():
    remarks.append(f"the image is constant ({image.flat[0]} everywhere)")
  if drawn:
    remarks.append(spec.outlined.check(drawn.mask, name=raw.id))
    lungs = resample.resize_mask(drawn.mask, size)
  small = resample.resize_area(image, size)
  shallow = grey_levels.shallow(small)
  if spec.negatives and not stated:
    if polarity.is_negative(shallow, lungs, name=raw.id):
      small = resample.resize_area(~image, size)
      remarks.append("lungs were bright: inverted, as for a negative")
  elif (spec.negatives or spec.edited) and lungs is not None:
    contrast = polarity.lung_contrast(shallow, lungs)
    remarks.append(polarity.describe(contrast))
  if lungs is None:
    lungs = np.zeros(size, bool)
  features: dict[str, Any] = {
    "image": _png(small),
    "mask": _png(lungs.astype(np.uint8)),
    "height": image.shape[0],
    "width": image.shape[1],
    **_spacing(film.spacing or spec.documented_spacing(image.shape)),
  }
  if spec.structures:
    structures = drawn.structures if drawn else ()
    inside = np.zeros(size, spec.structure_dtype)
    for bit, mask in enumerate(structures):
      outline = resample.resize_mask(mask, size)
      inside |= outline.astype(inside.dtype) << bit
    features["structures"] = _png(inside)
    features["has_structures"] = bool(structures)
  return features, remarks


def _spacing(spacing: Spacing | None) -> dict[str, float | str]:
  return dict(zip(SPACING, spacing or (0.0, 0.0, "")))


def _png(image: np.ndarray) -> io.BytesIO:
  return io.BytesIO(decode.encode_png(image))


def read_image(
  source: RawSource, raw: RawExample, *, spec: DatasetSpec, bits: int = 8
) -> tuple[Film, bool]:
  """Returns the image, and whether its polarity is stated."""
  content, name = source.read(raw.image), source.describe(raw.image)
  if spec.read_raw is None or content.startswith(_PNG):
    return decode.read_film(content, name=name, bits=bits), False
  with boundary.refusing(name):
    return Film(spec.read_raw(content, name, bits=bits)), True


def read_reading(
  source: RawSource,
  raw: RawExample,
  *,
  spec: DatasetSpec,
  readings: Mapping[str, Reading],
) -> tuple[Reading, str]:
  """Returns the reading of an image, and a remark if it was not understood."""
  reading = readings.get(raw.id, Reading())
  text, understood = reading.finding, reading.understood
  if raw.reading and spec.parse:
    try:
      text = decode_text(source.read(raw.reading)).strip()
    except ValueError as error:
      return Reading(), f"reading not understood: {error}"
    reading = spec.parse(text)
    understood = bool(reading.sex) or not text
  remark = "" if understood else f"reading not understood: {text[:80]!r}"
  return reading, remark


def draw_masks(
  source: RawSource,
  raw: RawExample,
  *,
  spec: DatasetSpec,
  shape: tuple[int, ...],
) -> Drawn | None:
  """Returns the masks of an image, from pictures or from an annotation.

  Args:
    source: the raw files.
    raw: which of them.
    spec: the facts about the set.
    shape: (height, width) of the image.

  Returns:
    The masks at their own size; None if the image has none.

  Raises:
    DataError: a mask cannot be used; `masks.FrameError` if its size differs.
  """
  if raw.annotation:
    return read_annotation(raw.annotation, shape=shape, name=raw.id)
  if not raw.masks:
    return None
  read = functools.partial(read_masks, source, spec=spec, shape=shape)
  return Drawn(
    mask=read(raw.masks), structures=tuple(read([s]) for s in raw.structures)
  )


def read_annotation(
  annotation: Annotation, *, shape: tuple[int, ...], name: str
) -> Drawn:
  """Returns the masks that an annotation states.

  Args:
    annotation: of one image.
    shape: (height, width) of the image.
    name: of the image, for messages.

  Raises:
    DataError: the annotation does not fit the image.
  """
  height, width = shape
  try:
    return annotation.draw((height, width))
  except ValueError as error:
    raise DataError(
      f"The mask of {name} in {annotation.where} cannot be used: {error}. Get "
      "the file again from its owner, or remove the image."
    ) from error


def read_masks(
  source: RawSource,
  keys: Sequence[str],
  *,
  spec: DatasetSpec,
  shape: tuple[int, ...],
) -> np.ndarray:
  """Returns the union of some mask files of an example.

  Args:
    source: the raw files.
    keys: which of them, at least one.
    spec: the facts about the set.
    shape: (height, width) of the image.

  Returns:
    bool, at the size of the masks.

  Raises:
    DataError: a mask cannot be used; `masks.FrameError` if its size differs.
  """
  parts: list[np.ndarray] = []
  for key in keys:
    name = source.describe(key)
    mask = masks.read_mask(source.read(key), name=name)
    masks.check_frame(
      mask.shape, shape, name=name, scaled=spec.scaled, frames=spec.frames
    )
    for other in parts[:1]:
      masks.check_frame(mask.shape, other.shape, name=name, scaled=False)
    parts.append(mask)
  return np.logical_or.reduce(parts)
