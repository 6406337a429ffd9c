"""TFDS builders: raw files in, array_record shards out.

The builders work without TensorFlow: pictures are encoded as PNG, shards are
array_record, and zips are read by the standard library. One TFDS split, `full`,
holds every example; training, validation and test parts are lists of ids, so
that one preparation serves every split.
"""

import dataclasses
import functools
import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent import futures
from typing import Any

import tensorflow_datasets as tfds

from apppau_jax import errors
from apppau_jax.datasets import decoding, features, raw_index, registry
from apppau_jax.datasets.features import PICTURES, SPACING, SPLIT
from apppau_jax.datasets.prepared import RESOLUTIONS, config_name
from apppau_jax.datasets.raw_source import summarise
from apppau_jax.datasets.spec import DatasetSpec
from apppau_jax.imaging import decode, grey_levels

_AT_ONCE = 64  # prepared examples in memory
RawDir = str | os.PathLike[str]


@dataclasses.dataclass(eq=False)
class LungConfig(tfds.core.BuilderConfig):
  """A TFDS config: the square that images are resampled to, and its depth."""

  name: str = "128"
  description: str | None = None
  resolution: int = 128  # pixels a side
  bits: int = 8  # of a grey level


@dataclasses.dataclass(frozen=True)
class Verdict:
  """A remark on one id; `level` is "error" or "warning"."""

  id: str
  level: str
  message: str


_Decoded = tuple[dict[str, Any] | None, list[Verdict]]


class LungBuilder(tfds.core.GeneratorBasedBuilder):
  """The base of the builders that `builder_class` makes from a spec.

  Attributes:
    SPECS: the set, or the sets of a combination.
    index: the raw files, set by `download_and_prepare`.
    verdicts: remarks on single ids, set by `download_and_prepare`.
  """

  SPECS: tuple[DatasetSpec, ...] = ()
  VERSION = tfds.core.Version("1.0.0")
  BUILDER_CONFIGS = [  # noqa: RUF012  (TFDS reads a class attribute)
    LungConfig(
      name=config_name(side, bits),
      description=f"{side}x{side} pixels of {bits} bits",
      resolution=side,
      bits=bits,
    )
    for bits in grey_levels.BITS
    for side in RESOLUTIONS
  ]
  MANUAL_DOWNLOAD_INSTRUCTIONS = (
    "The owner's terms do not allow redistribution: get the files from the "
    "owner and put the folder or the zip into manual_dir (docs/data.md)."
  )

  def __init__(
    self,
    *,
    raw_dir: RawDir | Mapping[str, RawDir] | None = None,
    allow_missing: bool = False,
    columns: Mapping[str, str] | None = None,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    file_format: str = "array_record",
    **kwargs: Any,
  ):
    """Adds options to those of TFDS.

    Args:
      raw_dir: the owner's folder or zip; of a combination one that holds all
        sets, or one for each by name. TFDS's manual_dir by default.
      allow_missing: continue if files that belong to the set are missing.
      columns: what the table of a user's set calls id, label and patient.
      workers: decoding threads; one per CPU, at most 8, by default.
      progress: called with (images done, images in all) of each set.
      file_format: array_record is the one that needs no TensorFlow.
      **kwargs: data_dir, config, version, as in TFDS.
    """
    self.raw_dir = raw_dir
    self.allow_missing = allow_missing
    self.columns = columns
    self.workers = workers or min(8, os.cpu_count() or 1)
    self.progress = progress
    self.index = raw_index.RawIndex()
    self.verdicts: list[Verdict] = []
    super().__init__(file_format=file_format, **kwargs)

  @functools.cached_property
  def specs(self) -> list[DatasetSpec]:
    """The specs, completed from the raw files where they must be.

    Raises:
      ValueError: `raw_dir` is needed for the classes and was not given.
    """
    specs = []
    for spec in self.SPECS:
      if spec.complete is not None:
        if self.raw_dir is None:
          raise ValueError(f"{spec.name} needs raw_dir, which has its classes.")
        with spec.open(
          _raw_dir_of(spec, self.raw_dir), columns=self.columns
        ) as source:
          spec = spec.of(source)
      specs.append(spec)
    return specs

  def _info(self) -> tfds.core.DatasetInfo:
    specs, form = self.specs, self.builder_config
    return tfds.core.DatasetInfo(
      builder=self,
      description=self.__doc__ or "",
      citation="; ".join(spec.citation for spec in specs if spec.citation),
      features=features.features(specs, form=form),
    )

  def _split_generators(
    self, dl_manager: tfds.download.DownloadManager
  ) -> dict[str, Iterator[tuple[str, dict[str, Any]]]]:
    raw_dir = self.raw_dir or dl_manager.manual_dir
    return {SPLIT: self._generate_examples(raw_dir)}

  def _generate_examples(
    self, raw_dir: RawDir | Mapping[str, RawDir]
  ) -> Iterator[tuple[str, dict[str, Any]]]:
    self.index, self.verdicts = raw_index.RawIndex(), []
    for spec in self.specs:
      for example in self._decode_all(spec, _raw_dir_of(spec, raw_dir)):
        if len(self.specs) > 1:
          example = features.joined(
            example, spec, specs=self.specs, form=self.builder_config
          )
        yield example["id"], example
    bad = [v for v in self.verdicts if v.level == "error"]
    if bad:
      raise errors.DataError(
        f"{len(bad)} of {len(self.index.examples)} images cannot be used, and "
        f"nothing was built: {summarise(_grouped(bad))}"
      )

  def _decode_all(
    self, spec: DatasetSpec, raw_dir: RawDir
  ) -> Iterator[dict[str, Any]]:
    """Yields the usable examples of one set, and records what was found."""
    with spec.open(raw_dir) as source:
      found = raw_index.index_complete(
        source, spec, allow_missing=self.allow_missing
      )
      self.index = raw_index.joined(self.index, found)
      self.verdicts += [Verdict(i, "warning", note) for i, note in found.notes]
      readings = spec.read_tables(source)

      def read(raw: raw_index.RawExample) -> _Decoded:
        try:
          example, remarks = decoding.read_example(
            source,
            raw,
            spec=spec,
            form=self.builder_config,
            readings=readings,
          )
        except errors.DataError as e:
          return None, [Verdict(raw.id, "error", str(e))]
        return example, [Verdict(raw.id, "warning", r) for r in remarks]

      done = 0
      with futures.ThreadPoolExecutor(self.workers) as pool:
        for start in range(0, len(found.examples), _AT_ONCE):
          some = found.examples[start : start + _AT_ONCE]
          for example, verdicts in pool.map(read, some):
            done += 1
            self.verdicts += verdicts
            if self.progress:
              self.progress(done, len(found.examples))
            if example is not None:
              yield example

  def _log_download_bytes(self) -> None:
    """Suppresses TFDS's message: nothing is downloaded."""

  def _log_download_done(self) -> None:
    """Suppresses TFDS's message, which names the staging folder."""


