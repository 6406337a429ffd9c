"""Validate a whole data set, raw or prepared, and write what was found."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence

from apppau_jax import files, progress
from apppau_jax.checks import (
  findings,
  html_page,
  prepared_data,
  raw_data,
  saved_findings,
  validation,
)
from apppau_jax.checks.findings import Finding
from apppau_jax.checks.radiograph import Radiograph
from apppau_jax.datasets import registry, split_protocols
from apppau_jax.datasets.dataset import Dataset
from apppau_jax.errors import ConfigError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verification:
  """Everything that was found in a data set.

  Attributes:
    name: of the set or combination.
    what: `raw files`, or the resolution of the prepared images.
    images: measurements of each image that could be read.
    findings: worst first.
    splits: names of the splits that were checked.
  """

  name: str
  what: str
  images: Sequence[Radiograph]
  findings: Sequence[Finding]
  splits: Sequence[str]

  @property
  def errors(self) -> list[Finding]:
    """The findings that stop training."""
    return [f for f in self.findings if f.level == "error"]

  def write(self, folder: pathlib.Path, *, command: str) -> None:
    """Writes verify.json and verify.html, which shows images."""
    content = {
      "dataset": self.name,
      "images": len(self.images),
      "splits": list(self.splits),
      "counts": findings.counts(self.findings),
      "findings": [finding.as_dict() for finding in self.findings],
    }
    files.remove_leftovers(folder)
    files.write_json(folder / "verify.json", content)
    html_page.write(
      folder / "verify.html",
      title=f"{self.name}, {self.what}",
      images=self.images,
      findings=self.findings,
      command=command,
    )


def verify_raw(
  name: str,
  folders: Sequence[str],
  *,
  splits: Sequence[str] = (),
  columns: Mapping[str, str] | None = None,
  workers: int | None = None,
) -> Verification:
  """Validates the owners' files of a set or of a combination of sets.

  Args:
    name: of the set; several are joined by `+`.
    folders: the owner's folder or zip: one for all sets, or one for each.
    splits: names of splits whose parts must share no patient and no image, or
      files that hold one; by default all that exist.
    columns: of a user's set, what labels.csv calls `id`, `label`, `patient`.
    workers: threads; one for each CPU by default.

  Raises:
    ConfigError: an unknown set, another number of folders, or columns of a
      set that is not the user's own.
  """
  members = registry.members(name)
  if len(folders) not in (1, len(members)):
    raise ConfigError(
      f"--raw_dir is given {len(folders)} times for {len(members)} sets "
      f"({', '.join(members)}); give it once for all or once for each, in "
      "this order."
    )
  images: list[Radiograph] = []
  found: list[Finding] = []
  each = folders if len(folders) == len(members) else [*folders] * len(members)
  for member, folder in zip(members, each):
    with progress.bar(f"examining {member}") as update:
      own, of_set = raw_data.read(
        member, folder, columns=columns, workers=workers, progress=update
      )
    images += own
    found += of_set
  validated = validation.validate(images, found=found)
  return _with_splits(name, images, validated, splits, what="raw files")


def verify_prepared(
  dataset: Dataset, *, splits: Sequence[str] = (), workers: int | None = None
) -> Verification:
  """Validates prepared data, and stores the findings beside them for training.

  Args:
    dataset: the prepared set.
    splits: see `verify_raw`.
    workers: likewise.
  """
  with progress.bar(f"examining {dataset.name}") as update:
    images, found = prepared_data.read(
      dataset, workers=workers, progress=update
    )
  validated = validation.validate(images, found=found)
  try:
    saved_findings.write(dataset, validated)
  except OSError as error:
    progress.LOG.warning("note: the findings are not stored: %s", error)
  what = f"{dataset.resolution} pixels"
  return _with_splits(dataset.name, images, validated, splits, what=what)


def _with_splits(
  name: str,
  images: Sequence[Radiograph],
  validated: validation.Validation,
  splits: Sequence[str],
  *,
  what: str,
) -> Verification:
  given = any(image.part for image in images)
  splits = splits or split_protocols.offered(
    registry.members(name), given=given
  )
  found = validation.with_splits(validated, images, dataset=name, names=splits)
  return Verification(
    name=name, what=what, images=images, findings=found, splits=splits
  )
