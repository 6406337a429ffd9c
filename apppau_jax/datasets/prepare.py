"""Prepare a data set from its raw files: once, atomically, with a record."""

import collections
import contextlib
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
from apppau_jax.datasets import prepared as prepared_lib
from apppau_jax.datasets import raw_index, registry
from apppau_jax.datasets.prepared import Prepared

PROBLEMS = "problems.json"
# Errors of a write without room: on the disk, in a quota, in a file's limit.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def prepare(
  dataset: str,
  *,
  raw_dir: str | os.PathLike[str] | None,
  data_dir: str | os.PathLike[str],
  resolution: int = 128,
  bits: int = 8,
  allow_missing: bool = False,
  columns: Mapping[str, str] | None = None,
  workers: int | None = None,
  progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
  """Builds the shards of a data set, unless they exist already.

  A build happens in a folder of its own and replaces an older one only when it
  is complete. Two processes never build the same data set at once.

  Args:
    dataset: a key of `registry.DATASETS`, or `folder:NAME`; the members of a
      combination are prepared one by one.
    raw_dir: the owner's folder or zip; of phantoms, what
      `phantoms.draw_set.draw` returns.
    data_dir: the folder of all prepared sets.
    resolution: side of the prepared pictures: 128, 256 or 512 pixels.
    bits: of a grey level, 8 or 16.
    allow_missing: continue if published files are missing.
    columns: of a user's set, what labels.csv calls `id`, `label`, `patient`.
    workers: decoding threads; one per CPU, at most 8, by default.
    progress: called with (images done, images in all).

  Returns:
    The content of prepare.json, with "folder" and "reused" added.

  Raises:
    ConfigError: an unknown data set, resolution or depth, or no raw_dir.
    DataError: missing, damaged or inconsistent files; nothing was built.
    ResourceError: the disk is full.
  """
  target = Prepared(
    data_dir=data_dir, dataset=dataset, resolution=resolution, bits=bits
  )
  if raw_dir is None:
    raise errors.ConfigError(
      f"Preparing {dataset} needs --raw_dir: the folder or zip of its files."
    )
  registry.check_columns(dataset, columns)
  with registry.spec(dataset).open(raw_dir, columns=columns) as source:
    spec = registry.spec(dataset).of(source)
    found = raw_index.index_complete(source, spec, allow_missing=True)
    fingerprint = raw_index.fingerprint(source, found)
  wanted = {
    "dataset": dataset,
    "resolution": resolution,
    # Absent for 8, as in records that are older than the option.
    **({} if bits == 8 else {"bits": bits}),
    **({"findings": [*spec.finding_names]} if spec.finding_names else {}),
    "format": prepared_lib.FORMAT,
    "source_sha256": fingerprint,
    **({"columns": dict(columns)} if columns else {}),
  }
  make_builder = functools.partial(
    builder_lib.builder_class(dataset),
    raw_dir=raw_dir,
    data_dir=_staging(target),
    config=target.config_name,
    allow_missing=allow_missing,
    columns=columns,
    workers=workers,
    progress=progress,
  )
  try:
    if found.missing and not allow_missing:
      listing = _write_problems(target, found, verdicts=[])
      raw_index.refuse_missing(found, where=str(raw_dir), listing=str(listing))
    if record := _reusable(target, wanted):
      _remove_leftovers(target)
      return record
    _check_disk(target, images=len(found.examples))
    return _build(make_builder, target, wanted=wanted)
  except OSError as e:
    raise _disk_error(e, target=target) from e
  except RuntimeError as e:  # array_record writes in C++
    if not any(os.strerror(number) in str(e) for number in _FULL):
      raise
    raise _disk_full(target) from e


def _staging(target: Prepared) -> Path:
  return target.folder.parent / ".building"


def _remove_leftovers(target: Prepared) -> None:
  """Removes what a command left that was killed after its build."""
  parent = target.folder.parent
  files.remove_leftovers(parent)
  if _staging(target).exists():
    with (
      contextlib.suppress(filelock.Timeout, OSError),
      filelock.FileLock(parent / ".lock", timeout=0),
    ):
      shutil.rmtree(_staging(target), ignore_errors=True)


def _reusable(
  target: Prepared, wanted: Mapping[str, Any]
) -> dict[str, Any] | None:
  """Returns the record of an intact set that was made from the same source."""
  record = target.read_record()
  if record is None or target.damaged(record):
    return None
  if any(record.get(key) != value for key, value in wanted.items()):
    return None
  if record.get("columns") != wanted.get("columns"):
    return None
  return {**record, "folder": str(target.folder), "reused": True}


