"""Messages between a process and the one that decodes for it, over pipes.

A message is the length of its header (4 bytes, big endian), the header (JSON),
and as many bytes as the header's `bytes` says. Neither side runs what it reads.
"""

import json
import struct
from collections.abc import Mapping
from io import BufferedIOBase
from typing import Any

OUT_OF_MEMORY = 12  # exit status of a process that decodes
_MOST_HEADER = 2**16  # bytes
_LENGTH = struct.Struct(">I")
Message = tuple[dict[str, Any], bytearray]


def send(
  stream: BufferedIOBase,
  header: Mapping[str, Any],
  content: bytes | bytearray = b"",
) -> None:
  """Writes one message."""
  text = json.dumps({**header, "bytes": len(content)}).encode("ascii")
  stream.write(_LENGTH.pack(len(text)) + text)
  stream.write(content)
  stream.flush()


def receive(stream: BufferedIOBase, *, most: int) -> Message:
  """Reads one message of at most `most` bytes after its header.

  Raises:
    EOFError: the stream ended.
    ValueError: it is no such message.
  """
  (length,) = _LENGTH.unpack(_exactly(stream, _LENGTH.size))
  if length > _MOST_HEADER:
    raise ValueError(f"a header of {length} bytes")
  header = json.loads(_exactly(stream, length))
  size = header["bytes"]
  if not 0 <= size <= most:
    raise ValueError(f"a message of {size} bytes")
  return header, _exactly(stream, size)


def _exactly(stream: BufferedIOBase, size: int) -> bytearray:
  content = bytearray(size)
  view, done = memoryview(content), 0
  while done < size:
    read = stream.readinto(view[done:])
    if not read:
      raise EOFError
    done += read
  return content
