"""A set's films from its prepared shards."""

import functools
import os
from collections.abc import Callable, Collection, Sequence
from concurrent import futures

from apppau_jax.checks import dataset_checks
from apppau_jax.checks.findings import Finding
from apppau_jax.checks.radiograph import Film, measure
from apppau_jax.datasets import catalogue, names, prepare
from apppau_jax.datasets import records as records_lib
from apppau_jax.imaging import grey_levels, reading


def read(
  data_dir: str | os.PathLike[str],
  known: catalogue.Catalogue,
  *,
  masks_of: Collection[str] | None = None,
  workers: int | None = None,
  progress: Callable[[int, int], None] | None = None,
) -> tuple[list[Film], list[Finding]]:
  """Measures all images of a prepared set or combination.

  Args:
    data_dir: where prepared datasets live.
    known: what is there.
    masks_of: the ids whose masks may be read; all by default.
    workers: threads; one per CPU, at most 8, by default.
    progress: called with (images done, images in all).

  Returns:
    The films in the order of their ids, and what their counts tell.

  Raises:
    DataError: the set is not prepared, or is damaged.
  """
  shards = records_lib.Records(
    data_dir,
    dataset=known.dataset,
    resolution=known.resolution,
    bits=known.bits,
  )
  by_id = {record["id"]: record for _, record in shards.scan()}
  records = [by_id[entry.id] for entry in known.entries]
  film = functools.partial(
    _film, masks_of=masks_of, class_names=known.class_names
  )
  films = []
  with futures.ThreadPoolExecutor(
    workers or min(8, os.cpu_count() or 1)
  ) as pool:
    for done in pool.map(film, known.entries, records):
      films.append(done)
      if progress:
        progress(len(films), len(records))
  return films, _counts(known)


def _film(
  entry: catalogue.Entry,
  record: records_lib.Record,
  *,
  masks_of: Collection[str] | None,
  class_names: Sequence[str],
) -> Film:
  seen = entry.has_mask and (masks_of is None or entry.id in masks_of)
  return measure(
    grey_levels.shallow(reading.read_prepared(record["image"])),
    reading.read_prepared(record["mask"]) > 0 if seen else None,
    id=entry.id,
    source=entry.source,
    label=class_names[entry.label] if entry.label >= 0 else "",
    patient=entry.patient,
    part=str(entry.details.get("split", "")),
    text=entry.finding,
    path="",
    size=(entry.height, entry.width),
  )


def _counts(known: catalogue.Catalogue) -> list[Finding]:
  found = []
  public = (m for m in names.members(known.dataset) if not names.is_own(m))
  for member in public:
    own = [entry for entry in known.entries if entry.source == member]
    found += dataset_checks.counts(
      [entry.id for entry in own],
      masked=[entry.id for entry in own if entry.has_mask],
      layout=prepare.builder_class(member).layout(),
    )
  return found
