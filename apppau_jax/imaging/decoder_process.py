"""The process that decodes compressed DICOM files for `imaging.isolated`.

It reads requests from its standard input and writes replies to its standard
output, see `pipe_messages`. It imports neither JAX nor TFDS, has limits of
memory and time, and ends with its input.
"""

import contextlib
import os
import sys
from collections.abc import Mapping
from io import BufferedReader, BufferedWriter
from typing import Any

from apppau_jax import errors
from apppau_jax.imaging import decode, dicom, pipe_messages
from apppau_jax.imaging.pipe_messages import Message


def _limit(memory: int) -> None:
  """Limits the address space, and writes no core with a patient's image."""
  with contextlib.suppress(ImportError, ValueError):  # Windows has no limits
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))


def _limit_time(seconds: int) -> None:
  """Allows processor time for one more file, should the parent be killed."""
  with contextlib.suppress(ImportError, ValueError):
    import resource

    used = resource.getrusage(resource.RUSAGE_SELF)
    limit = int(used.ru_utime + used.ru_stime) + seconds + 1
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (limit, hard))


def _answer(header: Mapping[str, Any], content: bytes) -> Message:
  """Decodes one file; what a parser raises becomes a reply."""
  name = header["name"]
  try:
    film = dicom.read_dicom(
      content, name=name, check_size=decode.check_size, bits=header["bits"]
    )
  except MemoryError:
    os._exit(pipe_messages.OUT_OF_MEMORY)
  except errors.UserError as error:
    return {"error": type(error).__name__, "message": str(error)}, bytearray()
  facts = {
    "shape": film.levels.shape,
    "remarks": film.remarks,
    "spacing": film.spacing,
  }
  return facts, bytearray(film.levels.tobytes())


def _own_pipes() -> tuple[BufferedReader, BufferedWriter]:
  """Takes standard input and output away from libraries that print."""
  requests = os.fdopen(os.dup(0), "rb")
  replies = os.fdopen(os.dup(1), "wb")
  with open(os.devnull, "r+b") as nothing:
    for number in (0, 1, 2):
      os.dup2(nothing.fileno(), number)
  return requests, replies


def main(memory: int, most: int, seconds: int) -> None:
  """Answers requests until the input ends.

  Args:
    memory: most bytes of address space.
    most: most bytes of a file.
    seconds: of processor time for each file.
  """
  requests, replies = _own_pipes()
  with contextlib.suppress(ImportError):
    import pydicom.pixels  # noqa: F401 - before memory is limited
  _limit(memory)
  pipe_messages.send(replies, {"ready": True})
  with contextlib.suppress(EOFError):
    while True:
      header, content = pipe_messages.receive(requests, most=most)
      _limit_time(seconds)
      pipe_messages.send(replies, *_answer(header, bytes(content)))


if __name__ == "__main__":
  main(*map(int, sys.argv[1:]))