def _grouped(verdicts: Sequence[Verdict]) -> list[str]:
  """Returns one message for each reason, with the ids of the others.

  Two reasons are equal if they differ only in the id and in numbers.
  """
  same: dict[str, list[Verdict]] = {}
  for verdict in verdicts:
    reason = re.sub(r"[0-9]+", "0", verdict.message.replace(verdict.id, ""))
    same.setdefault(reason, []).append(verdict)
  lines = []
  for first, *others in same.values():
    ids = summarise(v.id for v in others).rstrip(".")
    more = f" (and {len(others)} more for the same reason: {ids})"
    lines.append(first.message.rstrip(".") + more * bool(others))
  return lines


def builder_class(dataset: str) -> type[LungBuilder]:
  """Returns the TFDS builder of a set or of the combination `ccx`.

  Args:
    dataset: a key of `registry.DATASETS` or `registry.COMBINATIONS`, or
      `folder:NAME`.

  Raises:
    ConfigError: there is no such set.

  Example:
    >>> builder_class("ccx").SPECS[2].name
    'jsrt'
  """
  if dataset in registry.COMBINATIONS:
    members = registry.COMBINATIONS[dataset]
    return _builder_class(dataset, tuple(map(registry.spec, members)))
  spec = registry.spec(dataset)
  return _builder_class(spec.name, (spec,))


_made: dict[str, type[LungBuilder]] = {}


def _builder_class(
  name: str, specs: tuple[DatasetSpec, ...]
) -> type[LungBuilder]:
  """Makes a class once; TFDS refuses a second one of the same name."""
  if name not in _made:
    title = " ".join(spec.title for spec in specs)
    version = specs[0].version if len(specs) == 1 else "1.0.0"
    _made[name] = type(
      name.capitalize(),
      (LungBuilder,),
      {
        "SPECS": specs,
        "VERSION": tfds.core.Version(version),
        "__doc__": title,
        "__module__": __name__,
      },
    )
  return _made[name]


def _raw_dir_of(
  spec: DatasetSpec, raw_dir: RawDir | Mapping[str, RawDir]
) -> RawDir:
  return raw_dir[spec.name] if isinstance(raw_dir, Mapping) else raw_dir


def content_sha256(built: tfds.core.DatasetBuilder) -> str:
  """Returns the SHA-256 of all decoded examples in the order of their ids.

  The same data have the same value everywhere. The bytes of a shard do not,
  since protocol buffers write the features of an example in any order. The
  spacing does not count, so that sets of format 1 have the same value.

  Args:
    built: a builder of this package that has just written its shards.
  """
  skip = tfds.decode.SkipDecoding()
  decoders = {name: skip for name in PICTURES if name in built.info.features}
  records: Any = built.as_data_source(split=SPLIT, decoders=decoders)
  # Only some records are in memory at a time.
  ids = [record["id"] for record in _read(records, range(len(records)))]
  digest = hashlib.sha256()
  for record in _read(records, sorted(range(len(ids)), key=ids.__getitem__)):
    for name, value in sorted(record.items()):
      if name in SPACING:
        continue
      if name in PICTURES:
        value = decode.read_prepared(value).tobytes()
      text = value if isinstance(value, bytes) else str(int(value)).encode()
      digest.update(f"{name} {len(text)}:".encode() + text)
  return digest.hexdigest()


def _read(records: Any, positions: Sequence[int]) -> Iterator[dict[str, Any]]:
  for start in range(0, len(positions), _AT_ONCE):
    yield from records.__getitems__(positions[start : start + _AT_ONCE])
