"""The JSON files of a run folder: their forms, and how they are read."""

import os
import pathlib
from typing import Any

from apppau_jax import reading
from apppau_jax.checks import findings
from apppau_jax.checks.findings import Finding
from apppau_jax.config import Config
from apppau_jax.datasets import parts
from apppau_jax.errors import CheckpointError

FINDINGS = "verify.json"
_IDS = [str]
_MANIFEST = {
  "status?": str,
  "config_sha256?": str,
  "data_sha256?": str,
  "sessions?": [dict],
}
ID_LISTS = {
  "splits.json": parts.FORM,
  "labels.json": {"masks": _IDS, "classes": _IDS},
}
_FINDINGS = {"findings": [findings.FORM]}
_MEAN = {"mean": (float, None)}
_COUNTS = [[int]]
# The parts of report.json that later commands use.
_REPORT = {
  "n?": int,
  "split?": str,
  "data_sha256?": str,
  "parameters?": {str: int},
  "segmentation?": {str: _MEAN},
  "paper_compat?": {str: (float, None)},
  "classification?": {
    "temperature?": float,
    "confusion?": _COUNTS,
    "accuracy?": (float, None),
    "balanced_accuracy?": (float, None),
    "auroc?": (float, None),
  },
  "per_image?": [{"id": str, "dice": float}],
}


def read(path: pathlib.Path, form: Any) -> Any:
  """Reads a JSON file of a run folder (see `reading`).

  Raises:
    CheckpointError: the file cannot be read, or holds something else.
  """
  return reading.read_json(
    path,
    form,
    error=CheckpointError,
    advice="It is part of the record of a run. Restore it from a copy, or "
    "train in another folder.",
  )


def read_config(workdir: pathlib.Path, *, flag: str = "--workdir") -> Config:
  """Returns the configuration that a run was trained with.

  Keys that did not exist when the run was made take their defaults.

  Args:
    workdir: the run folder.
    flag: by which the user named it, for messages.

  Raises:
    CheckpointError: the folder holds no run, or config.json is damaged.
    ConfigError: it has values that this version cannot use.
  """
  path = workdir / "config.json"
  if not path.exists():
    raise CheckpointError(
      f"{flag}={workdir} holds no trained run (no config.json). Train one "
      f"with `python -m launch.train --config=... --workdir={workdir}`."
    )
  config = Config.from_dict(read(path, dict))
  config.check()
  return config


def read_manifest(workdir: pathlib.Path) -> dict[str, Any]:
  """Returns manifest.json; an empty dict if there is none.

  Raises:
    CheckpointError: it is damaged.
  """
  path = workdir / "manifest.json"
  return read(path, _MANIFEST) if path.exists() else {}


def read_report(workdir: str | os.PathLike[str], part: str) -> dict[str, Any]:
  """Returns the report of a part; an empty dict if there is none.

  Args:
    workdir: the run folder.
    part: "validation" or "test".

  Raises:
    CheckpointError: it is damaged.
  """
  path = pathlib.Path(workdir) / "eval" / part / "report.json"
  if not path.exists():
    return {}
  advice = (
    f"Write it again with `python -m launch.evaluate --workdir={workdir} "
    f"--split={part}`."
  )
  report = reading.read_json(
    path, _REPORT, error=CheckpointError, advice=advice
  )
  confusion = report.get("classification", {}).get("confusion", [[0]])
  if not confusion or any(len(row) != len(confusion) for row in confusion):
    raise CheckpointError(
      f"{path} cannot be read: classification.confusion is empty or not "
      f"square. {advice}"
    )
  return report


def read_findings(workdir: pathlib.Path) -> list[Finding]:
  """Returns the findings in verify.json; none for a run of an older version.

  Raises:
    CheckpointError: it is damaged.
  """
  path = workdir / FINDINGS
  if not path.exists():
    return []
  try:
    return [Finding.from_dict(f) for f in read(path, _FINDINGS)["findings"]]
  except ValueError as error:
    raise CheckpointError(f"{path} cannot be read: {error}.") from error
