"""TensorBoard's event file, written without a thread.

tensorboardX's own `SummaryWriter` hands events to a thread. If that dies of a
full disk, training waits for ever for room in its queue.
"""

import os
import pathlib
import socket
import time
from typing import Any

import numpy as np
from tensorboardX import record_writer, summary
from tensorboardX.proto import event_pb2

_PROTO: Any = event_pb2  # makes its classes only when it is imported


class Board:
  """One event file; every method raises OSError if it cannot be written.

  Args:
    folder: of TensorBoard's files; created if absent.
    purge_step: TensorBoard ignores this and later steps of earlier files.
  """

  def __init__(self, folder: pathlib.Path, *, purge_step: int):
    folder.mkdir(parents=True, exist_ok=True)
    made = f"{time.time():.0f}.{socket.gethostname()}.{os.getpid()}"
    path = folder / f"events.out.tfevents.{made}"
    self._file = record_writer.RecordWriter(str(path))
    started = _PROTO.SessionLog(status=_PROTO.SessionLog.START)
    self._write(0, file_version="brain.Event:2")
    self._write(purge_step, session_log=started)

  def _write(self, step: int, **what) -> None:
    event = _PROTO.Event(step=step, wall_time=time.time(), **what)
    self._file.write(event.SerializeToString())

  def scalar(self, name: str, value: float, *, step: int) -> None:
    """Add a point to the curve `name`."""
    self._write(step, summary=summary.scalar(name, value))

  def image(self, name: str, picture: np.ndarray, *, step: int) -> None:
    """Add a uint8 picture `[h, w, 3]`."""
    shown = summary.image(name, picture, dataformats="HWC")
    self._write(step, summary=shown)

  def flush(self) -> None:
    """Flush everything written so far to disk."""
    self._file.flush()

  def close(self) -> None:
    """Close the file, even if its end cannot be written."""
    self._file.close()
