"""Decode one radiograph from a DICOM file, as a viewer displays it.

The order is that of DICOM PS3.3: modality look-up table or rescaling (C.11.1),
then the values of interest by look-up table or window (C.11.2), then
MONOCHROME1 is inverted, so that bone is bright. Only the elements named in
`_ELEMENTS` are read, so that patient data never come into memory.
"""

import io
from collections.abc import Callable
from typing import Any

import numpy as np

from apppau_jax.errors import ConfigError, DataError
from apppau_jax.imaging import grey_levels

_ELEMENTS = (
  *("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel"),
  *("PhotometricInterpretation", "PlanarConfiguration"),
  *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
  *("PixelPaddingValue", "PixelPaddingRangeLimit"),
  *("ModalityLUTSequence", "RescaleSlope", "RescaleIntercept"),
  *("VOILUTSequence", "VOILUTFunction", "WindowCenter", "WindowWidth"),
  *("ExtendedOffsetTable", "ExtendedOffsetTableLengths", "PixelData"),
)
_GREY = ("MONOCHROME1", "MONOCHROME2")
# A file of this syntax is inflated as a whole before its size is known.
_DEFLATED = b"1.2.840.10008.1.2.1.99"
_META_BYTES = 4096


def is_dicom(content: bytes) -> bool:
  """Returns whether bytes are a DICOM file (PS3.10: 128 bytes, then DICM)."""
  return content[128:132] == b"DICM"


def read_dicom(
  content: bytes, *, name: str, check_size: Callable[..., None], bits: int = 8
) -> np.ndarray:
  """Decodes a single grey frame.

  Black and white are the lowest and highest value of the look-up table of
  interest, else the ends of the window, else the lowest and highest value of
  the frame. The first of several tables or windows is used. Padding becomes
  black.

  Args:
    content: the file.
    name: of the file, for messages.
    check_size: called with (height, width, name=) before decoding.
    bits: of the result, 8 or 16; white is 255 or 65535.

  Returns:
    uint8 or uint16 [h, w], dense parts bright.

  Raises:
    DataError: anything but one grey frame that can be decoded.
    ConfigError: pydicom is not installed.
  """
  pydicom = _library(name)
  if _DEFLATED in content[:_META_BYTES]:
    raise _refusal(name, "it is deflated as a whole, which is not supported")
  try:
    header = pydicom.dcmread(io.BytesIO(content), specific_tags=[*_ELEMENTS])
    if reason := _unfit(header):
      raise _refusal(name, reason)
    check_size(header.Rows, header.Columns, name=name)
    frame = header.pixel_array.astype(np.int32)
    if frame.ndim != 2:  # pydicom takes more pixel data for more frames
      raise _refusal(name, f"it has {len(frame)} frames instead of one")
    return _displayed(header, frame, bits=bits)
  except (DataError, MemoryError):
    raise
  except Exception as error:  # a damaged file may raise anything in a parser
    # The parser's message is left out, since it may quote the file.
    reason = f"it is damaged or not supported ({type(error).__name__})"
    raise _refusal(name, reason) from error


def _library(name: str) -> Any:
  try:
    import pydicom
    import pydicom.config
  except ImportError as error:
    raise ConfigError(
      f"{name} is a DICOM file, and pydicom, which reads those, is not "
      "installed. Install the extra: python -m pip install "
      "'apppau_jax[dicom]' (in a checkout: -e '.[dicom]'), or convert the file "
      "to 16-bit PNG."
    ) from error
  # Warnings about invalid values would print them.
  pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
  return pydicom


def _refusal(name: str, reason: str) -> DataError:
  return DataError(
    f"The DICOM file {name} cannot be used: {reason}. Export it again as one "
    "uncompressed grey frame, or leave it out."
  )


