"""Measure the images of a set from its owner's files, and list the errors."""

import os
from collections.abc import Callable, Mapping
from concurrent import futures
from pathlib import PurePosixPath

import numpy as np

from apppau_jax import errors
from apppau_jax.checks import dataset_checks
from apppau_jax.checks.findings import Finding, error, warning
from apppau_jax.checks.radiograph import Radiograph, measure
from apppau_jax.datasets import decoding, raw_index, registry
from apppau_jax.datasets.raw_index import RawExample
from apppau_jax.datasets.raw_source import RawSource
from apppau_jax.datasets.spec import DatasetSpec, Reading
from apppau_jax.imaging import decode, masks, polarity, resample
from apppau_jax.imaging.film import Film
from apppau_jax.imaging.remarks import FEWEST_LEVELS
from apppau_jax.imaging.structure import LUNGS

_SMALL = (128, 128)  # at which polarity is determined


def read(
  dataset: str,
  raw_dir: str | os.PathLike[str],
  *,
  columns: Mapping[str, str] | None = None,
  workers: int | None = None,
  progress: Callable[[int, int], None] | None = None,
) -> tuple[list[Radiograph], list[Finding]]:
  """Reads and measures all images and masks of one set.

  Memory is bounded: of each image a copy of 128 x 128 pixels is kept.

  Args:
    dataset: a set, no combination.
    raw_dir: the owner's folder or zip.
    columns: of a user's set, what labels.csv calls `id`, `label`, `patient`.
    workers: threads; one per CPU, at most 8, by default.
    progress: called with (images done, images in all).

  Returns:
    The images that could be read, in the order of their ids, and findings.

  Raises:
    DataError: there is no such folder, or no image in it.
  """
  spec, faults = registry.spec(dataset), []
  registry.check_columns(dataset, columns)
  with spec.open(raw_dir, columns=columns, faults=faults) as source:
    spec = spec.of(source)
    found = [error("readable", str(fault)) for fault in faults]
    index = raw_index.index(source, spec)
    if not index.examples and not found:
      raw_index.index_complete(source, spec, allow_missing=True)  # raises
    found += _check_index(index, spec)
    readings = {}
    try:
      readings = spec.read_tables(source)
    except errors.DataError as e:
      found.append(error("readable", str(e)))

    def read_one(raw: RawExample) -> tuple[Radiograph | None, list[Finding]]:
      reader = _Reader(source, raw, spec)
      return reader.measured(readings, dataset=dataset), reader.found

    images = []
    with futures.ThreadPoolExecutor(
      workers or min(8, os.cpu_count() or 1)
    ) as pool:
      results = pool.map(read_one, index.examples)
      for done, (image, of_image) in enumerate(results, start=1):
        found += of_image
        images += [image] if image else []
        if progress:
          progress(done, len(index.examples))
  return images, found


def _check_index(index: raw_index.RawIndex, spec: DatasetSpec) -> list[Finding]:
  found = [warning("counts", f"{i}: {note}", i) for i, note in index.notes]
  halves = []
  for raw in index.examples:
    files = {"/".join(filter(None, f)) for f in spec.masks(raw.id)[0]}
    lacking = sorted(files.intersection(index.missing))
    if not raw.masks and 0 < len(lacking) < len(files):
      halves.append(raw.id)
      what = f"{raw.id} has one lung's mask, but no {lacking[0]}"
      found.append(error("mask", what, raw.id))
  return found + dataset_checks.counts(
    [raw.id for raw in index.examples],
    masked=[*(raw.id for raw in index.examples if raw.has_mask), *halves],
    spec=spec,
  )


