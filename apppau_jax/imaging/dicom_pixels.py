"""The pixels of a DICOM file as it stores them."""

import struct
from typing import Any

import numpy as np

from apppau_jax.imaging.dicom_header import ElementError, element

# Markers of JPEG (SOF0 to SOF15) and JPEG-LS before height and width.
_FRAME_HEADERS = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})


def stored_values(header: Any) -> np.ndarray:
  """Returns the values of the pixels, without the bits that are not stored.

  Values that lie in the upper bits (High Bit above Bits Stored - 1) are moved
  down, which pydicom does not do. Of JPEG 2000 pydicom keeps the unused bits.

  Raises:
    ElementError: an element contradicts the pixel data or another element.
  """
  stored, below = header.BitsStored, _unused_below(header)
  header.BitsStored = stored + below
  values = decoded(header)
  header.BitsStored = stored
  _check_lossy(header, values)
  unused = 8 * values.itemsize - stored
  np.left_shift(values, unused - below, out=values)  # in place: films are large
  return np.right_shift(values, unused, out=values)


def _check_lossy(header: Any, values: np.ndarray) -> None:
  """Refuses larger values than Bits Stored of a compression with loss.

  Bits above those stored may hold an overlay, but not after such a compression.
  """
  from pydicom import uid

  lossy = (uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit)
  if header.PixelRepresentation or (
    header.file_meta.TransferSyntaxUID not in lossy
  ):
    return
  if int(values.max()) >> header.BitsStored:
    raise ElementError(
      f"{element('BitsStored')} is {header.BitsStored}, but "
      f"{element('PixelData')} holds the value {values.max()}"
    )


def _unused_below(header: Any) -> int:
  """Returns how many bits below the lowest stored bit are unused.

  Raises:
    ElementError: the place of the stored bits is impossible, or unclear after
      a compression.
  """
  from pydicom import uid

  high = header.get("HighBit")
  if high is None or high == header.BitsStored - 1:
    return 0
  syntax = header.file_meta.TransferSyntaxUID
  if not header.BitsStored <= high + 1 <= header.BitsAllocated or (
    syntax.is_compressed and syntax != uid.RLELossless
  ):
    raise ElementError(
      f"{element('HighBit')} {high} does not fit {element('BitsStored')} "
      f"{header.BitsStored}"
    )
  return high + 1 - header.BitsStored


def decoded(header: Any) -> np.ndarray:
  """Returns the frame [h, w] or [h, w, 3] that pydicom decodes.

  Raises:
    ElementError: Rows and Columns contradict the pixel data.
  """
  from pydicom.pixels import pixel_array

  if header.file_meta.TransferSyntaxUID.is_compressed:
    _check_stream(header)
  else:
    _check_length(header)
    if (values := _words(header)) is not None:
      return values
  return pixel_array(header, index=0)


def _words(header: Any) -> np.ndarray | None:
  """Returns a whole uncompressed grey frame of 16 bits; None of any other.

  pydicom would hold three copies of a film of 128 MB. Here the one in the
  header is gone afterwards.
  """
  samples, count = (
    header.get("SamplesPerPixel", 1),
    header.Rows * header.Columns,
  )
  if samples != 1 or header.BitsAllocated != 16:
    return None
  if not count or len(header.PixelData) < 2 * count:
    return None  # pydicom says what is wrong
  order = "<" if header.file_meta.TransferSyntaxUID.is_little_endian else ">"
  kind = np.dtype(f"{order}{'i' if header.PixelRepresentation else 'u'}2")
  values = np.frombuffer(header.PixelData, kind, count=count)
  del header.PixelData
  return values.astype(kind.newbyteorder("=")).reshape(
    header.Rows, header.Columns
  )


def _check_length(header: Any) -> None:
  """Refuses uncompressed pixel data that are longer than the frame.

  Zeros that fill up less than a row are accepted.
  """
  samples = header.Columns * header.get("SamplesPerPixel", 1)
  if header.PhotometricInterpretation == "YBR_FULL_422":
    samples = header.Columns * 2
  row = samples * header.BitsAllocated
  excess = header.PixelData[-(-header.Rows * row // 8) :]
  if len(excess) > 1 and (8 * len(excess) >= row or excess.strip(b"\0")):
    raise ElementError(
      f"{element('PixelData')} is {len(excess):,} bytes longer than "
      f"{element('Rows')} x {element('Columns')}, "
      f"{header.Rows} x {header.Columns}"
    )


def _check_stream(header: Any) -> None:
  """Checks a compressed frame against the header, and adopts its precision.

  GDCM ends the whole process where Bits Stored differs from the precision.
  """
  from pydicom.encaps import get_frame

  frame = get_frame(header.PixelData, 0, number_of_frames=1)
  stated = _stream_header(frame)
  if stated is None:  # RLE
    return
  precision, *size = stated
  if size != [header.Rows, header.Columns]:
    raise ElementError(
      f"{element('Rows')} x {element('Columns')} are "
      f"{header.Rows} x {header.Columns}, but {element('PixelData')} holds "
      f"{size[0]} x {size[1]}"
    )
  if precision > header.BitsAllocated:
    raise ElementError(
      f"{element('BitsAllocated')} is {header.BitsAllocated}, but "
      f"{element('PixelData')} holds {precision} bits"
    )
  header.BitsStored = precision


def _stream_header(stream: bytes) -> tuple[int, int, int] | None:
  """Returns (precision, height, width) of a JPEG, JPEG-LS or JPEG 2000."""
  if stream[:4] == b"\xff\x4f\xff\x51":  # JPEG 2000: SOC, SIZ
    right, bottom, left, top = struct.unpack(">4I", stream[8:24])
    return (stream[42] & 0x7F) + 1, bottom - top, right - left
  at = 2
  while stream[at : at + 1] == b"\xff" and len(stream) >= at + 9:
    marker = stream[at + 1]
    if marker == 0xFF:  # filling
      at += 1
      continue
    if marker in _FRAME_HEADERS:
      return struct.unpack(">BHH", stream[at + 4 : at + 9])
    at += 2 + int.from_bytes(stream[at + 2 : at + 4], "big")
  return None
