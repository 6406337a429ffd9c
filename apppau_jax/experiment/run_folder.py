"""The run folder: its configuration, manifest, splits and data findings."""

import contextlib
import hashlib
import json
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import filelock

from apppau_jax import files
from apppau_jax.checks import findings as findings_lib
from apppau_jax.checks.findings import Finding
from apppau_jax.config import Config
from apppau_jax.datasets.parts import Parts
from apppau_jax.errors import ConfigError, DataError, OccupiedError
from apppau_jax.experiment import run_files, weights_file
from apppau_jax.progress import LOG

# These keys may differ between two starts of one run: no parameter depends on
# them.
_WITHOUT_EFFECT = (
  "data.data_dir",
  "data.accept",
  "data.streaming",
  "train.log_every",
  "train.keep_checkpoints",
  "train.mirror",
  "eval.checkpoint",
  "eval.batch_size",
  "eval.test_time_augmentation",
  "eval.temperature_scaling",
  "eval.positive_class",
)


@contextlib.contextmanager
def locked(workdir: pathlib.Path) -> Iterator[None]:
  """Keeps other processes from training in a run folder.

  The lock is the operating system's and ends with the process.

  Raises:
    OccupiedError: another process trains there.
    ConfigError: the folder cannot be written.
  """
  try:
    workdir.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(workdir / ".lock", timeout=0)
    lock.acquire()
  except filelock.Timeout as error:
    raise OccupiedError(
      f"Another process is training in --workdir={workdir}. Two would mix "
      "their checkpoints. Wait until it ends, stop it, or name another folder."
    ) from error
  except OSError as error:
    raise _unusable(workdir, error) from error
  files.remove_leftovers(workdir)
  files.remove_leftovers(workdir / "eval", below=True)
  try:
    yield
  finally:
    with contextlib.suppress(OSError):  # leave no folder of a refused run
      if [path.name for path in workdir.iterdir()] == [".lock"]:
        (workdir / ".lock").unlink()
        workdir.rmdir()
    lock.release()


def claim(
  workdir: pathlib.Path,
  config: Mapping[str, Any],
  *,
  may_lengthen: bool = False,
) -> int | None:
  """Writes config.json, or checks that the folder holds this very run.

  Args:
    workdir: the run folder.
    config: nested mappings, as JSON would have them.
    may_lengthen: whether a finished run may get more `train.epochs`.

  Returns:
    The epochs that a run had which is lengthened; else None.

  Raises:
    ConfigError: the folder holds another run, or cannot be written.
  """
  path = workdir / "config.json"
  before = None
  if is_trained(workdir):
    if not path.exists():
      raise ConfigError(
        f"--workdir={workdir} holds checkpoints but no config.json, so the "
        "run they belong to is unknown. Name another folder."
      )
    old, new = run_files.read_config(workdir), Config.from_dict(config)
    if may_lengthen and _is_longer(workdir, old, new):
      before = old.train.epochs
    _check_same(workdir, old, new, but=("train.epochs",) if before else ())
  try:
    workdir.mkdir(parents=True, exist_ok=True)
    files.write_json(path, config)
  except OSError as error:
    raise _unusable(workdir, error) from error
  return before


def _is_longer(workdir: pathlib.Path, old: Config, new: Config) -> bool:
  """Returns whether a finished run is asked for more epochs.

  Raises:
    ConfigError: it has no checkpoint to go on from.
  """
  is_done = run_files.read_manifest(workdir).get("status") == "done"
  longer = is_done and new.train.epochs > old.train.epochs
  if longer and weights_file.is_alone(workdir):
    raise ConfigError(
      f"The run in --workdir={workdir} cannot be lengthened, since its "
      "checkpoints were cleared. Start a new one from its weights with "
      f"--config.train.start_from={workdir}."
    )
  return longer


def _unusable(workdir: pathlib.Path, error: Exception) -> ConfigError:
  return ConfigError(
    f"--workdir={workdir} cannot hold a run: {error}. Name another folder."
  )


def is_trained(workdir: pathlib.Path) -> bool:
  """Returns whether the folder holds a complete checkpoint or final weights.

  From then on the configuration and the data of the run are fixed.
  """
  saved = workdir.glob("checkpoints/*/[0-9]*")
  done = any(step.name.isdigit() for step in saved)  # others are unfinished
  return done or weights_file.is_alone(workdir)


