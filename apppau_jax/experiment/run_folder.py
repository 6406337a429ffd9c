"""A run's folder: its configuration, its manifest, its report."""

import contextlib
import hashlib
import importlib.metadata
import json
import os
import pathlib
import platform
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import filelock
import ml_collections

from apppau_jax import __version__, files
from apppau_jax.checks import findings
from apppau_jax.checks.findings import Finding
from apppau_jax.errors import (
  CheckpointError,
  ConfigError,
  DataError,
  OccupiedError,
)
from apppau_jax.experiment import schema
from configs import base

if TYPE_CHECKING:  # JAX starts later, under what `runtime` chooses
  from apppau_jax.experiment.data import Parts

FINDINGS = "verify.json"
# May differ between two starts of one run: they change no parameter.
_HARMLESS = (
  "data.data_dir",
  "data.accept",
  "data.streaming",
  "train.log_every",
  "eval.checkpoint",
  "eval.batch_size",
  "eval.test_time_augmentation",
  "eval.temperature_scaling",
)


@contextlib.contextmanager
def alone(workdir: pathlib.Path) -> Iterator[None]:
  """Keeps other processes from training in `workdir`; a kill lets go of it.

  Raises:
    OccupiedError: one does already.
    ConfigError: the folder cannot be written.
  """
  try:
    workdir.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(workdir / ".lock", timeout=0)
    lock.acquire()
  except filelock.Timeout as error:
    raise OccupiedError(
      f"Another process is training in --workdir={workdir}: the two would mix "
      "their checkpoints. Wait for it, stop it, or name another folder."
    ) from error
  except OSError as error:
    raise _no_place(workdir, error) from error
  try:
    yield
  finally:
    with contextlib.suppress(OSError):  # what came to nothing leaves nothing
      if [path.name for path in workdir.iterdir()] == [".lock"]:
        (workdir / ".lock").unlink()
        workdir.rmdir()
    lock.release()


def claim(workdir: pathlib.Path, config: Mapping[str, Any]) -> None:
  """Writes config.json, or checks that it is the same run's.

  Raises:
    ConfigError: the folder holds another run, or is not a writable folder.
  """
  path = workdir / "config.json"
  try:
    workdir.mkdir(parents=True, exist_ok=True)
    before = json.loads(path.read_text()) if path.exists() else None
    if is_trained(workdir):
      if before is None:
        raise ConfigError(
          f"--workdir={workdir} holds checkpoints without their config.json, "
          "so whose they are is unknown. Name another folder."
        )
      before = _completed(before)
      _same(workdir, schema.flatten(before), schema.flatten(config))
    files.write_json(path, config)
  except (OSError, json.JSONDecodeError) as error:
    raise _no_place(workdir, error) from error


def _no_place(workdir: pathlib.Path, error: Exception) -> ConfigError:
  return ConfigError(
    f"--workdir={workdir} cannot hold a run: {error}. Name another folder."
  )


def is_trained(workdir: pathlib.Path) -> bool:
  """Whether a step was saved here: then configuration and data are fixed."""
  saved = workdir.glob("checkpoints/*/[0-9]*")
  return any(step.name.isdigit() for step in saved)  # whole, not in the making


def check_same_data(
  workdir: pathlib.Path, *, data_sha256: str, parts: "Parts"
) -> None:
  """A run goes on with the images, the split and the labels it began with.

  Raises:
    DataError: other prepared examples, or another division of them.
  """
  if not is_trained(workdir):
    return
  same = read_manifest(workdir).get("data_sha256") in (data_sha256, None)
  for name, ids in _lists(parts).items():
    path = workdir / name  # labels.json came later than the first runs
    same &= not path.exists() or json.loads(path.read_text()) == ids
  if not same:
    raise DataError(
      f"--workdir={workdir} holds a run on other data: the prepared examples "
      "or their split changed since it began. Prepare the data as they were, "
      "or train in a new --workdir."
    )


def write_parts(workdir: pathlib.Path, parts: "Parts") -> None:
  """Writes splits.json, who is where, and labels.json, what is known of whom.

  labels.json holds `masks` and `classes`: the training ids whose mask, and
  whose class, training may see.
  """
  for name, ids in _lists(parts).items():
    files.write_json(workdir / name, ids)


def write_findings(workdir: pathlib.Path, found: Sequence[Finding]) -> None:
  """Writes verify.json, what the doctor says of the run's data, and tells."""
  content = [finding.as_dict() for finding in found]
  files.write_json(workdir / FINDINGS, {"findings": content})
  counts = findings.counts(found)
  if counts["error"] or counts["warning"]:
    checks = sorted({f.check for f in found if f.level != "note"})
    accepted = f"{counts['error']} accepted errors and "
    print(
      f"note: the data have {accepted if counts['error'] else ''}"
      f"{counts['warning']} warnings ({', '.join(checks)}): "
      f"{workdir / FINDINGS}",
      file=sys.stderr,
    )


