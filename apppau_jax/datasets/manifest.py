"""prepare.json: what a prepared dataset was made from, and its checksums.

It is written last. A folder without it is one that was never finished, and a
folder whose files do not have the checksums in it is damaged.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from apppau_jax import errors

NAME = "prepare.json"
# Raise it when the same raw files come to give other prepared bytes.
FORMAT = 1


def command(
  dataset: str, resolution: int, bits: int = 8, *, data_dir: Path
) -> str:
  """The command line that prepares a dataset, for messages."""
  raw = "" if dataset == "phantom" else " --raw_dir=..."
  return (
    f"python -m launch.prepare_data --dataset={dataset}{raw} "
    f"--data_dir={data_dir} --resolution={resolution}"
    + ("" if bits == 8 else f" --bits={bits}")
  )


def checksums(folder: Path) -> dict[str, str]:
  """SHA-256 of every file of a prepared folder except the manifest."""
  return {
    path.name: _sha256(path)
    for path in sorted(folder.iterdir())
    if path.is_file() and path.name != NAME and path.name[0] != "."
  }


def _sha256(path: Path) -> str:
  with path.open("rb") as file:  # piece by piece: a shard may be gigabytes
    return hashlib.file_digest(file, "sha256").hexdigest()


def read(folder: Path) -> dict[str, Any] | None:
  """The manifest of a prepared folder; None if there is none to be read."""
  try:
    content = json.loads((folder / NAME).read_text(encoding="utf-8"))
  except (OSError, ValueError, RecursionError):
    return None
  fits = isinstance(content, dict) and isinstance(content.get("files"), dict)
  return content if fits else None


def rebuild(
  folder: Path, *, dataset: str, resolution: int, bits: int = 8
) -> str:
  """The command line that prepares a folder, for messages."""
  # dataset/resolution/version lie in it, of folder:NAME folder/NAME/...
  data_dir = folder.parents[2 + dataset.count(":")]
  return command(dataset, resolution, bits, data_dir=data_dir)


def damaged(folder: Path, manifest: Mapping[str, Any]) -> list[str]:
  """The names of files that are gone or do not have their checksum."""
  now = checksums(folder)
  files = manifest["files"]
  return [name for name, digest in files.items() if now.get(name) != digest]


def verified(
  folder: Path, *, dataset: str, resolution: int, bits: int = 8
) -> dict[str, Any]:
  """The manifest of an intact prepared folder.

  Raises:
    DataError: not prepared, or damaged; the message holds the command.
  """
  how = rebuild(folder, dataset=dataset, resolution=resolution, bits=bits)
  manifest = read(folder)
  if manifest is None:
    raise errors.DataError(
      f"The dataset {dataset} is not prepared at {resolution} pixels of {bits} "
      f"bits: there is no {folder / NAME}. If it lies elsewhere name that "
      f"folder (data_dir); else prepare it with: {how}"
    )
  if manifest.get("format") != FORMAT:
    raise errors.DataError(
      f"The prepared dataset {dataset} in {folder} was written by another "
      f"version of this code (format {manifest.get('format')}, not {FORMAT}). "
      f"Rebuild it with: {how}"
    )
  bad = damaged(folder, manifest)
  if bad:
    raise errors.DataError(
      f"The prepared dataset {dataset} is damaged: {folder / bad[0]} does not "
      f"have the checksum that it was written with. Rebuild it with: {how}"
    )
  return manifest
