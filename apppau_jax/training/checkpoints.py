"""Checkpoints with checksums; the only file that uses Orbax.

Orbax writes atomically and survives `kill -9`, but a flipped byte restores
without complaint. Every step therefore also holds `integrity`: shape, dtype and
SHA-256 of each leaf, checked at restore. A damaged step is renamed, never
deleted, and the one before it is used.

A run of several processes calls `save` and `restore` in all of them, and each
writes and reads its own part. Checksums are of whole arrays, so a step restores
onto any number of devices and processes.
"""

import contextlib
import hashlib
import itertools
import logging
import pathlib
from collections.abc import Mapping
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from apppau_jax.errors import CheckpointError, ResourceError
from apppau_jax.training import distributed
from apppau_jax.training.literal_path import LiteralPath
from apppau_jax.training.state import Player, TrainState, Tree

_LOG = logging.getLogger(__name__)
# Errors of a write without room: on the disk, in a quota, in a file's limit.
_FULL = ("No space left on device", "Disk quota exceeded", "File too large")


@chex.dataclass(frozen=True, mappable_dataclass=False)
class _TwoPlayers:
  """A `TrainState` as it was saved before it held its players by name."""

  step: jax.Array
  segmentor: Player
  discriminator: Player | None = None

  @staticmethod
  def is_layout_of(integrity: Mapping[str, list]) -> bool:
    """Whether a step with these checksums was saved in this layout."""
    return ".step" in integrity and not any(
      name.startswith(".players") for name in integrity
    )

  def to_state(self) -> TrainState:
    """Return the same state in the present layout."""
    players = {"segmentor": self.segmentor}
    if self.discriminator is not None:
      players["discriminator"] = self.discriminator
    return TrainState(step=self.step, players=players)


def _digests(tree: Tree) -> dict[str, list]:
  leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
  return {
    jax.tree_util.keystr(path): _digest(np.asarray(leaf))
    for path, leaf in leaves
  }


def _digest(leaf: np.ndarray) -> list:
  sha = hashlib.sha256(np.ascontiguousarray(leaf).tobytes()).hexdigest()
  return [list(leaf.shape), str(leaf.dtype), sha]


def _check(tree: Tree, expected: Mapping[str, list]) -> None:
  found = _digests(tree)
  wrong = sorted(
    name
    for name in found.keys() | expected.keys()
    if found.get(name) != expected.get(name)
  )
  if wrong:
    raise ValueError(
      f"{len(wrong)} of {len(expected)} arrays differ from their checksums, "
      f"first {wrong[0]}"
    )


def _abstract(leaf) -> jax.ShapeDtypeStruct:
  return jax.ShapeDtypeStruct(
    leaf.shape, leaf.dtype, sharding=getattr(leaf, "sharding", None)
  )


def _alone() -> ocp.options.MultiprocessingOptions:
  """Return options by which this process and the others do not wait."""
  if distributed.count() == 1:
    return ocp.options.MultiprocessingOptions()
  me = jax.process_index()
  return ocp.options.MultiprocessingOptions(
    primary_host=me, active_processes={me}
  )


