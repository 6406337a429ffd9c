"""Read the shards of one prepared set as data.

A prepared folder may come from anywhere. TFDS's own reader,
`tfds.builder_from_directory`, imports the Python classes that the folder's
`features.json` names, so opening such a folder would execute code of its
author. Here the features are those that this package states. Every file of the
folder is read as bytes, text or JSON, and nothing that it names is imported.
"""

import dataclasses
import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from array_record.python import array_record_data_source
from google.protobuf import json_format, message

from apppau_jax import errors, reading
from apppau_jax.datasets import features as features_lib
from apppau_jax.datasets import registry
from apppau_jax.datasets.entry import Entry
from apppau_jax.datasets.prepared import Prepared
from apppau_jax.datasets.spec import DatasetSpec
from apppau_jax.imaging.film import Spacing

_DAMAGE = (
  *(ValueError, KeyError, AttributeError, TypeError, RuntimeError),
  *(OverflowError, message.DecodeError),
)

# The features of one example: text as str, numbers as int, and PNG bytes for
# the features in `features_lib.PICTURES`.
Record = Mapping[str, Any]


class Shards:
  """The records of one prepared set; reading is safe from several threads.

  Attributes:
    member: the name of the set.
    spec: the facts about it; without findings if it was prepared before its
      records had them.
    record: the content of prepare.json.
    class_names: the names of the labels.
  """

  def __init__(self, prepared: Prepared):
    """Opens a prepared set after verifying its checksums and features.

    Raises:
      DataError: the set is not prepared, is damaged, or has features that this
        package does not state. The message holds the command to rebuild.
    """
    self.member, self._prepared = prepared.dataset, prepared
    self.record = prepared.verified_record()
    self.spec = registry.spec(prepared.dataset)
    self.class_names = self._read_class_names()
    stated = self.spec.class_names
    if not registry.is_own(self.member) and self.class_names != stated:
      raise self._refusal(
        f"its classes are {', '.join(self.class_names) or '(none)'}, not "
        f"{', '.join(stated)}"
      )
    self.spec, self._features = self._agree_on_features()
    skip = tfds.decode.SkipDecoding()
    self._decoders = {
      name: skip for name in features_lib.PICTURES if name in self._features
    }
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

  def entry(self, record: Record) -> Entry:
    """Returns a record without its pictures."""
    other = (*features_lib.PICTURES, "has_mask", "has_structures")
    values = {n: value for n, value in record.items() if n not in other}
    details = {name: values.pop(name) for name in self.spec.details}
    spacing = _spacing(*(values.pop(n, 0) for n in features_lib.SPACING))
    findings = [
      values.pop(features_lib.finding(n)) for n in self.spec.finding_names
    ]
    outlined = record.get("has_structures")
    return Entry(
      **values,
      has_mask=bool(record["has_mask"]),
      source=self.member,
      spacing=spacing,
      structures=self.spec.structure_names if outlined else (),
      details=details,
      findings=tuple(findings),
    )

  def _parse(self, record: bytes) -> Record:
    example: Any = self._features.deserialize_example_np(
      record, decoders=self._decoders
    )
    values = {n: self._typed(n, example[n]) for n in self._features}
    findings = map(features_lib.finding, self.spec.finding_names)
    if any(values[name] not in (-1, 0, 1) for name in findings):
      raise ValueError("finding")
    if values["label"] not in range(-1, len(self.class_names)):
      raise ValueError("label")
    return values

  def _typed(self, name: str, value: Any) -> bytes | str | int | float:
    is_text = isinstance(self._features[name], tfds.features.Text)
    if is_text or name in self._decoders:
      if not isinstance(value, bytes):
        raise TypeError(name)
      return value.decode() if is_text else value
    is_float = self._features[name].np_dtype == np.float32
    return float(value) if is_float else int(value)

  def _read_class_names(self) -> tuple[str, ...]:
    path = self._prepared.folder / "label.labels.txt"
    try:
      # A pipe would block.
      text = path.read_text(encoding="utf-8") if path.is_file() else None
    except (OSError, ValueError) as error:
      raise self._refusal("its label.labels.txt cannot be read") from error
    if text is None:
      raise self._refusal("it has no file label.labels.txt")
    lines = (line.strip() for line in text.split("\n"))
    return tuple(line for line in lines if line)

  def _agree_on_features(
    self,
  ) -> tuple[DatasetSpec, tfds.features.FeaturesDict]:
    """Returns the facts and features that the folder's features.json states.

    A folder that was prepared earlier may lack findings and spacings.
    """
    stated = reading.json_or_none(self._prepared.folder / "features.json", dict)
    without = dataclasses.replace(self.spec, finding_names=())
    for spec, spacing in itertools.product((self.spec, without), (True, False)):
      try:
        features = features_lib.features(
          [spec],
          form=self._prepared,
          class_names=self.class_names,
          spacing=spacing,
        )
      except ValueError as error:
        raise self._refusal("it names a class twice") from error
      if stated == _as_json(features):
        return spec, features
    raise self._refusal("its features.json states other features")

  def _open(self) -> array_record_data_source.ArrayRecordDataSource:
    stem = f"{self.spec.name}-{features_lib.SPLIT}.array_record-"
    names = [n for n in self.record["files"] if n.startswith(stem)]
    files = [f"{stem}{i:05d}-of-{len(names):05d}" for i in range(len(names))]
    if not files or sorted(names) != files:
      raise self._refusal("its shards are incomplete")
    try:
      return array_record_data_source.ArrayRecordDataSource(
        [str(self._prepared.folder / name) for name in files]
      )
    except _DAMAGE as error:
      raise self._refusal("a shard is not an array_record file") from error

  def _refusal(self, reason: str) -> errors.DataError:
    return errors.DataError(
      f"The prepared folder {self._prepared.folder} was not written by this "
      f"version of this code: {reason}. Rebuild it with: "
      f"{self._prepared.command}"
    )


def _spacing(rows: float, columns: float, element: str) -> Spacing | None:
  """Returns a spacing of a record, which has six digits; None for zeros."""
  if not (rows > 0 and columns > 0):
    return None
  return Spacing(float(f"{rows:.6g}"), float(f"{columns:.6g}"), element)


def _as_json(features: tfds.features.FeaturesDict) -> Any:
  """Returns what TFDS writes to features.json."""
  return json.loads(json.dumps(json_format.MessageToDict(features.to_proto())))
