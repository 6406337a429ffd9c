"""The base of the TFDS builders: raw files in, array_record shards out.

Works without TensorFlow: images go in as PNG bytes, shards are array_record,
zips are read by the standard library. One TFDS split, `full`, holds every
example; which ids train and which test is decided later, by id
(`data.splits`), so one preparation serves every split.
"""

import abc
import collections
import dataclasses
import functools
import hashlib
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent import futures
from typing import Any, TypeVar

import numpy as np
import tensorflow_datasets as tfds

from apppau_jax import errors
from apppau_jax.datasets import decoding, raw_index
from apppau_jax.datasets import layout as layout_lib
from apppau_jax.datasets import raw_source as source_lib
from apppau_jax.imaging import grey_levels, reading

RESOLUTIONS = (128, 256, 512)
SPLIT = "full"  # "all" is a reserved word of TFDS
PICTURES = ("image", "mask", "structures")  # features that are pictures

_In = TypeVar("_In")
_Out = TypeVar("_Out")


@dataclasses.dataclass(eq=False)
class LungConfig(tfds.core.BuilderConfig):
  """A TFDS config: the square that images are resampled to, and its depth."""

  name: str = "128"
  description: str | None = None
  resolution: int = 128  # pixels a side
  bits: int = 8  # of a grey level


def config_name(resolution: int, bits: int) -> str:
  """The name of a config, and of the folder of what it prepares."""
  return str(resolution) if bits == 8 else f"{resolution}-{bits}bit"


@dataclasses.dataclass(frozen=True)
class Verdict:
  """What is to be said about one id: `level` is "error" or "warning"."""

  id: str
  level: str
  message: str


_Decoded = tuple[dict[str, Any] | None, list[Verdict]]


class LungBuilder(tfds.core.GeneratorBasedBuilder):
  """Chest radiographs with lung masks, in one owner's layout.

  Attributes:
    index: what the raw source holds; set by `download_and_prepare`.
    verdicts: remarks on single ids; filled by `download_and_prepare`.
  """

  # Ends of the names of raw files; None: any.
  SUFFIXES: Collection[str] | None = source_lib.SUFFIXES
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
    raw_dir: str | os.PathLike[str] | None = None,
    allow_missing: bool = False,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    file_format: str = "array_record",
    **kwargs: Any,
  ):
    """Adds four options to TFDS's own.

    Args:
      raw_dir: the owner's folder or zip; TFDS's manual_dir by default, which
        cannot be a zip.
      allow_missing: go on when files that belong to the set are missing.
      workers: decoding threads; one per CPU, at most 8, by default.
      progress: called with (images done, images in all).
      file_format: array_record is the one that needs no TensorFlow.
      **kwargs: data_dir, config, version, as in TFDS.
    """
    self.raw_dir = raw_dir
    self.allow_missing = allow_missing
    self.workers = workers or min(8, os.cpu_count() or 1)
    self.progress = progress
    self.index: raw_index.RawIndex | None = None
    self.verdicts: list[Verdict] = []
    super().__init__(file_format=file_format, **kwargs)

  @classmethod
  @abc.abstractmethod
  def layout(cls) -> layout_lib.Layout:
    """How the owner lays out the files."""

  @classmethod
  def layout_in(cls, source: source_lib.RawSource) -> layout_lib.Layout:
    """The layout, with what only these files tell of it."""
    del source  # an owner's layout is the same everywhere
    return cls.layout()

  @classmethod
  def open(
    cls,
    raw_dir: str | os.PathLike[str],
    *,
    faults: list[errors.DataError] | None = None,
  ) -> source_lib.RawSource:
    """The raw files of a folder or zip; see `RawSource` of `faults`."""
    return source_lib.RawSource(raw_dir, suffixes=cls.SUFFIXES, faults=faults)

  def own_layout(self) -> layout_lib.Layout:
    """The layout of what this builder prepares."""
    return self.layout()

  def _info(self) -> tfds.core.DatasetInfo:
    layout, form = self.own_layout(), self.builder_config
    return tfds.core.DatasetInfo(
      builder=self,
      description=self.__doc__ or "",
      features=features(
        layout,
        side=form.resolution,
        bits=form.bits,
        class_names=layout.class_names,
      ),
    )

  def _split_generators(
    self, dl_manager: tfds.download.DownloadManager
  ) -> dict[str, Iterator[tuple[str, dict[str, Any]]]]:
    raw_dir = self.raw_dir or dl_manager.manual_dir
    return {SPLIT: self._generate_examples(raw_dir)}

  def _generate_examples(
    self, raw_dir: str | os.PathLike[str]
  ) -> Iterator[tuple[str, dict[str, Any]]]:
    with self.open(raw_dir) as source:
      layout = self.layout_in(source)
      self.index = raw_index.find_all(
        source, layout, allow_missing=self.allow_missing
      )
      self.verdicts = [
        Verdict(i, "warning", note) for i, note in self.index.notes
      ]
      examples = self.index.examples
      metadata = layout_lib.read_tables(source, layout)

      def read(raw: raw_index.RawExample) -> _Decoded:
        try:
          features, remarks = decoding.read_example(
            source,
            raw,
            side=self.builder_config.resolution,
            bits=self.builder_config.bits,
            layout=layout,
            metadata=metadata,
          )
        except errors.DataError as e:
          return None, [Verdict(raw.id, "error", str(e))]
        return features, [Verdict(raw.id, "warning", r) for r in remarks]

      decoded = _ordered_map(read, examples, workers=self.workers)
      for done, (features, verdicts) in enumerate(decoded, start=1):
        self.verdicts += verdicts
        if self.progress:
          self.progress(done, len(examples))
        if features is not None:
          yield features["id"], features
    bad = [v for v in self.verdicts if v.level == "error"]
    if bad:
      raise errors.DataError(
        f"{len(bad)} of {len(examples)} images cannot be used, and nothing "
        f"was built: {raw_index.summarise([v.message for v in bad])}"
      )

  def _log_download_bytes(self) -> None:
    """Nothing is downloaded; TFDS would print a paragraph about it."""

  def _log_download_done(self) -> None:
    """TFDS would print the staging folder as the place to look in."""