def remarks(workdir: pathlib.Path) -> list[str]:
  """What a reader of a run's figures must know of its data.

  Errors that were accepted, and patients whom the public lists divide between
  parts, which is a warning only.
  """
  try:
    told = json.loads((workdir / FINDINGS).read_text())["findings"]
  except FileNotFoundError:  # a run of an older version
    return []
  divided = (f for f in told if f["check"] == "patients")
  divided = (f for f in divided if f["level"] == "warning")
  return [
    *(
      f"An error in the data was accepted: {f['what']}."
      for f in told
      if f["level"] == "error"
    ),
    *(f"Parts share a patient: {f['what']}." for f in divided),
  ]


def _lists(parts: "Parts") -> dict[str, dict[str, list[str]]]:
  return {
    "splits.json": parts.split.as_dict(),
    "labels.json": parts.labels(),
  }


def read_manifest(workdir: pathlib.Path) -> dict[str, Any]:
  """manifest.json, empty if there is none.

  Raises:
    CheckpointError: it is damaged.
  """
  path = workdir / "manifest.json"
  return _read(path) if path.exists() else {}


def identity(workdirs: Sequence[pathlib.Path]) -> dict[str, Any]:
  """What tells a run, or several together, from others: digests by name."""
  told = [read_manifest(workdir) for workdir in workdirs]
  digests = {
    key: [manifest.get(key) for manifest in told]
    for key in ("config_sha256", "data_sha256")
  }
  return {k: v if len(v) > 1 else v[0] for k, v in digests.items()}


def _read(path: pathlib.Path) -> dict[str, Any]:
  """A JSON object.

  Raises:
    CheckpointError: it cannot be read, or is none.
  """
  try:
    tree = json.loads(path.read_text(encoding="utf-8"))
  except (OSError, ValueError) as error:
    raise CheckpointError(
      f"{path} cannot be read ({error}), so what this run is remains unknown. "
      "Get the file back from a copy, or train in another folder."
    ) from error
  if not isinstance(tree, dict):
    raise CheckpointError(
      f"{path} holds no run's record. Get the file back from a copy, or train "
      "in another folder."
    )
  return tree


def _same(workdir: pathlib.Path, old: Mapping, new: Mapping) -> None:
  # Tuples as JSON keeps them, in the defaults of newer keys too.
  old, new = (json.loads(json.dumps(tree)) for tree in (old, new))
  rows = [
    f"  {key}: {old.get(key)!r} there, {new.get(key)!r} here"
    for key in sorted(old.keys() | new.keys())
    if old.get(key) != new.get(key) and not key.startswith(_HARMLESS)
  ]
  if rows:
    raise ConfigError(
      f"--workdir={workdir} holds a run of another configuration; give the "
      "same flags to go on with it, or a new --workdir:\n" + "\n".join(rows)
    )


def read_config(workdir: pathlib.Path) -> ml_collections.ConfigDict:
  """The configuration a run was trained with.

  Raises:
    CheckpointError: the folder holds no run, or its record is damaged.
  """
  path = workdir / "config.json"
  if not path.exists():
    raise CheckpointError(
      f"--workdir={workdir} holds no trained run (no config.json); train one "
      f"with `python -m launch.train --config=... --workdir={workdir}`."
    )
  tree = _completed(_read(path))
  schema.check(tree)
  return ml_collections.ConfigDict(tree)


def _completed(tree: Mapping[str, Any]) -> dict[str, Any]:
  """A configuration with the keys that came after it, at their defaults.

  A new key's default is what was done before there was the key.
  """
  defaults = base.get_config().to_dict()
  return {
    room: {**values, **tree.get(room, {})}
    if isinstance(values, dict)
    else tree.get(room, values)
    for room, values in defaults.items()
  } | {room: values for room, values in tree.items() if room not in defaults}


def commit() -> str:
  """The commit of the code, "unknown" outside a git checkout."""
  here = pathlib.Path(__file__).parent
  command = ["git", "-C", str(here), "describe", "--always", "--dirty"]
  try:
    done = subprocess.run(command, capture_output=True, text=True, check=True)
  except (OSError, subprocess.CalledProcessError):
    return "unknown"
  return done.stdout.strip()


def environment() -> dict[str, str]:
  """Versions, devices and the command: what a number was measured with."""
  import jax

  names = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
  devices = jax.devices()
  module = pathlib.Path(sys.argv[0]).stem
  return {
    "command": shlex.join(["python", "-m", f"launch.{module}", *sys.argv[1:]]),
    "apppau_jax": __version__,
    "commit": commit(),
    "python": platform.python_version(),
    **{name: importlib.metadata.version(name) for name in names},
    "devices": f"{len(devices)} x {devices[0].device_kind}",
    "processes": str(jax.process_count()),
    "machine": f"{platform.machine()}, {os.cpu_count()} cores",
    "XLA_FLAGS": os.environ.get("XLA_FLAGS", ""),
  }


def write_manifest(
  workdir: pathlib.Path, *, status: str, config: Mapping[str, Any], **facts
) -> None:
  """manifest.json: what this run is and how far it came.

  Args:
    workdir: the run's folder.
    status: `running`, `done`, `interrupted` or `failed`.
    config: as in config.json; its SHA-256 is noted.
    **facts: anything else to keep.
  """
  text = json.dumps(config, sort_keys=True).encode()
  manifest = {
    "status": status,
    "config_sha256": hashlib.sha256(text).hexdigest(),
    **facts,
  }
  files.write_json(workdir / "manifest.json", manifest)
