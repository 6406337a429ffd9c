"""Connects the processes of one distributed run and disconnects them.

  python -m launch.train ... --distributed                    TPU pod, Slurm
  python -m launch.train ... --coordinator=HOST:PORT \
    --num_processes=2 --process_id=0                          anywhere else

Start the same command in every process, with the same code and prepared data
and with a --workdir that all processes share. Process 0 runs the coordination
service of JAX.
"""

import atexit
import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Iterator

from absl import flags

from apppau_jax import progress
from apppau_jax.errors import ConfigError, ResourceError
from launch import cli

_DISTRIBUTED = flags.DEFINE_bool(
  "distributed", False, "Detect the processes of a TPU pod or Slurm job."
)
_COORDINATOR = flags.DEFINE_string(
  "coordinator", None, "HOST:PORT of process 0; the port must be free there."
)
_COUNT = flags.DEFINE_integer(
  "num_processes", None, "Number of processes of the run.", 1
)
_ID = flags.DEFINE_integer(
  "process_id",
  None,
  "Index of this process, from 0. Process 0 writes metrics and reports.",
  0,
)
_TIMEOUT = flags.DEFINE_integer(
  "peer_timeout",
  60,
  "Seconds without a heartbeat after which a process counts as lost.",
  5,
)

_LOST = (
  "Another process of this run ended or cannot be reached, so this process "
  "stopped too. The output of the other process has the reason. Everything up "
  "to the last checkpoint is saved. Start all processes again with the same "
  "command to resume from there."
)
# Parts of the errors that the collectives of CPUs, GPUs and TPUs and the
# coordination service raise when another process is lost.
_SYMPTOMS = ("Gloo", "NCCL", "UNAVAILABLE", "DEADLINE_EXCEEDED", "Connection")
_LEAVING_S = 5  # seconds to wait for the other processes at a common end
_HANDLERS: list = []  # keeps the signal handlers of the C library alive


def wanted() -> bool:
  """Returns whether the flags ask for several processes.

  Raises:
    ConfigError: the flags contradict each other.
  """
  given = (_COORDINATOR.value, _COUNT.value, _ID.value)
  named = [value is not None for value in given]
  if _DISTRIBUTED.value and any(named):
    raise ConfigError(
      "--distributed finds the other processes by itself. Give either "
      "--distributed, or --coordinator, --num_processes and --process_id."
    )
  if any(named) and not all(named):
    raise ConfigError(
      "--coordinator=HOST:PORT, --num_processes and --process_id belong "
      "together: give all three, or --distributed on a TPU pod or under Slurm."
    )
  number, count = _ID.value or 0, _COUNT.value or 1
  if number >= count:
    raise ConfigError(
      f"--process_id={number} must be from 0 to {count - 1}, since "
      f"--num_processes={count}."
    )
  return _DISTRIBUTED.value or all(named)


@contextlib.contextmanager
def joined() -> Iterator[None]:
  """Connects to the other processes within, if the flags ask for it.

  Raises:
    ConfigError: no other process was found, or the flags contradict each other.
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
    # JAX raises RuntimeError at dispatch and ValueError while it waits.
    if isinstance(error, RuntimeError | ValueError) and any(
      word in str(error) for word in _SYMPTOMS
    ):
      error = ResourceError(_LOST)
    # Runs before JAX's own exit handler, which aborts if a process is missing.
    atexit.register(_leave, getattr(error, "exit_code", 1))
    raise error
  distributed.barrier("end")  # process 0 may still be evaluating
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
      f"The processes of this run did not find each other ({reason}). Give "
      "--coordinator=HOST:PORT, --num_processes and --process_id, start all "
      "processes, and check that each of them can reach HOST:PORT."
    ) from error
  progress.say(
    f"process {jax.process_index()} of {jax.process_count()}: "
    f"{jax.local_device_count()} of {jax.device_count()} devices here",
    error=True,
  )


def _leave(code: int) -> None:
  """Shuts JAX down if all processes end; otherwise exits at once."""
  import jax

  from apppau_jax.training import distributed

  if distributed.all_leave(seconds=_LEAVING_S):
    jax.distributed.shutdown()
    return
  sys.stdout.flush()
  sys.stderr.flush()
  os._exit(code)


def _explain_abort() -> None:
  """Replaces JAX's abort after a lost process by a message and status 6.

  JAX aborts in a thread that never returns to Python, so only a handler of the
  C library can catch the signal.
  """

  def ended(signum: int) -> None:
    os.write(2, f"\nerror: {_LOST}\n".encode())
    os._exit(ResourceError.exit_code)

  _HANDLERS.append(ctypes.CFUNCTYPE(None, ctypes.c_int)(ended))
  ctypes.CDLL(None).signal(signal.SIGABRT, _HANDLERS[-1])