def features(
  layout: layout_lib.Layout,
  *,
  side: int,
  bits: int,
  class_names: Sequence[str],
) -> tfds.features.FeaturesDict:
  """Returns the features of one example of a prepared set."""
  picture = functools.partial(
    tfds.features.Image, shape=(side, side, 1), encoding_format="png"
  )
  mask = picture(dtype=np.uint8)
  stated = {
    "id": tfds.features.Text(),
    "image": picture(dtype=grey_levels.dtype_of(bits)),
    "mask": mask,  # 1 inside the lungs; zeros where has_mask is False
    "has_mask": np.bool_,
    "label": tfds.features.ClassLabel(names=list(class_names)),
    "patient": tfds.features.Text(),
    "height": np.int32,  # of the raw image
    "width": np.int32,
    "sex": tfds.features.Text(),
    "age": tfds.features.Text(),
    "finding": tfds.features.Text(),
  }
  if layout.structures:  # bit k: inside structure k of the layout
    stated |= {"structures": mask, "has_structures": np.bool_}
  for name, unknown in layout.details.items():
    is_number = isinstance(unknown, int)
    stated[name] = np.int32 if is_number else tfds.features.Text()
  return tfds.features.FeaturesDict(stated)


def content_sha256(built: tfds.core.DatasetBuilder) -> str:
  """SHA-256 of all decoded examples in the order of their ids.

  The same data have the same value everywhere; the bytes of a shard do not
  (protocol buffers write an example's features in any order).
  """
  records: Any = encoded(built)
  digest = hashlib.sha256()
  for record in sorted(records, key=lambda r: r["id"]):
    for name, value in sorted(record.items()):
      if name in PICTURES:
        value = reading.read_prepared(value).tobytes()
      text = value if isinstance(value, bytes) else str(int(value)).encode()
      digest.update(f"{name} {len(text)}:".encode() + text)
  return digest.hexdigest()


def encoded(built: tfds.core.DatasetBuilder) -> Sequence[dict[str, Any]]:
  """The records of a prepared set, pictures as PNG bytes."""
  skip = tfds.decode.SkipDecoding()
  decoders = {name: skip for name in PICTURES if name in built.info.features}
  return built.as_data_source(split=SPLIT, decoders=decoders)


def _ordered_map(
  function: Callable[[_In], _Out], items: Iterable[_In], *, workers: int
) -> Iterator[_Out]:
  """A threaded map in order that holds at most 2 * workers results.

  Threads suffice: Pillow and NumPy decode and multiply without the GIL.
  """
  with futures.ThreadPoolExecutor(workers) as pool:
    window: collections.deque[futures.Future[_Out]] = collections.deque()
    for item in items:
      window.append(pool.submit(function, item))
      if len(window) >= 2 * workers:
        yield window.popleft().result()
    while window:
      yield window.popleft().result()
