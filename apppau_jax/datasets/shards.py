"""Read the shards of one prepared set as data.

A prepared folder may come from anywhere. TFDS's own reader,
`tfds.builder_from_directory`, imports the Python classes that the folder's
`features.json` names, so opening such a folder would execute code of its
author. Here the features are those that this package states; every file of the
folder is read as bytes, text or JSON, and nothing that it names is imported.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds
from array_record.python import array_record_data_source
from google.protobuf import json_format, message

from apppau_jax import errors
from apppau_jax.datasets import builder, manifest, prepare

_DAMAGE = (
  *(ValueError, KeyError, AttributeError, TypeError, RuntimeError),
  message.DecodeError,
)

# The features of one example: text as str, numbers as int, and PNG bytes for
# the features named in `builder.PICTURES`.
Record = Mapping[str, Any]


class Shards:
  """The records of one prepared set; reading is safe from several threads.

  Attributes:
    manifest: the content of prepare.json.
    class_names: the names of the labels.
  """

  def __init__(
    self, folder: Path, *, dataset: str, resolution: int, bits: int = 8
  ):
    """Opens a prepared folder after verifying its checksums and features.

    Args:
      folder: see `prepare.prepared_folder`.
      dataset: the name of the set.
      resolution: side of its pictures in pixels.
      bits: of a grey level.

    Raises:
      DataError: the folder is not prepared, is damaged, or has features that
        this package does not state. The message holds the command to rebuild.
    """
    self._folder = folder
    form = {"dataset": dataset, "resolution": resolution, "bits": bits}
    self._rebuild = manifest.rebuild(folder, **form)
    self.manifest = manifest.verified(folder, **form)
    layout = prepare.builder_class(dataset).layout()
    self.class_names = self._read_class_names()
    if layout.class_names and self.class_names != layout.class_names:
      raise self._refusal(
        f"its classes are {', '.join(self.class_names) or '(none)'}, not "
        f"{', '.join(layout.class_names)}"
      )
    self._features = builder.features(
      layout, side=resolution, bits=bits, class_names=self.class_names
    )
    if self._read_features() != _as_json(self._features):
      raise self._refusal("its features.json states other features")
    skip = tfds.decode.SkipDecoding()
    self._decoders = {
      name: skip for name in builder.PICTURES if name in self._features
    }
    self._prefix = dataset.partition(":")[0]
    self._records = self._open()

  def __len__(self) -> int:
    return len(self._records)

  def read(self, positions: Sequence[int]) -> list[Record]:
    """Returns the records at some positions, in that order.

    Raises:
      DataError: a record does not hold the features stated.
    """
    if not positions:
      return []
    try:
      return [self._parse(r) for r in self._records.__getitems__(positions)]
    except _DAMAGE as error:
      raise self._refusal("a record cannot be read as an example") from error

  def _parse(self, record: bytes) -> Record:
    example: Any = self._features.deserialize_example_np(
      record, decoders=self._decoders
    )
    missing = self._features.keys() - example.keys()
    if missing:
      raise KeyError(*sorted(missing))
    return {
      name: value.decode()
      if isinstance(value, bytes) and name not in builder.PICTURES
      else value
      for name, value in example.items()
    }

  def _read_class_names(self) -> tuple[str, ...]:
    try:
      text = (self._folder / "label.labels.txt").read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
      raise self._refusal("its label.labels.txt cannot be read") from error
    lines = (line.strip() for line in text.split("\n"))
    return tuple(line for line in lines if line)

  def _read_features(self) -> Any:
    try:
      text = (self._folder / "features.json").read_text(encoding="utf-8")
      return json.loads(text)
    except (OSError, ValueError, RecursionError):
      return None

  def _open(self) -> array_record_data_source.ArrayRecordDataSource:
    stem = f"{self._prefix}-{builder.SPLIT}.array_record-"
    names = [n for n in self.manifest["files"] if n.startswith(stem)]
    files = [f"{stem}{i:05d}-of-{len(names):05d}" for i in range(len(names))]
    if not files or sorted(names) != files:
      raise self._refusal("its shards are incomplete")
    try:
      return array_record_data_source.ArrayRecordDataSource(
        [str(self._folder / name) for name in files]
      )
    except _DAMAGE as error:
      raise self._refusal("a shard is not an array_record file") from error

  def _refusal(self, reason: str) -> errors.DataError:
    return errors.DataError(
      f"The prepared folder {self._folder} was not written by this code, or by "
      f"another version of it: {reason}. Nothing in it was executed. Rebuild "
      f"it with: {self._rebuild}"
    )


def _as_json(features: tfds.features.FeaturesDict) -> Any:
  """Returns what TFDS writes to features.json."""
  return json.loads(json.dumps(json_format.MessageToDict(features.to_proto())))
