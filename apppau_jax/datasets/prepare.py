"""Raw files to a prepared dataset: once, atomically, with a record of it."""

import collections
import dataclasses
import errno
import functools
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import filelock
import tensorflow_datasets as tfds

from apppau_jax import errors, files
from apppau_jax.datasets import builder as builder_lib
from apppau_jax.datasets import (
  folder,
  jsrt,
  manifest,
  montgomery,
  phantom,
  raw_index,
  shenzhen,
)
from apppau_jax.datasets import names as sets
from apppau_jax.imaging import grey_levels

BUILDERS: dict[str, type[builder_lib.LungBuilder]] = {
  "montgomery": montgomery.Montgomery,
  "shenzhen": shenzhen.Shenzhen,
  "jsrt": jsrt.Jsrt,
  "phantom": phantom.Phantom,
  "folder": folder.Folder,
}
PROBLEMS = "problems.json"
# What a write says that finds no room: the disk's, a quota's, a file's limit.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def builder_class(dataset: str) -> type[builder_lib.LungBuilder]:
  """The builder of one prepared set, `folder:NAME` included.

  Raises:
    ConfigError: no such set.
  """
  (member,) = sets.members(dataset)
  return BUILDERS[sets.kind(member)]


def prepared_folder(
  data_dir: str | os.PathLike[str],
  *,
  dataset: str,
  resolution: int,
  bits: int = 8,
) -> Path:
  """Where a dataset lies once prepared: TFDS's name/config/version.

  Raises:
    ConfigError: an unknown dataset, resolution or depth.
  """
  if sets.is_combined(dataset):
    raise errors.ConfigError(
      f"{dataset} is a view over {' and '.join(sets.members(dataset))}, and "
      "lies nowhere; prepare each of them."
    )
  if resolution not in builder_lib.RESOLUTIONS:
    raise errors.ConfigError(
      f"Resolution {resolution} is not offered; choose from "
      f"{', '.join(map(str, builder_lib.RESOLUTIONS))}."
    )
  if bits not in grey_levels.BITS:
    raise errors.ConfigError(
      f"Grey levels of {bits} bits are not offered; choose from "
      f"{', '.join(map(str, grey_levels.BITS))}."
    )
  version = str(builder_class(dataset).VERSION)
  # folder:NAME lies in folder/NAME.
  home = Path(data_dir).expanduser().joinpath(*dataset.split(":"))
  return home / builder_lib.config_name(resolution, bits) / version


