"""Where a prepared set lies, and its record prepare.json.

The record is written last. A folder without it was never finished, and a
folder whose files do not have the checksums in it is damaged.
"""

import dataclasses
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from apppau_jax import errors, reading
from apppau_jax.datasets import registry
from apppau_jax.imaging import grey_levels

RECORD = "prepare.json"
# Raise it when the same raw files give other prepared bytes. Sets of format 1
# have no spacing of pixels and are read as well.
FORMAT = 2
_READABLE = (1, 2)
_FORM = {"format?": int, "content_sha256?": str, "files": {str: str}}
_ALWAYS = ("features.json", "label.labels.txt")
RESOLUTIONS = (128, 256, 512)


def config_name(resolution: int, bits: int) -> str:
  """Returns the name of a TFDS config, and of the folder that it prepares."""
  return str(resolution) if bits == 8 else f"{resolution}-{bits}bit"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prepared:
  """One prepared set on disk.

  Attributes:
    data_dir: the folder of all prepared sets.
    dataset: its name, no combination.
    resolution: side of its pictures in pixels.
    bits: of its grey levels.

  Raises:
    ConfigError: an unknown set, resolution or depth, or a combination.
  """

  data_dir: str | os.PathLike[str]
  dataset: str
  resolution: int = 128
  bits: int = 8

  def __post_init__(self) -> None:
    registry.spec(self.dataset)
    for value, offered, what in (
      (self.resolution, RESOLUTIONS, "A resolution of {} pixels"),
      (self.bits, grey_levels.BITS, "Grey levels of {} bits"),
    ):
      if value not in offered:
        raise errors.ConfigError(
          f"{what.format(value)} cannot be prepared; choose from "
          f"{', '.join(map(str, offered))}."
        )

  @property
  def config_name(self) -> str:
    """The name of its TFDS config."""
    return config_name(self.resolution, self.bits)

  @property
  def folder(self) -> Path:
    """Its folder: TFDS's name/config/version; folder:NAME is folder/NAME."""
    home = Path(self.data_dir).expanduser().joinpath(*self.dataset.split(":"))
    return home / self.config_name / registry.spec(self.dataset).version

  @property
  def command(self) -> str:
    """The command line that prepares it, for messages."""
    raw = "" if self.dataset == "phantom" else " --raw_dir=..."
    return (
      f"python -m launch.prepare_data --dataset={self.dataset}{raw} "
      f"--data_dir={Path(self.data_dir).expanduser()} "
      f"--resolution={self.resolution}"
      + ("" if self.bits == 8 else f" --bits={self.bits}")
    )

  def read_record(self) -> dict[str, Any] | None:
    """Returns the content of prepare.json; None if it cannot be read."""
    return reading.json_or_none(self.folder / RECORD, _FORM)

  def damaged(self, record: Mapping[str, Any]) -> list[str]:
    """Returns the names of files that do not have their checksum.

    A file that every prepared set has counts as damaged if the record lacks it.
    """
    now, stated = checksums(self.folder), record["files"]
    return [
      name
      for name in dict.fromkeys((*stated, *_ALWAYS))
      if name not in stated or now.get(name) != stated[name]
    ]

  def verified_record(self) -> dict[str, Any]:
    """Returns the content of prepare.json if all files have their checksums.

    Raises:
      DataError: the set is not prepared or is damaged.
    """
    record = self.read_record()
    if record is None:
      raise errors.DataError(
        f"The dataset {self.dataset} is not prepared at {self.resolution} "
        f"pixels of {self.bits} bits: there is no {self.folder / RECORD}. If "
        "it lies elsewhere set data_dir to that folder; else prepare it with: "
        f"{self.command}"
      )
    if record.get("format") not in _READABLE:
      raise errors.DataError(
        f"The prepared dataset {self.dataset} in {self.folder} was written by "
        f"another version of this code (format {record.get('format')}, not one "
        f"of {_READABLE}). Rebuild it with: {self.command}"
      )
    if bad := self.damaged(record):
      raise errors.DataError(
        f"The prepared dataset {self.dataset} is damaged: "
        f"{self.folder / bad[0]} does not have the checksum that it was "
        f"written with. Rebuild it with: {self.command}"
      )
    return record


def checksums(folder: Path) -> dict[str, str]:
  """Returns the SHA-256 of every file of a prepared folder but the record."""
  return {
    path.name: _sha256(path)
    for path in sorted(folder.iterdir())
    if path.is_file() and path.name != RECORD and path.name[0] != "."
  }


def _sha256(path: Path) -> str:
  with path.open("rb") as file:
    return hashlib.file_digest(file, "sha256").hexdigest()


def joint_sha256(sums: Mapping[str, Any]) -> str:
  """Returns the checksum of sets by name, that of a single set unchanged."""
  if len(sums) == 1:
    return str(*sums.values())
  lines = "".join(f"{member} {value}\n" for member, value in sums.items())
  return hashlib.sha256(lines.encode()).hexdigest()
