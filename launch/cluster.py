"""Several processes, one run: how a process finds the others and leaves them.

  python -m launch.train ... --distributed                    TPU pod, Slurm
  python -m launch.train ... --coordinator=HOST:PORT \
    --num_processes=2 --process_id=0                          anywhere else

Every process runs the same command on the same code and prepared data, with a
--workdir that all of them see. JAX's coordination service lives in process 0.
"""

import atexit
import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Iterator

from absl import flags

from apppau_jax.errors import ConfigError, ResourceError
from launch import cli

_DISTRIBUTED = flags.DEFINE_bool(
  "distributed", False, "Find the other processes as TPU pods and Slurm say."
)
_COORDINATOR = flags.DEFINE_string(
  "coordinator", None, "HOST:PORT of process 0, a free port there."
)
_COUNT = flags.DEFINE_integer("num_processes", None, "Of the run.", 1)
_ID = flags.DEFINE_integer("process_id", None, "From 0; 0 writes.", 0)
_TIMEOUT = flags.DEFINE_integer(
  "peer_timeout", 60, "Seconds of silence after which a process is dead.", 5
)

_LOST = (
  "Another process of this run ended, or cannot be reached, so this one "
  "stopped too. Its own output says why. Everything up to the last checkpoint "
  "is saved; start all processes again with the same command to go on from "
  "there."
)
# What the collectives of CPUs, GPUs and TPUs and the service itself complain
# of when the other end is gone.
_SYMPTOMS = ("Gloo", "NCCL", "UNAVAILABLE", "DEADLINE_EXCEEDED", "Connection")
_LEAVING_S = 5  # how long the others are waited for at an end that all share
_KEPT: list = []  # the C library's handlers, which nothing else holds


def wanted() -> bool:
  """Whether the flags speak of several processes.

  Raises:
    ConfigError: they do, and contradict each other.
  """
  given = (_COORDINATOR.value, _COUNT.value, _ID.value)
  named = [value is not None for value in given]
  if _DISTRIBUTED.value and any(named):
    raise ConfigError(
      "--distributed finds the other processes by itself; give either it or "
      "--coordinator, --num_processes and --process_id."
    )
  if any(named) and not all(named):
    raise ConfigError(
      "--coordinator=HOST:PORT, --num_processes and --process_id belong "
      "together; or give --distributed on a TPU pod or under Slurm."
    )
  number, count = _ID.value or 0, _COUNT.value or 1
  if number >= count:
    raise ConfigError(
      f"--process_id={number} must be from 0 to {count - 1}: there are "
      f"--num_processes={count}."
    )
  return _DISTRIBUTED.value or all(named)


@contextlib.contextmanager
def joined() -> Iterator[None]:
  """Is one of several processes within, if the flags want it.

  Raises:
    ConfigError: no cluster was found, or its flags contradict each other.
    ResourceError: another process was lost.
  """
  if not wanted():
    yield
    return
  import jax

  from apppau_jax.training import distributed

  _join()
  try:
    with cli.translated():
      yield
  except BaseException as error:
    # JAX raises either, as its dispatch or its waiting meets the failure.
    if isinstance(error, RuntimeError | ValueError) and any(
      word in str(error) for word in _SYMPTOMS
    ):
      error = ResourceError(_LOST)
    # Before JAX's own, which waits for all and aborts if one does not come.
    atexit.register(_leave, getattr(error, "exit_code", 1))
    raise error
  distributed.barrier("end")  # the first one may still be measuring
  jax.distributed.shutdown()


def _join() -> None:
  import jax

  from apppau_jax.training import distributed

  _explain_abort()
  try:
    jax.distributed.initialize(
      _COORDINATOR.value,
      _COUNT.value,
      _ID.value,
      cluster_detection_method=None if _DISTRIBUTED.value else "deactivate",
      heartbeat_timeout_seconds=_TIMEOUT.value,
    )
    distributed.meet()
  except (RuntimeError, ValueError) as error:
    reason = " ".join(str(error).split())[:200]
    raise ConfigError(
      f"The processes of this run did not find each other ({reason}). Name "
      "them with --coordinator=HOST:PORT --num_processes --process_id, start "
      "all of them, and see that HOST:PORT can be reached from each."
    ) from error
  print(
    f"process {jax.process_index()} of {jax.process_count()}: "
    f"{jax.local_device_count()} of {jax.device_count()} devices here",
    file=sys.stderr,
    flush=True,
  )


def _leave(code: int) -> None:
  """Ends with all others if they end too; else alone, and at once."""
  import jax

  from apppau_jax.training import distributed

  if distributed.all_leave(seconds=_LEAVING_S):
    jax.distributed.shutdown()
    return
  sys.stdout.flush()
  sys.stderr.flush()
  os._exit(code)


def _explain_abort() -> None:
  """JAX aborts when the service tells of a lost process: our words, our code.

  The abort comes in a thread of its own that never returns to Python, so it
  is heard by a handler of the C library's.
  """

  def ended(signum: int) -> None:
    os.write(2, f"\nerror: {_LOST}\n".encode())
    os._exit(ResourceError.exit_code)

  _KEPT.append(ctypes.CFUNCTYPE(None, ctypes.c_int)(ended))
  ctypes.CDLL(None).signal(signal.SIGABRT, _KEPT[-1])
