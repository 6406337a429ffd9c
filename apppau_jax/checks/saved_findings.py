"""verify.json: what the doctor found, beside the prepared data.

Keyed by the SHA-256 of the examples and by the version of the checks, so that
training reads it instead of examining the same data again, and never takes
one of other data for it.
"""

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

from apppau_jax import files
from apppau_jax.checks.duplicates import Pair
from apppau_jax.checks.examination import Examination
from apppau_jax.checks.findings import Finding
from apppau_jax.datasets import builder

# Raise it when the checks come to find other things in the same data.
FORMAT = 1


def path(
  data_dir: str | os.PathLike[str],
  *,
  dataset: str,
  resolution: int,
  bits: int = 8,
) -> Path:
  """Where the verdict on a prepared set or combination lies."""
  form = builder.config_name(resolution, bits)
  name = f"{dataset.replace(':', '.')}-{form}.json"
  return Path(data_dir).expanduser() / "verify" / name


def write(where: Path, examined: Examination, *, content_sha256: str) -> None:
  """Keeps an examination of prepared data."""
  files.write_json(
    where,
    {
      "format": FORMAT,
      "content_sha256": content_sha256,
      "findings": [finding.as_dict() for finding in examined.findings],
      "alike": [dataclasses.asdict(pair) for pair in examined.alike],
    },
  )


def read(where: Path, *, content_sha256: str) -> Examination | None:
  """An examination of just these data by just these checks, if there is one."""
  try:
    told: Any = json.loads(where.read_text(encoding="utf-8"))
    fits = told["format"] == FORMAT
    if not fits or told["content_sha256"] != content_sha256:
      return None
    return Examination(
      findings=tuple(Finding.from_dict(f) for f in told["findings"]),
      alike=tuple(Pair(**pair) for pair in told["alike"]),
    )
  except (OSError, ValueError, TypeError, KeyError):
    return None  # absent, or not one of ours: examine again
