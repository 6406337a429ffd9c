"""The processes of one run: who writes, who waits, what all agree on.

The only file that knows there may be several; with one, everything here costs
nothing. Words go through JAX's coordination service, not through the devices:
a process may keep the others waiting for minutes, and one that died is noticed
by its missing heartbeats.
"""

import contextlib
from collections.abc import Iterator

import jax
from jax._src import distributed  # the service has no public interface yet
from jax.experimental import multihost_utils

_PATIENCE_MS = 24 * 3600 * 1000  # a dead process is noticed long before


def count() -> int:
  """Number of processes of this run."""
  return jax.process_count()


def is_first() -> bool:
  """Whether this process is the one that writes."""
  return jax.process_index() == 0


def meet() -> None:
  """Connects the devices of all processes, once, when all are here.

  CPUs wait for each other's first message 30 s only: less than the time by
  which one may be slower at compiling. Later messages are waited for.
  """
  barrier("meet")
  multihost_utils.sync_global_devices("apppau_jax")


def barrier(name: str) -> None:
  """Returns when every process is here; `name` is used once in a run."""
  if count() > 1:
    _client().wait_at_barrier(f"apppau_jax/{name}", _PATIENCE_MS)


def agree(name: str, value: str) -> str:
  """Returns the first process's `value`; `name` is used once in a run."""
  if count() == 1:
    return value
  key = f"apppau_jax/{name}"
  if is_first():
    _client().key_value_set(key, value)
    return value
  return _client().blocking_key_value_get(key, _PATIENCE_MS)


def all_leave(*, seconds: float) -> bool:
  """Whether every process comes here within so many seconds."""
  try:
    _client().wait_at_barrier("apppau_jax/leave", int(1000 * seconds))
  except RuntimeError:
    return False
  return True


@contextlib.contextmanager
def first_goes_first(name: str) -> Iterator[None]:
  """What is done under it, the first process has done before the others."""
  if not is_first():
    barrier(name)
  yield
  if is_first():
    barrier(name)


def preempted(step: int) -> bool:
  """Whether all processes are to save and stop after this very step.

  JAX's service hears SIGTERM in any process and names a step that none has
  passed yet. To be asked after every step, by every process.
  """
  return multihost_utils.reached_preemption_sync_point(step)


def _client():
  client = distributed.global_state.client
  assert client is not None  # more than one process
  return client