def _unfit(header: Any) -> str:
  """Returns why a file cannot be decoded, by its header, or ""."""
  from pydicom.pixels import get_decoder

  if "PixelData" not in header:
    return "it has no pixel data"
  if int(header.get("NumberOfFrames") or 1) != 1:
    return f"it has {int(header.NumberOfFrames)} frames instead of one"
  kind = header.get("PhotometricInterpretation", "not stated")
  if kind not in _GREY or header.get("SamplesPerPixel", 1) != 1:
    return f"its pixels are {kind} instead of {' or '.join(_GREY)}"
  if header.get("BitsAllocated", 16) > 16:
    return f"it has {header.BitsAllocated} bits a pixel; at most 16 are read"
  syntax = header.file_meta.get("TransferSyntaxUID")
  if syntax is None:
    return "it does not state how its pixels are encoded (transfer syntax)"
  try:
    available = get_decoder(syntax).is_available
  except NotImplementedError:
    return f"its pixels are encoded as {syntax.name}, which is not supported"
  if not available:
    return (
      f"no installed package decodes its compression, {syntax.name} (the extra "
      "dicom installs packages that decode most)"
    )
  return ""


def _displayed(header: Any, frame: np.ndarray, *, bits: int) -> np.ndarray:
  """Maps stored values, int32 [h, w], to displayed levels [h, w].

  The mapping is evaluated once for each value between lowest and highest, of
  which there are at most 65,536.
  """
  place = frame - frame.min()
  stored = np.arange(frame.min(), frame.max() + 1, dtype=np.int32)
  occurs = np.zeros(len(stored), bool)
  occurs[place] = True
  return _grey(header, stored, occurs=occurs, bits=bits)[place]


def _grey(
  header: Any, stored: np.ndarray, *, occurs: np.ndarray, bits: int
) -> np.ndarray:
  """Maps stored values [n] to levels [n]; `occurs` marks those in the frame."""
  from pydicom.pixels import apply_modality_lut

  padding = _padding(header, stored)
  values = apply_modality_lut(stored, header).astype(np.float64)
  if header.get("VOILUTSequence"):
    grey = grey_levels.quantize(_looked_up(header, values), bits=bits)
  elif header.get("WindowWidth") is not None:
    grey = grey_levels.quantize(_windowed(header, values), bits=bits)
  else:
    grey = grey_levels.stretch(values, where=occurs & ~padding, bits=bits)
  if header.PhotometricInterpretation == "MONOCHROME1":
    grey = ~grey
  grey[padding] = 0
  return grey


def _padding(header: Any, stored: np.ndarray) -> np.ndarray:
  """Marks values that stand for no image, as outside a collimator; bool [n]."""
  one = header.get("PixelPaddingValue")
  if one is None:
    return np.zeros(stored.shape, bool)
  other = header.get("PixelPaddingRangeLimit")
  ends = (one, one if other is None else other)
  return (stored >= min(ends)) & (stored <= max(ends))


def _looked_up(header: Any, values: np.ndarray) -> np.ndarray:
  """Maps values [n] through the table of interest, to fractions of its range.

  By hand (PS3.3 C.11.2.1.1): pydicom's `apply_voi` casts the position in the
  table to the type of its entries, and so wraps round in tables of 8 bits with
  more than 256 entries, and where values lie 65,536 or more above the first.
  """
  item = header.VOILUTSequence[0]
  entries, first = item.LUTDescriptor[0] or 2**16, item.LUTDescriptor[1]
  table = item.LUTData
  if isinstance(table, bytes):
    order = "<" if header.file_meta.TransferSyntaxUID.is_little_endian else ">"
    wide = len(table) >= 2 * entries
    table = np.frombuffer(table, f"{order}u2" if wide else np.uint8)
  table = np.atleast_1d(np.asarray(table, np.float64))[:entries]
  place = np.clip(values - first, 0, len(table) - 1).astype(np.int64)
  return (table[place] - table.min()) / max(np.ptp(table), 1.0)


def _windowed(header: Any, values: np.ndarray) -> np.ndarray:
  """Maps values [n] to fractions of the window (PS3.3 C.11.2.1.2-3)."""
  from pydicom import Dataset
  from pydicom.pixels import apply_windowing

  # Unsigned values of one bit: pydicom then returns fractions.
  window = Dataset()
  window.PhotometricInterpretation = header.PhotometricInterpretation
  window.BitsStored, window.PixelRepresentation = 1, 0
  window.WindowCenter = header.WindowCenter
  window.WindowWidth = header.WindowWidth
  window.VOILUTFunction = header.get("VOILUTFunction") or "LINEAR"
  return apply_windowing(values, window)
