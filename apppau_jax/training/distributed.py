"""Coordination of the processes of one run; with one process it costs nothing.

Messages go through JAX's coordination service, not through the devices: a
process may keep the others waiting for minutes, and one that died is noticed by
its missing heartbeats.
"""

import contextlib
from collections.abc import Iterator

import jax
from jax._src import distributed  # the service has no public interface yet
from jax.experimental import multihost_utils

_PATIENCE_MS = 24 * 3600 * 1000  # a dead process is noticed long before


def count() -> int:
  """Return the number of processes of this run."""
  return jax.process_count()


def is_first() -> bool:
  """Whether this process is the one that writes."""
  return jax.process_index() == 0


def meet() -> None:
  """Connect the devices of all processes once all have started.

  CPUs wait only 30 s for each other's first message, less than the time by
  which one may be slower at compiling. They wait longer for later messages.
  """
  barrier("meet")
  multihost_utils.sync_global_devices("apppau_jax")


def barrier(name: str) -> None:
  """Wait for every process; a `name` is used once in a run."""
  if count() > 1:
    _client().wait_at_barrier(f"apppau_jax/{name}", _PATIENCE_MS)


def agree(name: str, value: str) -> str:
  """Return the first process's `value`; a `name` is used once in a run."""
  if count() == 1:
    return value
  key = f"apppau_jax/{name}"
  if is_first():
    _client().key_value_set(key, value)
    return value
  return _client().blocking_key_value_get(key, _PATIENCE_MS)


def all_leave(*, seconds: float) -> bool:
  """Return whether every process calls this within so many seconds."""
  try:
    _client().wait_at_barrier("apppau_jax/leave", int(1000 * seconds))
  except RuntimeError:
    return False
  return True


@contextlib.contextmanager
def first_goes_first(name: str) -> Iterator[None]:
  """Run the body in the first process before it runs in the others."""
  if not is_first():
    barrier(name)
  yield
  if is_first():
    barrier(name)


def preempted(step: int) -> bool:
  """Return whether all processes save and stop after this step.

  JAX's service notices a SIGTERM of any process and names a step that none has
  passed yet. Every process asks after every step.
  """
  return multihost_utils.reached_preemption_sync_point(step)


def _client():
  client = distributed.global_state.client
  assert client is not None  # more than one process
  return client
