"""A set's films from its owner's files; what cannot be read is a finding."""

import io
import os
from collections.abc import Callable, Mapping
from concurrent import futures
from pathlib import PurePosixPath

import numpy as np
from PIL import Image

from apppau_jax import errors
from apppau_jax.checks import dataset_checks, mask_checks
from apppau_jax.checks.findings import Finding, error, warning
from apppau_jax.checks.radiograph import POSSIBLE, Film, measure
from apppau_jax.datasets import decoding, prepare, raw_index
from apppau_jax.datasets import layout as layout_lib
from apppau_jax.datasets.raw_source import RawSource
from apppau_jax.imaging import polarity, reading

_FEWEST_LEVELS = 32  # that 16 bits may leave, of 256
_PAINFUL = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)


def read(
  dataset: str,
  raw_dir: str | os.PathLike[str],
  *,
  workers: int | None = None,
  progress: Callable[[int, int], None] | None = None,
) -> tuple[list[Film], list[Finding]]:
  """Reads and measures all images and masks of one set.

  Bounded memory: what is kept of an image is a sketch of 128 x 128 pixels.

  Args:
    dataset: a set, no combination.
    raw_dir: the owner's folder or zip.
    workers: threads; one per CPU, at most 8, by default.
    progress: called with (images done, images in all).

  Returns:
    The films that could be read, in the order of their ids, and findings.

  Raises:
    DataError: there is no such folder, or no image in it.
  """
  builder = prepare.builder_class(dataset)
  faults: list[errors.DataError] = []
  with builder.open(raw_dir, faults=faults) as source:
    layout = builder.layout_in(source)
    found = [error("readable", str(fault)) for fault in faults]
    index = raw_index.index(source, layout)
    if not index.examples and not found:
      raw_index.find_all(source, layout, allow_missing=True)  # it explains
    found += _about_the_index(index, layout)
    metadata = layout_lib.read_tables(source, layout)

    def examine(raw: raw_index.RawExample) -> tuple[Film | None, list[Finding]]:
      return _film(source, raw, layout, metadata, dataset=dataset)

    films = []
    with futures.ThreadPoolExecutor(workers or _threads()) as pool:
      # Pillow and NumPy work without the GIL; the results are small.
      results = pool.map(examine, index.examples)
      for done, (film, of_film) in enumerate(results, start=1):
        found += of_film
        films += [film] if film else []
        if progress:
          progress(done, len(index.examples))
  return films, found


def _threads() -> int:
  return min(8, os.cpu_count() or 1)


def _about_the_index(
  index: raw_index.RawIndex, layout: layout_lib.Layout
) -> list[Finding]:
  found = [warning("counts", f"{i}: {note}", i) for i, note in index.notes]
  halves = []
  for raw in index.examples:
    files = {"/".join(filter(None, f)) for f in layout.masks(raw.id)[0]}
    lacking = sorted(files.intersection(index.missing))
    if not raw.masks and 0 < len(lacking) < len(files):
      halves.append(raw.id)
      what = f"{raw.id} has one lung's mask, but no {lacking[0]}"
      found.append(error("mask", what, raw.id))
  return found + dataset_checks.counts(
    [raw.id for raw in index.examples],
    masked=[*(raw.id for raw in index.examples if raw.masks), *halves],
    layout=layout,
  )


def _film(
  source: RawSource,
  raw: raw_index.RawExample,
  layout: layout_lib.Layout,
  metadata: Mapping[str, layout_lib.Reading],
  *,
  dataset: str,
) -> tuple[Film | None, list[Finding]]:
  """One image with its mask; None where the image cannot be read."""
  found: list[Finding] = []
  image = _image(source, raw, layout, found=found)
  mask = None
  shape = None if image is None else image.shape
  if raw.masks:
    mask = _mask(source, raw, shape, scaled=layout.scaled, found=found)
  if image is None:
    return None, found
  try:
    told, remark = decoding.read_told(
      source, raw, layout=layout, metadata=metadata
    )
  except errors.DataError as e:
    told, remark = layout_lib.Reading(), str(e)
  if remark:
    found.append(warning("text", f"{raw.id}: {remark}", raw.id))
  film = measure(
    image,
    mask,
    id=raw.id,
    source=dataset,
    label=layout.class_names[raw.label] if raw.label >= 0 else "",
    patient=raw.patient,
    text=told.finding if told.understood else "",
    part=str(told.details.get("split", "")),
    path=source.describe(raw.image),
    size=image.shape,
  )
  return film, found + _depth(source, raw.image, film)


