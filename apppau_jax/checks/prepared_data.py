"""Measure the images of a prepared set."""

import functools
import itertools
import os
from collections.abc import Callable, Collection, Sequence
from concurrent import futures

from apppau_jax.checks import dataset_checks
from apppau_jax.checks.findings import Finding
from apppau_jax.checks.radiograph import Radiograph, measure
from apppau_jax.datasets import registry
from apppau_jax.datasets.dataset import Dataset
from apppau_jax.datasets.entry import Entry
from apppau_jax.datasets.shards import Record
from apppau_jax.imaging import grey_levels
from apppau_jax.imaging.decode import read_prepared

_AT_ONCE = 256  # records in memory


def read(
  dataset: Dataset,
  *,
  masks_of: Collection[str] | None = None,
  workers: int | None = None,
  progress: Callable[[int, int], None] | None = None,
) -> tuple[list[Radiograph], list[Finding]]:
  """Measures all images of a prepared set or combination.

  Args:
    dataset: the prepared set.
    masks_of: the ids whose masks may be read; all by default.
    workers: threads; one per CPU, at most 8, by default.
    progress: called with (images done, images in all).

  Returns:
    The images in the order of their ids, and findings about their counts.
  """
  measured = functools.partial(
    _measured, dataset, masks_of=masks_of, class_names=dataset.class_names
  )
  images: list[Radiograph] = []
  records = dataset.records()
  with futures.ThreadPoolExecutor(
    workers or min(8, os.cpu_count() or 1)
  ) as pool:
    while some := [*itertools.islice(records, _AT_ONCE)]:
      for image in pool.map(measured, *zip(*some)):
        images.append(image)
        if progress:
          progress(len(images), len(dataset.entries))
  return images, _counts(dataset)


def _measured(
  dataset: Dataset,
  entry: Entry,
  record: Record,
  *,
  masks_of: Collection[str] | None,
  class_names: Sequence[str],
) -> Radiograph:
  read_mask = entry.has_mask and (masks_of is None or entry.id in masks_of)
  decode = functools.partial(read_prepared, side=dataset.resolution)
  return measure(
    grey_levels.shallow(decode(record["image"])),
    decode(record["mask"]) > 0 if read_mask else None,
    id=entry.id,
    source=entry.source,
    label=class_names[entry.label] if entry.label >= 0 else "",
    patient=entry.patient,
    part=str(entry.details.get("split", "")),
    text=entry.finding,
    path="",
    size=(entry.height, entry.width),
    outlined=registry.spec(entry.source).outlined,
  )


def _counts(dataset: Dataset) -> list[Finding]:
  found = []
  for member in registry.members(dataset.name):
    own = [entry for entry in dataset.entries if entry.source == member]
    found += dataset_checks.counts(
      [entry.id for entry in own],
      masked=[entry.id for entry in own if entry.has_mask],
      spec=registry.spec(member),
    )
  return found
