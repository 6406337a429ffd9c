"""Decode compressed DICOM files where a crash costs one file.

Decoders of compressed pixels are written in C++ and abort the process, loop or
allocate without end on some damaged files. Such files are therefore decoded in
other processes, see `decoder_process`. They start with the first such file and
are kept for the next ones. One that crashes or takes too long is replaced.
"""

import atexit
import collections
import contextlib
import functools
import io
import math
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from typing import Any, cast

import numpy as np

from apppau_jax import errors
from apppau_jax.imaging import pipe_messages
from apppau_jax.imaging.film import Film, Spacing

SECONDS = 120  # for one file
START_SECONDS = 120
MEMORY = 3 * 2**30  # bytes of address space of one process
_MOST = 4  # processes
_MODULE = "apppau_jax.imaging.decoder_process"  # what they run
# Pixels of these syntaxes are not encoded (PS3.5 A.1 to A.3).
_PLAIN = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2")
_ERRORS = {
  kind.__name__: kind for kind in (errors.DataError, errors.ConfigError)
}


def is_compressed(content: bytes) -> bool:
  """Returns whether a DICOM file is not known to have plain pixels.

  Without pydicom, which is asked, False: `dicom` reports that it is missing.
  """
  try:
    from pydicom import filereader
  except ImportError:
    return False
  if content[128:132] != b"DICM":  # its syntax is a guess
    return True
  file = io.BytesIO(content)
  file.seek(132)
  try:
    meta = filereader.read_dataset(
      file,
      is_implicit_VR=False,
      is_little_endian=True,
      stop_when=lambda tag, vr, length: tag >> 16 != 2,
    )
    return meta.get("TransferSyntaxUID") not in _PLAIN
  except Exception:  # a damaged file may raise anything in a parser
    return True


def read_dicom(content: bytes, *, name: str, bits: int, max_bytes: int) -> Film:
  """Decodes a file as `dicom.read_dicom` does, in another process.

  Args:
    content: the file.
    name: of the file, for messages.
    bits: of the result, 8 or 16.
    max_bytes: most bytes of a file, and of its pixels.

  Returns:
    The levels, remarks on the header and the spacing.

  Raises:
    DataError: the file cannot be used, or its decoder crashed.
    ConfigError: pydicom is not installed.
    ResourceError: no process can be started.
  """
  try:
    reply, pixels = _pool(os.getpid()).ask(
      {"name": name, "bits": bits}, content, max_bytes=max_bytes
    )
  except _CrashError as error:
    raise errors.DataError(
      f"The DICOM file {name} cannot be used: {error}. It is damaged, or "
      "compressed in a way that the decoder does not support. Export it again "
      "as one uncompressed grey frame, or leave it out."
    ) from error
  if kind := _ERRORS.get(reply.get("error", "")):
    raise kind(str(reply["message"]))
  levels = np.frombuffer(pixels, {8: np.uint8, 16: np.uint16}[bits])
  spacing = None
  if reply["spacing"]:
    rows, columns, element = reply["spacing"]
    spacing = Spacing(float(rows), float(columns), str(element))
  return Film(levels.reshape(reply["shape"]), tuple(reply["remarks"]), spacing)


class _CrashError(Exception):
  """A process ended before it answered, or its answer is none.

  Args:
    message: the cause.
    is_final: whether the file took too long, which another try would, too.
  """

  def __init__(self, message: str, *, is_final: bool):
    super().__init__(message)
    self.is_final = is_final


