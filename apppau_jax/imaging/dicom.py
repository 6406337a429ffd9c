"""One radiograph from a DICOM file, as it is meant to be seen; no word of it.

The order is that of DICOM PS3.3: modality look-up table or rescaling (C.11.1),
then the values of interest by look-up table or window (C.11.2), then
MONOCHROME1 is turned round, so that bone is bright. Only the elements named in
`_ELEMENTS` are read at all: who the patient is never comes into memory.
"""

import io
from collections.abc import Callable, Sequence
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
# A file of this syntax is unpacked whole before its size is known.
_DEFLATED = b"1.2.840.10008.1.2.1.99"
_META_BYTES = 4096


def is_dicom(content: bytes) -> bool:
  """Whether bytes are those of a DICOM file (PS3.10: 128 bytes, then DICM)."""
  return content[128:132] == b"DICM"


def read_dicom(
  content: bytes, *, name: str, check_size: Callable[..., None], bits: int = 8
) -> np.ndarray:
  """Decodes a single grey frame.

  A look-up table of interest is taken from its lowest value (black) to its
  highest (white), a window from its lower end to its upper; the first, where
  there are several, a table before a window. Without either the whole frame
  is, from its lowest value to its highest. Padding becomes black.

  Args:
    content: the file.
    name: what messages call it.
    check_size: called with (height, width, name=), before decoding.
    bits: of the result, 8 or 16: white is 255 or 65535.

  Returns:
    uint8 or uint16 [h, w], dense parts bright.

  Raises:
    DataError: anything but one grey frame that can be decoded.
    ConfigError: pydicom is not installed.
  """
  pydicom = _library(name)
  if _DEFLATED in content[:_META_BYTES]:
    raise _refusal(name, "it is deflated as a whole, which is not read")
  try:
    told = pydicom.dcmread(io.BytesIO(content), specific_tags=[*_ELEMENTS])
    if reason := _unfit(told):
      raise _refusal(name, reason)
    check_size(told.Rows, told.Columns, name=name)
    return _displayed(told, told.pixel_array.astype(np.int32), bits=bits)
  except (DataError, MemoryError):
    raise
  except Exception as error:  # a damaged file may raise anything in a parser
    # Not its words: they may quote the file.
    reason = f"it is damaged or not understood ({type(error).__name__})"
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
  # Odd values are no concern of ours, and its warnings would print them.
  pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
  return pydicom


def _refusal(name: str, reason: str) -> DataError:
  return DataError(
    f"The DICOM file {name} cannot be used: {reason}. Export it again as one "
    "uncompressed grey frame, or leave it out."
  )


def _unfit(told: Any) -> str:
  """Why a header promises no picture for us; "" if it does."""
  from pydicom.pixels import get_decoder

  if "PixelData" not in told:
    return "it has no pixel data"
  if int(told.get("NumberOfFrames") or 1) != 1:
    return f"it has {int(told.NumberOfFrames)} frames, where one was expected"
  kind = told.get("PhotometricInterpretation", "not stated")
  if kind not in _GREY or told.get("SamplesPerPixel", 1) != 1:
    return f"its pixels are {kind}, where {' or '.join(_GREY)} was expected"
  if told.get("BitsAllocated", 16) > 16:
    return f"it has {told.BitsAllocated} bits a pixel, where 16 are read"
  syntax = told.file_meta.get("TransferSyntaxUID")
  if syntax is None:
    return "it does not say how its pixels are encoded (transfer syntax)"
  try:
    available = get_decoder(syntax).is_available
  except NotImplementedError:
    return f"its pixels are encoded as {syntax.name}, which is not read"
  if not available:
    return (
      f"nothing that is installed decodes its compression, {syntax.name} (the "
      "extra dicom brings what decodes most)"
    )
  return ""


def _displayed(told: Any, frame: np.ndarray, *, bits: int) -> np.ndarray:
  """Stored values, int32 [h, w], to what a viewer shows, levels [h, w].

  Worked out once for each of the 65,536 values that there can be.
  """
  place = frame - frame.min()
  stored = np.arange(frame.min(), frame.max() + 1)
  occurs = np.zeros(len(stored), bool)
  occurs[place] = True
  return _grey(told, stored, occurs=occurs, bits=bits)[place]


def _grey(
  told: Any, stored: np.ndarray, *, occurs: np.ndarray, bits: int
) -> np.ndarray:
  """Grey level [n] of stored values [n]; `occurs` says which do."""
  little = told.file_meta.TransferSyntaxUID.is_little_endian
  padding = _padding(told, stored)
  values = stored.astype(np.float64)
  if told.get("ModalityLUTSequence"):
    values, _ = _look_up(values, told.ModalityLUTSequence[0], little=little)
  elif told.get("RescaleSlope") is not None:
    values = values * float(told.RescaleSlope)
    values += float(told.get("RescaleIntercept") or 0.0)
  if told.get("VOILUTSequence"):
    values, table = _look_up(values, told.VOILUTSequence[0], little=little)
    low, high = table.min(), table.max()
    grey = grey_levels.quantize(
      (values - low) / max(high - low, 1.0), bits=bits
    )
  elif told.get("WindowWidth") is not None:
    grey = grey_levels.quantize(_windowed(told, values), bits=bits)
  else:
    grey = grey_levels.stretch(values, where=occurs & ~padding, bits=bits)
  if told.PhotometricInterpretation == "MONOCHROME1":
    grey = ~grey
  grey[padding] = 0
  return grey


def _padding(told: Any, stored: np.ndarray) -> np.ndarray:
  """Where there is no picture, as outside a collimator: bool [n]."""
  one = told.get("PixelPaddingValue")
  if one is None:
    return np.zeros(stored.shape, bool)
  other = told.get("PixelPaddingRangeLimit")
  ends = (one, one if other is None else other)
  return (stored >= min(ends)) & (stored <= max(ends))


def _look_up(
  values: np.ndarray, item: Any, *, little: bool
) -> tuple[np.ndarray, np.ndarray]:
  """Values through a table, and the table (PS3.3 C.11.1.1, C.11.2.1.1)."""
  entries, first = item.LUTDescriptor[0] or 2**16, item.LUTDescriptor[1]
  table = item.LUTData
  if isinstance(table, bytes):
    wide = len(table) >= 2 * entries
    order = "<" if little else ">"
    table = np.frombuffer(table, f"{order}u2" if wide else np.uint8)
  table = np.atleast_1d(np.asarray(table, np.float64))[:entries]
  place = np.clip(values - first, 0, len(table) - 1).astype(np.int64)
  return table[place], table


def _windowed(told: Any, values: np.ndarray) -> np.ndarray:
  """Fractions of the range shown, also outside [0, 1] (PS3.3 C.11.2.1.2-3)."""
  center, width = _first(told.WindowCenter), _first(told.WindowWidth)
  function = told.get("VOILUTFunction") or "LINEAR"
  if width < (1 if function == "LINEAR" else 1e-9):
    raise ValueError("a window without a width")
  if function == "LINEAR" and width == 1:  # a threshold
    return (values > center - 0.5).astype(np.float64)
  if function == "LINEAR":
    return (values - (center - 0.5)) / (width - 1) + 0.5
  if function == "LINEAR_EXACT":
    return (values - center) / width + 0.5
  if function == "SIGMOID":
    return 1.0 / (1.0 + np.exp(-4.0 * (values - center) / width))
  raise ValueError("a window of an unknown function")


def _first(value: Any) -> float:
  """The first of one or several numbers."""
  return float(value[0] if isinstance(value, Sequence) else value)