def prepare(
  dataset: str,
  *,
  raw_dir: str | os.PathLike[str] | None,
  data_dir: str | os.PathLike[str],
  resolution: int = 128,
  bits: int = 8,
  allow_missing: bool = False,
  workers: int | None = None,
  progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
  """Builds the shards of a dataset, or finds that they are there already.

  A build happens in a folder of its own and replaces an older one only when
  it is complete. Two processes never build the same dataset at once.

  Args:
    dataset: a key of `BUILDERS`, or `folder:NAME`; combinations are not
      prepared.
    raw_dir: the owner's folder or zip; of phantoms what
      `phantoms.draw_set.draw` returns.
    data_dir: where prepared datasets live.
    resolution: 128, 256 or 512.
    bits: of a grey level, 8 or 16.
    allow_missing: go on when published files are missing.
    workers: decoding threads.
    progress: called with (images done, images in all).

  Returns:
    The content of prepare.json, with "folder" and "reused" added.

  Raises:
    ConfigError: an unknown dataset, resolution or depth, or no raw_dir.
    DataError: missing, damaged or inconsistent files; nothing was built.
    ResourceError: the disk is full.
  """
  target = prepared_folder(
    data_dir, dataset=dataset, resolution=resolution, bits=bits
  )
  if raw_dir is None:
    raise errors.ConfigError(
      f"Preparing {dataset} needs --raw_dir: the folder or zip of its files."
    )
  found, source_sha256 = _look(dataset, raw_dir)
  wanted = {
    "dataset": dataset,
    "resolution": resolution,
    # Absent where it is 8: what was prepared before there was a choice.
    **({} if bits == 8 else {"bits": bits}),
    "format": manifest.FORMAT,
    "source_sha256": source_sha256,
  }
  make_builder = functools.partial(
    builder_class(dataset),
    raw_dir=raw_dir,
    data_dir=_staging(target),
    config=builder_lib.config_name(resolution, bits),
    allow_missing=allow_missing,
    workers=workers,
    progress=progress,
  )
  try:
    if found.missing and not allow_missing:
      listing = _write_problems(target, found, verdicts=[])
      raw_index.refuse_missing(found, where=str(raw_dir), listing=str(listing))
    if record := _reusable(target, wanted):
      return record
    _check_disk(target, images=len(found.examples), side=resolution, bits=bits)
    return _build(make_builder, target, wanted=wanted)
  except OSError as e:
    raise _disk_error(e, target=target) from e
  except RuntimeError as e:  # of array_record, which writes in C++
    if not any(os.strerror(number) in str(e) for number in _FULL):
      raise
    raise _disk_full(target) from e


def _look(
  dataset: str, raw_dir: str | os.PathLike[str]
) -> tuple[raw_index.RawIndex, str]:
  """What the source holds and its fingerprint; decodes nothing."""
  builder = builder_class(dataset)
  with builder.open(raw_dir) as source:
    layout = builder.layout_in(source)
    found = raw_index.find_all(source, layout, allow_missing=True)
    return found, raw_index.fingerprint(source, found)


def _staging(target: Path) -> Path:
  return target.parent / ".building"


def _reusable(target: Path, wanted: Mapping[str, Any]) -> dict[str, Any] | None:
  """The record of an intact dataset that was made from the same source."""
  record = manifest.read(target)
  if record is None or manifest.damaged(target, record):
    return None
  if any(record.get(key) != value for key, value in wanted.items()):
    return None
  return {**record, "folder": str(target), "reused": True}


def _build(
  make_builder: Callable[[], builder_lib.LungBuilder],
  target: Path,
  *,
  wanted: Mapping[str, Any],
) -> dict[str, Any]:
  """Builds into the staging folder, under a lock, and swaps it in."""
  target.parent.mkdir(parents=True, exist_ok=True)
  with filelock.FileLock(target.parent / ".lock"):
    if record := _reusable(target, wanted):  # by whom we waited for
      return record
    staging = _staging(target)
    shutil.rmtree(staging, ignore_errors=True)  # of a build that was killed
    try:
      builder = make_builder()
      _generate(builder, target)
      folder = Path(builder.data_dir)
      record = {**wanted, **_record(builder), "files": None}
      record["files"] = manifest.checksums(folder)
      files.write_json(folder / manifest.NAME, record)
      _swap(folder, target)
      (target.parent / PROBLEMS).unlink(missing_ok=True)
    finally:
      shutil.rmtree(staging, ignore_errors=True)
  return {**record, "folder": str(target), "reused": False}


def _generate(builder: builder_lib.LungBuilder, target: Path) -> None:
  tfds.disable_progress_bar()  # ours counts images; TFDS's counts shards too
  try:
    builder.download_and_prepare(
      download_dir=_staging(target) / "downloads",
      download_config=tfds.download.DownloadConfig(try_download_gcs=False),
    )
  except errors.DataError:
    if builder.index is not None:
      _write_problems(target, builder.index, verdicts=builder.verdicts)
    raise


def _record(builder: builder_lib.LungBuilder) -> dict[str, Any]:
  """Counts and remarks for prepare.json."""
  found = builder.index
  assert found is not None  # set by the generation that has just succeeded
  masks = sum(bool(e.masks) for e in found.examples)
  labels = collections.Counter(e.label for e in found.examples)
  names = builder.info.features["label"].names
  unknown = {"no class": labels[-1]} if labels[-1] else {}
  return {
    "version": str(builder.VERSION),
    "content_sha256": builder_lib.content_sha256(builder),
    "counts": {
      "images": len(found.examples),
      "masks": masks,
      **{name: labels[i] for i, name in enumerate(names)},
      **unknown,
      "unlabelled": len(found.unlabelled),
      "missing": len(found.missing),
    },
    "missing": list(found.missing),
    "unlabelled": list(found.unlabelled),
    "verdicts": [dataclasses.asdict(v) for v in builder.verdicts],
  }


def _write_problems(
  target: Path,
  found: raw_index.RawIndex,
  *,
  verdicts: list[builder_lib.Verdict],
) -> Path:
  """The complete lists behind an error message that shows the first few."""
  target.parent.mkdir(parents=True, exist_ok=True)
  content = {
    "missing": list(found.missing),
    "verdicts": [dataclasses.asdict(v) for v in verdicts],
  }
  path = target.parent / PROBLEMS
  files.write_json(path, content)
  return path


def _swap(folder: Path, target: Path) -> None:
  """Puts the new folder in place; the old one goes only after that."""
  old = _staging(target) / "old"
  if target.exists():
    target.rename(old)
  try:
    folder.rename(target)
  except OSError:
    if old.exists():
      old.rename(target)
    raise


def _check_disk(target: Path, *, images: int, side: int, bits: int) -> None:
  """Refuses to start what the disk cannot hold, were nothing compressed."""
  target.parent.mkdir(parents=True, exist_ok=True)
  # Image and mask, twice: TFDS writes its shuffle buckets beside the shards.
  needed = 2 * images * side * side * (bits // 8 + 1) + 2**24
  free = shutil.disk_usage(target.parent).free
  if free < needed:
    raise errors.ResourceError(
      f"Preparing {target} may need {needed:,} bytes and the disk has {free:,} "
      "bytes free. Nothing was written; make room or give another --data_dir."
    )


def _disk_error(error: OSError, *, target: Path) -> errors.UserError:
  if error.errno in _FULL:
    return _disk_full(target)
  return errors.DataError(
    f"Preparing {target} failed: {error}. Check that --data_dir is a folder "
    "that you may write to."
  )


def _disk_full(target: Path) -> errors.ResourceError:
  return errors.ResourceError(
    f"The disk filled up while preparing {target}. The unfinished part was "
    "removed; make room, or give another --data_dir, and run the same "
    "command again."
  )
