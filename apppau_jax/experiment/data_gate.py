"""Data with errors are refused before anything is trained on them."""

import contextlib
import pathlib
from collections.abc import Sequence

from apppau_jax import progress
from apppau_jax.checks import (
  examination,
  findings,
  leakage,
  prepared_data,
  saved_findings,
)
from apppau_jax.checks.findings import Finding
from apppau_jax.datasets import catalogue
from apppau_jax.errors import DataError
from apppau_jax.experiment import data
from apppau_jax.experiment.networks import Config

_NAMED = 5  # findings in the message
_MANY = 1000  # images that take seconds


def check(
  config: Config, known: catalogue.Catalogue, chosen: data.Parts
) -> list[Finding]:
  """Examines the images of a run, or reads the verdict on them.

  Of masks only those are looked at that the run may see.

  Returns:
    What was found in the run's images, worst first; errors are accepted ones.

  Raises:
    DataError: errors that `config.data.accept` does not name.
  """
  parts = leakage.roles(chosen.split)
  seen = set(parts).difference(chosen.split.train_unlabelled)
  examined = _examine(config, known, masks_of=seen)
  found = [f for f in examined.findings if _concerns(f, parts, seen=seen)]
  found += leakage.all_findings(
    examined.alike,
    splits={config.data.split: chosen.split},
    groups=data.patients_of(known),
    labels={entry.id: str(entry.label) for entry in known.entries},
    names={entry.id: entry.id for entry in known.entries},
  )
  found = findings.worst_first(f for f in found if _concerns(f, parts))
  refused = [
    f
    for f in found
    if f.level == "error" and not findings.accepted(f, config.data.accept)
  ]
  if refused:
    raise DataError(_refusal(config, refused))
  return found


def keep_verdict(config: Config) -> None:
  """Examines whole sets, every mask, and puts the verdict beside them.

  For who has just prepared them; every run of `check` then reads it.
  """
  films, found = prepared_data.read(
    config.data.data_dir, data.catalogue(config)
  )
  saved_findings.write(
    _path(config),
    examination.examine(films, found=found),
    content_sha256=data.content_sha256(config),
  )


def _path(config: Config) -> pathlib.Path:
  return saved_findings.path(
    config.data.data_dir,
    dataset=config.data.dataset,
    resolution=config.data.resolution,
    bits=config.data.bits,
  )


def _examine(config: Config, known: catalogue.Catalogue, *, masks_of: set[str]):
  examined = saved_findings.read(
    _path(config), content_sha256=data.content_sha256(config)
  )
  if examined is not None:
    return examined
  many = len(known.entries) > _MANY
  with progress.bar("checking") if many else contextlib.nullcontext() as bar:
    films, found = prepared_data.read(
      config.data.data_dir, known, masks_of=masks_of, progress=bar
    )
  return examination.examine(films, found=found)


def _concerns(finding: Finding, parts, *, seen=None) -> bool:
  """Whether a finding is about an image, or a mask, that the run uses."""
  of_mask = seen is not None and finding.check in findings.OF_MASKS
  used = seen if of_mask else parts
  return not finding.ids or any(i in used for i in finding.ids)


def _refusal(config: Config, refused: Sequence[Finding]) -> str:
  named = "; ".join(f"({f.check}) {f.what}" for f in refused[:_NAMED])
  more = len(refused) - _NAMED
  more = f"; and {more} more" if more > 0 else ""
  accept = tuple(
    dict.fromkeys(
      (*config.data.accept, *(":".join([f.check, *f.ids[:1]]) for f in refused))
    )
  )
  return (
    f"The prepared data {config.data.dataset} in {config.data.data_dir} have "
    f"{len(refused)} errors: {named}{more}. Look at them with: python -m "
    f"launch.verify_data --dataset={config.data.dataset} "
    f"--data_dir={config.data.data_dir} --resolution="
    f"{config.data.resolution} --bits={config.data.bits} --out=FOLDER. Mend "
    "the files and prepare them again, or train all the same with "
    f'--config.data.accept="{accept}".'
  )