def _check_same(
  workdir: pathlib.Path, old: Config, new: Config, *, but: Sequence[str]
) -> None:
  before, after = (json.loads(json.dumps(c.flat())) for c in (old, new))
  rows = [
    f"  {key}: {before[key]!r} in the folder, {after[key]!r} in this command"
    for key in sorted(before)
    if before[key] != after[key] and key not in (*_WITHOUT_EFFECT, *but)
  ]
  if rows:
    raise ConfigError(
      f"--workdir={workdir} holds a run with another configuration. Give the "
      "same flags to resume it, or a new --workdir:\n" + "\n".join(rows)
    )


def check_same_data(
  workdir: pathlib.Path, *, data_sha256: str, parts: Parts
) -> None:
  """Makes sure that a resumed run has the data it began with.

  Raises:
    DataError: other prepared examples, another split or other labels.
  """
  if not is_trained(workdir):
    return
  digest = run_files.read_manifest(workdir).get("data_sha256")
  same = digest in (data_sha256, None)
  lists = _id_lists(parts)
  for name, form in run_files.ID_LISTS.items():
    path, ids = workdir / name, lists[name]  # the first runs had no labels.json
    same &= not path.exists() or run_files.read(path, form) == ids
  if not same:
    raise DataError(
      f"--workdir={workdir} holds a run on other data: the prepared examples "
      "or their split have changed since it began. Prepare the data as they "
      "were, or train in a new --workdir."
    )


def write_parts(workdir: pathlib.Path, parts: Parts) -> None:
  """Writes splits.json (ids of each part) and labels.json.

  labels.json lists the training ids whose mask, and whose class, the networks
  may see.
  """
  for name, ids in _id_lists(parts).items():
    files.write_json(workdir / name, ids)


def _id_lists(parts: Parts) -> dict[str, dict[str, list[str]]]:
  return {"splits.json": parts.as_dict(), "labels.json": parts.labels()}


def write_findings(workdir: pathlib.Path, found: Sequence[Finding]) -> None:
  """Writes verify.json, the findings of data validation, and reports them."""
  content = [finding.as_dict() for finding in found]
  files.write_json(workdir / run_files.FINDINGS, {"findings": content})
  counts = findings_lib.counts(found)
  if counts["error"] or counts["warning"]:
    checks = sorted({f.check for f in found if f.level != "note"})
    accepted = f"{counts['error']} accepted errors and "
    LOG.info(
      "note: the data checks have %s%d warnings (%s), which do not stop the "
      "training; they are listed in %s",
      accepted if counts["error"] else "",
      counts["warning"],
      ", ".join(checks),
      workdir / run_files.FINDINGS,
    )


def data_remarks(workdir: pathlib.Path) -> list[str]:
  """Returns what a reader of the run's figures must know of its data.

  These are accepted errors, and patients whom a public list divides between
  parts, which is only a warning.
  """
  found = run_files.read_findings(workdir)
  divided = (f for f in found if f.check == "patients" and f.level == "warning")
  return [
    *(
      f"An error in the data was accepted: {f.what}."
      for f in found
      if f.level == "error"
    ),
    *(f"Parts share a patient: {f.what}." for f in divided),
  ]


def write_manifest(
  workdir: pathlib.Path, *, status: str, config: Mapping[str, Any], **facts
) -> None:
  """Writes manifest.json: what this run is and how far it came.

  Args:
    workdir: the run folder.
    status: `running`, `done`, `interrupted` or `failed`.
    config: the content of config.json; its SHA-256 is noted.
    **facts: anything else to keep.
  """
  text = json.dumps(config, sort_keys=True).encode()
  manifest = {
    "status": status,
    "config_sha256": hashlib.sha256(text).hexdigest(),
    **facts,
  }
  files.write_json(workdir / "manifest.json", manifest)


def identity(workdirs: Sequence[pathlib.Path]) -> dict[str, Any]:
  """Returns the digests that tell a run, or an ensemble, from others.

  Those of a model file are of its content.
  """
  manifests = [
    {
      "config_sha256": hashlib.sha256(workdir.read_bytes()).hexdigest(),
      "data_sha256": None,
    }
    if workdir.is_file()
    else run_files.read_manifest(workdir)
    for workdir in workdirs
  ]
  digests = {
    key: [manifest.get(key) for manifest in manifests]
    for key in ("config_sha256", "data_sha256")
  }
  return {k: v if len(v) > 1 else v[0] for k, v in digests.items()}