class Store:
  """A folder of verified checkpoints of one tree.

  Attributes:
    folder: where the steps lie, one folder each.

  With `read_only` nothing in the folder is created, moved or cleaned up, so
  that a run can be read while it trains; of several processes, one may read
  without the others.
  """

  def __init__(
    self,
    folder: str | pathlib.Path,
    *,
    keep: int = 2,
    read_only: bool = False,
  ):
    self.folder = pathlib.Path(folder).absolute()
    self._read_only = read_only
    self._is_proved = False
    self._manager = ocp.CheckpointManager(
      LiteralPath(self.folder),
      item_names=("tree", "integrity", "meta"),
      options=ocp.CheckpointManagerOptions(
        read_only=True, multiprocessing_options=_alone()
      )
      if read_only
      else ocp.CheckpointManagerOptions(
        max_to_keep=keep,
        cleanup_tmp_directories=True,
        create=True,
        # Two stores of one run must not wait at each other's barriers.
        multiprocessing_options=ocp.options.MultiprocessingOptions(
          barrier_sync_key_prefix=self.folder.name
        ),
      ),
    )

  def steps(self) -> list[int]:
    """Return the steps that are saved, oldest first."""
    return sorted(self._manager.all_steps())

  def save(self, tree: Tree, *, step: int, meta: Mapping) -> None:
    """Save in the background; a step that is saved already is left alone.

    The tree is copied first: the caller may donate its buffers at once. The
    first step is waited for and looked up, so that a run whose steps could
    not be restored ends here.

    Raises:
      CheckpointError: it was not saved, or cannot be found again.
      ResourceError: the disk is full.
    """
    if step in self._manager.all_steps():
      return
    tree = jax.tree.map(jnp.copy, tree)
    digests = _digests(tree)
    with self._full_disk_as_error():
      saved = self._manager.save(
        step,
        args=ocp.args.Composite(
          tree=ocp.args.StandardSave(tree),
          integrity=ocp.args.JsonSave(digests),
          meta=ocp.args.JsonSave(dict(meta)),
        ),
      )
    if not saved:
      raise CheckpointError(
        f"Step {step} was not saved in {self.folder}, which holds later ones: "
        f"{self.steps()}. Is another process training in this folder?"
      )
    if not self._is_proved:
      self.wait()
      self._prove(step, digests)
      self._is_proved = True

  def _prove(self, step: int, digests: Mapping[str, list]) -> None:
    """Check that a saved step has all arrays; their values are not read."""
    wanted = sorted((shape, dtype) for shape, dtype, _ in digests.values())
    try:
      leaves = jax.tree.leaves(self._manager.item_metadata(step)["tree"])
      found = sorted((list(leaf.shape), str(leaf.dtype)) for leaf in leaves)
    except Exception as error:  # of many types, as in `restore`
      raise self._unproved(step, str(error).strip().splitlines()[0]) from error
    if found != wanted:
      raise self._unproved(step, f"{len(found)} of {len(wanted)} arrays found")

  def _unproved(self, step: int, reason: str) -> CheckpointError:
    return CheckpointError(
      f"Step {step} was saved in {self.folder} and cannot be read back "
      f"({reason}), so nothing that this run saves could be restored. Train in "
      "a --workdir on another disk or with a plainer name."
    )

  @contextlib.contextmanager
  def _full_disk_as_error(self):
    """Recognise a full disk, which Orbax reports in words and many types."""
    try:
      yield
    except Exception as error:
      if not any(words in str(error) for words in _FULL):
        raise
      raise ResourceError(
        f"The disk of {self.folder} is full, so the last step could not be "
        "saved. Earlier checkpoints are intact. Free some space and run the "
        "same command again; it resumes from the last checkpoint."
      ) from error

  def forget_after(self, step: int) -> None:
    """Delete the steps after `step`, which a resumed run repeats."""
    for later in [s for s in self.steps() if s > step]:
      self._manager.delete(later)

  def restore(self, target: Tree) -> tuple[Any, dict[str, Any], int] | None:
    """Return the newest undamaged (tree, meta, step), None if never saved.

    Args:
      target: arrays or shapes of the tree; the result has its shardings,
        whatever the number of devices the checkpoint was saved from.

    Raises:
      CheckpointError: there are checkpoints, and none can be used.
    """
    abstract = jax.tree.map(_abstract, target)
    reasons = []
    for step in reversed(self.steps()):
      try:
        tree, meta = self._read(step, abstract)
      except Exception as error:
        # Orbax and TensorStore raise many types on damage. All mean that
        # this step cannot be trusted, and the one before is tried.
        first, *_ = (str(error).strip() or repr(error)).splitlines()
        reasons.append(f"step {step}: {first}")
        _LOG.warning("checkpoint unusable, %s", reasons[-1])
        continue
      if not self._read_only:
        self._set_aside([s for s in self.steps() if s > step])
      return tree, meta, step
    if reasons:
      raise CheckpointError(
        f"No usable checkpoint in {self.folder} ({'; '.join(reasons)}). "
        "Nothing was deleted. Either it is damaged (restore the folder from "
        "a copy) or it belongs to another model. To start again, name a new "
        "--workdir."
      )
    return None

  def _read(self, step: int, abstract: Tree):
    about: Any = self._manager.restore(
      step,
      args=ocp.args.Composite(
        integrity=ocp.args.JsonRestore(), meta=ocp.args.JsonRestore()
      ),
    )
    old = isinstance(abstract, TrainState)
    old = old and _TwoPlayers.is_layout_of(about.integrity)
    if old:
      abstract = _TwoPlayers(step=abstract.step, **abstract.players)
    items: Any = self._manager.restore(
      step,
      args=ocp.args.Composite(tree=ocp.args.StandardRestore(abstract)),
    )
    _check(items.tree, about.integrity)
    # A copy of our own: restored buffers must not be donated.
    tree = jax.tree.map(jnp.copy, items.tree)
    return tree.to_state() if old else tree, about.meta

  def _set_aside(self, steps: list[int]) -> None:
    for step in steps:
      folder = self.folder / str(step)
      target = self._free(f"{self.folder.name}-damaged-{step}")
      if distributed.is_first():
        folder.rename(target)
        _LOG.warning("damaged checkpoint kept as %s", target)
    if steps:
      distributed.barrier(f"{self.folder.name}-{steps[0]}-set-aside")
      self._manager.reload()

  def _free(self, name: str) -> pathlib.Path:
    """Return a new folder beside this one, called `name` or `name`-2, -3, ...

    The same step may be damaged, repeated and damaged again.
    """
    beside = (self.folder.parent / f"{name}-{i}" for i in itertools.count(2))
    first = self.folder.parent / name
    return next(p for p in itertools.chain([first], beside) if not p.exists())

  def wait(self) -> None:
    """Wait until everything saved is on disk."""
    with self._full_disk_as_error():
      self._manager.wait_until_finished()

  def close(self) -> None:
    """Wait for the saves under way and release the manager's threads."""
    with self._full_disk_as_error():
      self._manager.close()