def _image(
  source: RawSource,
  raw: raw_index.RawExample,
  layout: layout_lib.Layout,
  *,
  found: list[Finding],
) -> np.ndarray | None:
  """The image, uint8 [h, w], a negative copy inverted; adds to `found`."""
  try:
    image, stated = decoding.read_image(source, raw, layout=layout)
  except errors.DataError as e:
    found.append(error(_why(source, raw.image), str(e), raw.id))
    return None
  if stated or not layout.negatives:
    return image
  try:
    lungs = None
    if raw.masks:
      lungs = decoding.read_masks(
        source, raw.masks, shape=image.shape, scaled=layout.scaled
      )
      lungs = reading.resize_mask(lungs, (128, 128))
    small = reading.resize_area(image, (128, 128))
    negative = polarity.is_negative(small, lungs, name=raw.id)
  except errors.DataError as e:
    found.append(error("polarity", str(e), raw.id))
    return image
  return 255 - image if negative else image


def _mask(
  source: RawSource,
  raw: raw_index.RawExample,
  shape: tuple[int, ...] | None,
  *,
  scaled: bool,
  found: list[Finding],
) -> np.ndarray | None:
  """The union of an image's masks; None where one cannot be used."""
  good = []
  for key in raw.masks:
    name = source.describe(key)
    try:
      mask = reading.read_mask(source.read(key), name=name)
      if shape is not None:
        decoding.check_frame(mask.shape, shape, name=name, scaled=scaled)
    except decoding.FrameError as e:
      found.append(error("shape", str(e), raw.id))
    except errors.DataError as e:
      found.append(error(_why(source, key, mask=True), str(e), raw.id))
    else:
      good.append(mask)
      found += _swapped(mask, key, raw.id, name=name)
  if len({mask.shape for mask in good}) > 1:
    what = f"the masks of {raw.id} differ in size"
    found.append(error("shape", what, raw.id))
    return None
  if len(good) < len(raw.masks):
    return None
  return np.logical_or.reduce(good)


def _swapped(
  mask: np.ndarray, key: str, example: str, *, name: str
) -> list[Finding]:
  if not mask.any() or mask.mean() > POSSIBLE[1] / 2:  # no lung's
    return []
  half = mask.shape[1] // 2
  what = mask_checks.swapped(
    name,
    folder=PurePosixPath(key.split("::", 1)[1]).parent.name,
    left_share=float(mask[:, :half].sum() / mask.sum()),
  )
  return [warning("sides", what, example)] if what else []


def _why(source: RawSource, key: str, *, mask: bool = False) -> str:
  """The check that a file has failed which could not be used."""
  try:
    content = source.read(key)
    with Image.open(io.BytesIO(content), formats=reading.FORMATS) as image:
      width, height = image.size
      if width * height > reading.MAX_PIXELS or (
        max(width, height) > reading.MAX_SIDE
      ):
        return "size"
      image.load()
  except (errors.DataError, *_PAINFUL):
    return "readable"
  if mask:
    try:
      reading.read_grey(content)
      return "values"
    except errors.DataError:
      pass
  return "mode"


def _depth(source: RawSource, key: str, film: Film) -> list[Finding]:
  """12 bits in a file of 16 may become 16 grey levels of 256."""
  if film.levels >= _FEWEST_LEVELS or film.levels == 1:
    return []
  try:
    content = io.BytesIO(source.read(key))
    with Image.open(content, formats=reading.FORMATS) as image:
      deep = image.mode.startswith("I")
  except _PAINFUL:  # no picture: what has no header
    return []
  what = (
    f"{film.name} has 16 bits, of which {film.levels} of 256 grey levels are "
    "left"
  )
  return [error("depth", what, film.id)] if deep else []
