"""Findings stored beside prepared data, in data_dir/verify.

They are keyed by the SHA-256 of the examples and by the version of the checks,
so that training reads them instead of validating the same data again.
"""

import dataclasses
from pathlib import Path

from apppau_jax import files, reading
from apppau_jax.checks.duplicates import Pair
from apppau_jax.checks.findings import FORM as FINDING
from apppau_jax.checks.findings import Finding
from apppau_jax.checks.validation import Validation
from apppau_jax.datasets.dataset import Dataset
from apppau_jax.datasets.prepared import config_name

# Raise it when the checks find other problems in the same data.
FORMAT = 1
_FORM = {
  "format": int,
  "content_sha256": str,
  "findings": [FINDING],
  "alike": [{"first": str, "second": str, "alike": float, "equal": bool}],
}


def path(dataset: Dataset) -> Path:
  """Returns the file of the findings in a prepared set or combination."""
  form = config_name(dataset.resolution, dataset.bits)
  name = f"{dataset.name.replace(':', '.')}-{form}.json"
  return Path(dataset.data_dir).expanduser() / "verify" / name


def write(dataset: Dataset, validated: Validation) -> None:
  """Stores the findings in prepared data."""
  files.remove_leftovers(path(dataset).parent)
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
  stored = reading.json_or_none(path(dataset), _FORM)
  if stored is None or stored["format"] != FORMAT:
    return None
  if stored["content_sha256"] != dataset.content_sha256:
    return None
  try:
    return Validation(
      findings=tuple(Finding.from_dict(f) for f in stored["findings"]),
      alike=tuple(Pair(**pair) for pair in stored["alike"]),
    )
  except (TypeError, ValueError):  # an unknown key, check or level
    return None