class _Reader:
  """Reads one image with its masks, and collects findings in `found`."""

  def __init__(self, source: RawSource, raw: RawExample, spec: DatasetSpec):
    self.source, self.raw, self.spec = source, raw, spec
    self.found: list[Finding] = []

  def measured(
    self, readings: Mapping[str, Reading], *, dataset: str
  ) -> Radiograph | None:
    """Returns the measured image; None if it cannot be read."""
    raw, spec = self.raw, self.spec
    film = self._film()
    shape = None if film is None else film.levels.shape
    mask = self._annotated(shape) if raw.annotation else self._mask(shape)
    if film is None:
      return None
    try:
      reading, remark = decoding.read_reading(
        self.source, raw, spec=spec, readings=readings
      )
    except errors.DataError as e:
      reading, remark = Reading(), str(e)
    if remark:
      self.found.append(warning("text", f"{raw.id}: {remark}", raw.id))
    made = measure(
      film.levels,
      mask,
      id=raw.id,
      source=dataset,
      label=spec.class_names[raw.label] if raw.label >= 0 else "",
      patient=raw.patient,
      text=reading.finding if reading.understood else "",
      part=str(reading.details.get("split", "")),
      path=self.source.describe(raw.image),
      size=film.levels.shape,
      remarks=film.remarks,
      outlined=spec.outlined,
    )
    self._check_depth(made)
    return made

  def _error(self, check: str, what: object) -> None:
    self.found.append(error(check, str(what), self.raw.id))

  def _film(self) -> Film | None:
    """Returns levels of 8 bits, a negative copy inverted."""
    raw, spec = self.raw, self.spec
    try:
      film, stated = decoding.read_image(self.source, raw, spec=spec)
    except errors.DataError as e:
      self._error(self._cause(raw.image), e)
      return None
    if stated or not spec.negatives:
      return film
    image = film.levels
    try:
      lungs = None
      if raw.masks:
        lungs = decoding.read_masks(
          self.source, raw.masks, spec=spec, shape=image.shape
        )
        lungs = resample.resize_mask(lungs, _SMALL)
      small = resample.resize_area(image, _SMALL)
      if polarity.is_negative(small, lungs, name=raw.id):
        return film._replace(levels=~image)
    except errors.DataError as e:
      self._error("polarity", e)
    return film

  def _annotated(self, shape: tuple[int, ...] | None) -> np.ndarray | None:
    """Returns the mask that an annotation states; None if it is unusable."""
    raw = self.raw
    if raw.annotation is None or shape is None:
      return None
    try:
      return decoding.read_annotation(
        raw.annotation, shape=shape, name=raw.id
      ).mask
    except errors.DataError as e:
      self._error("shape", e)
      return None

  def _mask(self, shape: tuple[int, ...] | None) -> np.ndarray | None:
    """Returns the union of the masks; None if one is absent or unusable."""
    good = []
    for key in self.raw.masks:
      name = self.source.describe(key)
      try:
        mask = masks.read_mask(self.source.read(key), name=name)
        if shape is not None:
          masks.check_frame(
            mask.shape,
            shape,
            name=name,
            scaled=self.spec.scaled,
            frames=self.spec.frames,
          )
      except masks.FrameError as e:
        self._error("shape", e)
      except errors.DataError as e:
        self._error(self._cause(key, mask=True), e)
      else:
        good.append(mask)
        self._check_side(mask, key)
    if len({mask.shape for mask in good}) > 1:
      self._error("shape", f"the masks of {self.raw.id} differ in size")
      return None
    if not good or len(good) < len(self.raw.masks):
      return None
    return np.logical_or.reduce(good)

  def _check_side(self, mask: np.ndarray, key: str) -> None:
    """Finds the mask of a lung that lies on the other side."""
    folder = PurePosixPath(key.split("::", 1)[1]).parent.name
    left = self.spec.left_folders.get(folder)
    if left is None or not mask.any() or mask.mean() > LUNGS.possible[1] / 2:
      return
    half = mask.shape[1] // 2
    if (mask[:, :half].sum() / mask.sum() > 0.5) != left:
      here, there = ("right", "left") if left else ("left", "right")
      name = self.source.describe(key)
      what = f"{name} lies {here} in the image, but holds the lung {there}"
      self.found.append(warning("sides", what, self.raw.id))

  def _cause(self, key: str, *, mask: bool = False) -> str:
    """Returns the check that a file has failed which cannot be used."""
    try:
      content = self.source.read(key)
      with decode.opened(content, name=key) as image:
        width, height = image.size
        if width * height > decode.MAX_PIXELS or (
          max(width, height) > decode.MAX_SIDE
        ):
          return "size"
        image.load()
    except errors.DataError:
      return "readable"
    if mask:
      try:
        decode.read_grey(content)
        return "values"
      except errors.DataError:
        pass
    return "mode"

  def _check_depth(self, image: Radiograph) -> None:
    """Finds files of 16 bits that use few of them."""
    if image.levels >= FEWEST_LEVELS or image.levels == 1:
      return
    try:
      content = self.source.read(self.raw.image)
      with decode.opened(content, name=image.name) as file:
        deep = file.mode.startswith("I")
    except errors.DataError:  # a file without a header
      return
    if deep:
      self._error(
        "depth",
        f"{image.name} has 16 bits, but only {image.levels} of 256 grey levels "
        "are used",
      )
