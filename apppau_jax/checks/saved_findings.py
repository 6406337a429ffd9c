"""Findings stored beside prepared data, in data_dir/verify.

They are keyed by the SHA-256 of the examples and by the version of the checks,
so that training reads them instead of validating the same data again.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

from apppau_jax import files
from apppau_jax.checks.duplicates import Pair
from apppau_jax.checks.findings import Finding
from apppau_jax.checks.validation import Validation
from apppau_jax.datasets.dataset import Dataset

# Raise it when the checks find other problems in the same data.
FORMAT = 1


def path(dataset: Dataset) -> Path:
  """Returns the file of the findings in a prepared set or combination."""
  name = f"{dataset.name.replace(':', '.')}-{dataset.form}.json"
  return Path(dataset.data_dir).expanduser() / "verify" / name


def write(dataset: Dataset, validated: Validation) -> None:
  """Stores the findings in prepared data."""
  files.write_json(
    path(dataset),
    {
      "format": FORMAT,
      "content_sha256": dataset.content_sha256,
      "findings": [finding.as_dict() for finding in validated.findings],
      "alike": [dataclasses.asdict(pair) for pair in validated.alike],
    },
  )


def read(dataset: Dataset) -> Validation | None:
  """Returns the findings of the same checks in the same data, if stored."""
  try:
    stored: Any = json.loads(path(dataset).read_text(encoding="utf-8"))
    key = (stored["format"], stored["content_sha256"])
    if key != (FORMAT, dataset.content_sha256):
      return None
    return Validation(
      findings=tuple(Finding.from_dict(f) for f in stored["findings"]),
      alike=tuple(Pair(**pair) for pair in stored["alike"]),
    )
  except (OSError, ValueError, TypeError, KeyError, RecursionError):
    return None  # absent, or not in this form