class _Decoder:
  """One process, which decodes one file after the other."""

  def __init__(self, max_bytes: int):
    """Starts the process and waits until it is ready."""
    self._max_bytes = max_bytes
    self._process = subprocess.Popen(
      [
        *(sys.executable, "-P", "-m", _MODULE),
        *(str(MEMORY), str(max_bytes), str(math.ceil(SECONDS))),
      ],
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      stderr=subprocess.DEVNULL,
      env={
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path)),
        "OPENBLAS_NUM_THREADS": "1",  # of threads that take address space
      },
      start_new_session=True,  # Ctrl-C is for the parent
    )
    self._requests = cast(io.BufferedWriter, self._process.stdin)
    self._replies = cast(io.BufferedReader, self._process.stdout)
    self._late, self.has_answered = False, False
    try:
      self._answer(START_SECONDS)
    except _CrashError as error:
      raise errors.ResourceError(
        "The process that decodes compressed DICOM files cannot be started: "
        f"{error}. Free some memory, or convert the files to PNG."
      ) from error

  @property
  def can_answer(self) -> bool:
    """Whether the process runs."""
    return not self._late and self._process.poll() is None

  def ask(
    self, header: Mapping[str, Any], content: bytes
  ) -> pipe_messages.Message:
    """Sends a file and returns the reply.

    Raises:
      _CrashError: the process ended, or took too long.
    """
    reply = self._answer(SECONDS, request=(header, content))
    self.has_answered = True
    return reply

  def _answer(
    self, seconds: float, request: tuple[Mapping[str, Any], bytes] | None = None
  ) -> pipe_messages.Message:
    timer = threading.Timer(seconds, self._stop_late)
    timer.start()
    try:
      if request:
        pipe_messages.send(self._requests, *request)
      return pipe_messages.receive(self._replies, most=self._max_bytes)
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
      with contextlib.suppress(subprocess.TimeoutExpired):
        self._process.wait(1)  # its status may come after the end of its pipe
      self.close()
      raise _CrashError(self._cause(seconds), is_final=self._late) from error
    except BaseException:  # Ctrl-C: the reply would be taken for the next one's
      self.close()
      raise
    finally:
      timer.cancel()
      timer.join()

  def _stop_late(self) -> None:
    self._late = True
    self._process.kill()

  def _cause(self, seconds: float) -> str:
    status = self._process.returncode
    if self._late or status == -getattr(signal, "SIGXCPU", 0):
      return f"its decoder took longer than {seconds:g} seconds"
    if status == pipe_messages.OUT_OF_MEMORY:
      return f"decoding it needs more than {MEMORY // 2**20} MiB of memory"
    how = f"status {status}"
    with contextlib.suppress(ValueError):
      how = signal.Signals(-status).name
    return f"the decoder crashed on this file ({how})"

  def close(self) -> None:
    """Ends the process."""
    self._process.kill()
    self._process.wait()
    for pipe in (self._requests, self._replies):
      with contextlib.suppress(OSError):  # of what could not be sent
        pipe.close()


class _Pool:
  """Processes that wait for files; threads share them."""

  def __init__(self, size: int):
    self._places = threading.BoundedSemaphore(size)
    self._idle: collections.deque[_Decoder] = collections.deque()

  def ask(
    self, header: Mapping[str, Any], content: bytes, *, max_bytes: int
  ) -> pipe_messages.Message:
    """Has a file decoded; starts a process if none is idle.

    An earlier file may have damaged the memory of its process. A file is
    therefore blamed for a crash only if it is the first one of a process.

    Raises:
      _CrashError: the process ended, or took too long.
    """
    with self._places:
      decoder = self._taken() or _Decoder(max_bytes)
      try:
        reply = decoder.ask(header, content)
      except _CrashError as error:
        if error.is_final or not decoder.has_answered:
          raise
        decoder = _Decoder(max_bytes)
        reply = decoder.ask(header, content)
      self._idle.append(decoder)
      return reply

  def _taken(self) -> _Decoder | None:
    while self._idle:
      decoder = self._idle.pop()
      if decoder.can_answer:
        return decoder
      decoder.close()
    return None

  def close(self) -> None:
    """Ends the idle processes."""
    while self._idle:
      self._idle.pop().close()


@functools.cache
def _pool(pid: int) -> _Pool:
  """Returns the processes of this process; one that forked has its own."""
  del pid
  pool = _Pool(min(_MOST, os.cpu_count() or 1))
  atexit.register(pool.close)
  return pool
