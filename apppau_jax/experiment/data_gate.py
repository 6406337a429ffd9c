"""Refuse data with errors before training on them."""

import contextlib
from collections.abc import Collection, Sequence

from apppau_jax import progress
from apppau_jax.checks import (
  findings,
  leakage,
  prepared_data,
  saved_findings,
  validation,
)
from apppau_jax.checks.findings import Finding
from apppau_jax.datasets.dataset import Dataset
from apppau_jax.datasets.parts import Parts
from apppau_jax.errors import DataError
from apppau_jax.experiment.networks import Config

_NAMED = 5  # findings in the message
_MANY = 1000  # images that take seconds


def check(config: Config, dataset: Dataset, *, parts: Parts) -> list[Finding]:
  """Validates the images of a run, or reads the stored findings.

  Only those masks are read that the run may use.

  Returns:
    The findings in the run's images, worst first; errors are accepted ones.

  Raises:
    DataError: errors that `config.data.accept` does not name.
  """
  used = parts.roles()
  masked = set(used).difference(parts.train_unlabelled)
  validated = saved_findings.read(dataset)
  if validated is None:
    validated = _validate(dataset, masks_of=masked)
  found = [
    f
    for f in validated.findings
    if _concerns(f, masked if f.check in findings.OF_MASKS else used)
  ]
  found += leakage.all_findings(
    validated.alike,
    splits={config.data.split: parts},
    groups=dataset.patients,
    labels={i: str(label) for i, label in dataset.labels.items()},
    names={i: i for i in dataset.ids},
  )
  found = findings.worst_first(f for f in found if _concerns(f, used))
  refused = [
    f
    for f in found
    if f.level == "error" and not findings.accepted(f, config.data.accept)
  ]
  if refused:
    raise DataError(_refusal(dataset, refused, accept=config.data.accept))
  return found


def keep_findings(dataset: Dataset) -> None:
  """Validates a whole set, every mask, and stores the findings beside it.

  It is called after preparing; every later `check` then reads the findings.
  """
  images, found = prepared_data.read(dataset)
  saved_findings.write(dataset, validation.validate(images, found=found))


def _validate(
  dataset: Dataset, *, masks_of: Collection[str]
) -> validation.Validation:
  many = len(dataset.ids) > _MANY
  with progress.bar("checking") if many else contextlib.nullcontext() as bar:
    images, found = prepared_data.read(dataset, masks_of=masks_of, progress=bar)
  return validation.validate(images, found=found)


def _concerns(finding: Finding, ids: Collection[str]) -> bool:
  """Returns whether a finding is about one of the ids, or the whole set."""
  return not finding.ids or any(i in ids for i in finding.ids)


def _refusal(
  dataset: Dataset, refused: Sequence[Finding], *, accept: Sequence[str]
) -> str:
  named = "; ".join(f"({f.check}) {f.what}" for f in refused[:_NAMED])
  more = len(refused) - _NAMED
  more = f"; and {more} more" if more > 0 else ""
  names = (":".join([f.check, *f.ids[:1]]) for f in refused)
  accept = tuple(dict.fromkeys((*accept, *names)))
  return (
    f"The prepared data {dataset.name} in {dataset.data_dir} have "
    f"{len(refused)} errors: {named}{more}. Inspect them with: python -m "
    f"launch.verify_data {dataset.flags} --out=FOLDER. Correct the files and "
    "prepare them again, or train anyway with "
    f'--config.data.accept="{accept}".'
  )