def _build(
  make_builder: Callable[[], builder_lib.LungBuilder],
  target: Prepared,
  *,
  wanted: Mapping[str, Any],
) -> dict[str, Any]:
  """Builds into the staging folder, under a lock, and swaps it in."""
  parent, staging = target.folder.parent, _staging(target)
  parent.mkdir(parents=True, exist_ok=True)
  with filelock.FileLock(parent / ".lock"):
    if record := _reusable(target, wanted):  # another process built it
      return record
    _clear(staging)  # of a build that was killed
    files.remove_leftovers(parent)
    try:
      builder = make_builder()
      _generate(builder, target)
      folder = Path(builder.data_dir)
      record = {**wanted, **_describe(builder), "files": None}
      record["files"] = prepared_lib.checksums(folder)
      files.write_json(folder / prepared_lib.RECORD, record)
      _swap(folder, target)
      (parent / PROBLEMS).unlink(missing_ok=True)
    finally:
      shutil.rmtree(staging, ignore_errors=True)
  return {**record, "folder": str(target.folder), "reused": False}


def _clear(staging: Path) -> None:
  """Removes a folder, or a link to one, in which TFDS would find a set.

  Raises:
    DataError: it is still there.
  """
  if staging.is_symlink():
    staging.unlink()
  shutil.rmtree(staging, ignore_errors=True)
  if os.path.lexists(staging):
    raise errors.DataError(
      f"{staging}, in which the dataset would be built, cannot be removed. "
      "Remove it, or choose another --data_dir."
    )


def _generate(builder: builder_lib.LungBuilder, target: Prepared) -> None:
  tfds.disable_progress_bar()  # `progress` counts images; TFDS's, shards too
  try:
    builder.download_and_prepare(
      download_dir=_staging(target) / "downloads",
      download_config=tfds.download.DownloadConfig(try_download_gcs=False),
    )
  except errors.DataError:
    if builder.index.examples:
      _write_problems(target, builder.index, verdicts=builder.verdicts)
    raise


def _describe(builder: builder_lib.LungBuilder) -> dict[str, Any]:
  """Returns counts and remarks for the record."""
  found = builder.index
  labels = collections.Counter(e.label for e in found.examples)
  names = builder.info.features["label"].names
  unknown = {"no class": labels[-1]} if labels[-1] else {}
  return {
    "version": str(builder.VERSION),
    "content_sha256": builder_lib.content_sha256(builder),
    "counts": {
      "images": len(found.examples),
      "masks": sum(e.has_mask for e in found.examples),
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
  target: Prepared,
  found: raw_index.RawIndex,
  *,
  verdicts: list[builder_lib.Verdict],
) -> Path:
  """Writes the complete lists; error messages show the first entries."""
  path = target.folder.parent / PROBLEMS
  content = {
    "missing": list(found.missing),
    "verdicts": [dataclasses.asdict(v) for v in verdicts],
  }
  files.write_json(path, content)
  return path


def _swap(folder: Path, target: Prepared) -> None:
  """Moves the new folder into place, and restores the old one on failure."""
  old = _staging(target) / "old"
  if target.folder.exists():
    target.folder.rename(old)
  try:
    folder.rename(target.folder)
  except OSError:
    if old.exists():
      old.rename(target.folder)
    raise


def _check_disk(target: Prepared, *, images: int) -> None:
  """Refuses to start if the disk cannot hold the uncompressed pictures."""
  parent = target.folder.parent
  parent.mkdir(parents=True, exist_ok=True)
  # Image and mask, twice: TFDS writes its shuffle buckets beside the shards.
  pixels = images * target.resolution**2
  needed = 2 * pixels * (target.bits // 8 + 1) + 2**24
  free = shutil.disk_usage(parent).free
  if free < needed:
    raise errors.ResourceError(
      f"Preparing {target.folder} may need {needed:,} bytes and the disk has "
      f"{free:,} bytes free. Nothing was written. Free some space or choose "
      "another --data_dir."
    )


def _disk_error(error: OSError, *, target: Prepared) -> errors.UserError:
  if error.errno in _FULL:
    return _disk_full(target)
  return errors.DataError(
    f"Preparing {target.folder} failed: {error}. Check that --data_dir is a "
    "folder that you may write to."
  )


def _disk_full(target: Prepared) -> errors.ResourceError:
  return errors.ResourceError(
    f"The disk filled up while preparing {target.folder}. The unfinished part "
    "was removed. Free some space or choose another --data_dir, and run the "
    "same command again."
  )
