"""What threads and signal handlers do while a command runs."""

import contextlib
import inspect
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator

# A wrapper such as srun passes on a Ctrl-C that the terminal sends as well.
_ONE_KEY = 0.1  # seconds


@contextlib.contextmanager
def second_signal_ends() -> Iterator[None]:
  """Ends the process at once on the second SIGINT or SIGTERM.

  Python runs a signal's handler between two instructions of the main thread,
  so not while XLA compiles. Here the handler in C writes the signal to a
  socket, which a thread reads. The first signal is left to Python's handlers.
  """
  receiver, sender = socket.socketpair()
  sender.setblocking(False)
  before = signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
  threading.Thread(target=_listen, args=(receiver,), daemon=True).start()
  try:
    yield
  finally:
    signal.set_wakeup_fd(before)
    sender.close()  # ends the thread


def _listen(receiver: socket.socket) -> None:
  first: float | None = None
  while received := receiver.recv(1):
    signum = received[0]
    if signum not in (signal.SIGINT, signal.SIGTERM):
      continue
    now = time.monotonic()
    if first is not None and now - first > _ONE_KEY:
      name = signal.Signals(signum).name
      os.write(2, f"error: Ended at once by a second {name}.\n".encode())
      os._exit(128 + signum)
    first = now if first is None else first
  receiver.close()


def silence_compiler() -> None:
  """Keeps XLA's C++ code from logging, such as that a compilation is slow.

  It reads the environment when jaxlib is imported. Its errors are raised as
  exceptions too, so that nothing is lost.
  """
  os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def silence_threads() -> None:
  """Keeps background threads from printing the errors that they hand over.

  Orbax and TensorStore log the failure of a save in each of their threads, and
  raise it when the main thread waits for the save.
  """
  logging.getLogger("asyncio").setLevel(logging.CRITICAL)
  logging.getLogger("absl").addFilter(_has_no_traceback)
  sys.unraisablehook = _of_main_thread


def _has_no_traceback(record: logging.LogRecord) -> bool:
  return not record.exc_info


def _of_main_thread(ignored) -> None:
  """Prints an ignored exception, but not one of a thread of C++ or coroutine.

  TensorStore tells a future whose event loop ended with the first failure, and
  Orbax leaves the coroutines of all other arrays unfinished.
  """
  if inspect.iscoroutine(ignored.object):
    return
  if threading.current_thread() is threading.main_thread() or ignored.object:
    sys.__unraisablehook__(ignored)
