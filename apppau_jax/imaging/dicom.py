"""Decode one radiograph from a DICOM file, as a viewer displays it.

Only the elements named in `_ELEMENTS` are read, so that patient data never come
into memory.
"""

import io
from collections.abc import Callable
from typing import Any

from apppau_jax.errors import ConfigError, DataError
from apppau_jax.imaging import (
  dicom_display,
  dicom_header,
  dicom_pixels,
  grey_levels,
)
from apppau_jax.imaging.dicom_header import ElementError, element
from apppau_jax.imaging.film import Film

_ELEMENTS = (
  *("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel"),
  *("PhotometricInterpretation", "PlanarConfiguration"),
  *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
  *("PixelPaddingValue", "PixelPaddingRangeLimit"),
  *("ModalityLUTSequence", "RescaleSlope", "RescaleIntercept"),
  *("VOILUTSequence", "VOILUTFunction", "WindowCenter", "WindowWidth"),
  *("PresentationLUTSequence", "PresentationLUTShape"),
  *("ViewPosition", "PatientOrientation", *dicom_header.SPACINGS),
  *("ExtendedOffsetTable", "ExtendedOffsetTableLengths", "PixelData"),
)
_GREY = ("MONOCHROME1", "MONOCHROME2")
_COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
_LOSSY = 4  # how far equal channels may differ after a compression with loss
# A file of this syntax is inflated as a whole before its size is known.
_DEFLATED = b"1.2.840.10008.1.2.1.99"
_META_BYTES = 4096


def is_deflated(content: bytes) -> bool:
  """Returns whether a DICOM file is deflated as a whole, by its beginning."""
  return _DEFLATED in content[:_META_BYTES]


def read_dicom(
  content: bytes, *, name: str, check_size: Callable[..., None], bits: int = 8
) -> Film:
  """Decodes a single grey frame.

  Black and white are 0 and the highest value of the look-up table of interest,
  else the ends of the window, else the lowest and highest value of the frame.
  The first of several tables or windows is used. Padding becomes black.
  Colour of 8 bits is accepted if its channels are equal.

  Args:
    content: the file.
    name: of the file, for messages.
    check_size: called with (height, width, name=) before decoding.
    bits: of the result, 8 or 16; white is 255 or 65535.

  Returns:
    The levels, dense parts bright, remarks on the header and the spacing.

  Raises:
    DataError: anything but one grey frame that can be decoded.
    ConfigError: pydicom is not installed.
  """
  pydicom = library(name)
  if is_deflated(content):
    raise _refusal(name, "it is deflated as a whole, which is not supported")
  try:
    header = pydicom.dcmread(
      io.BytesIO(content), specific_tags=[*_ELEMENTS], force=True
    )
    _state_syntax(header)
    if reason := _unfit(header):
      raise _refusal(name, reason)
    check_size(header.Rows, header.Columns, name=name)
    return _film(header, name=name, bits=bits)
  except ElementError as error:
    raise _refusal(name, str(error)) from error
  except (DataError, MemoryError):
    raise
  except Exception as error:  # a damaged file may raise anything in a parser
    # The parser's message is left out, since it may quote the file.
    reason = f"it is damaged or not supported ({type(error).__name__})"
    raise _refusal(name, reason) from error


def library(name: str) -> Any:
  """Returns pydicom.

  Args:
    name: of a file, for messages.

  Raises:
    ConfigError: it is not installed.
  """
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


def _state_syntax(header: Any) -> None:
  """Adds the transfer syntax to a file without one, as it was read."""
  from pydicom import uid

  if "PixelData" not in header or "TransferSyntaxUID" in header.file_meta:
    return
  if header["PixelData"].is_undefined_length:  # compressed somehow
    return
  implicit, little = header.original_encoding
  of_explicit = (
    uid.ExplicitVRLittleEndian if little else uid.ExplicitVRBigEndian
  )
  header.file_meta.TransferSyntaxUID = (
    uid.ImplicitVRLittleEndian if implicit else of_explicit
  )


def _unfit(header: Any) -> str:
  """Returns why a file cannot be decoded, by its header, or ""."""
  from pydicom.pixels import get_decoder

  if "PixelData" not in header:
    return "it has no pixel data"
  if int(header.get("NumberOfFrames") or 1) != 1:
    return f"it has {int(header.NumberOfFrames)} frames instead of one"
  if reason := _unfit_kind(header):
    return reason
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


def _unfit_kind(header: Any) -> str:
  """Returns why the kind of its pixels cannot be decoded, or ""."""
  kind = header.get("PhotometricInterpretation") or "not stated"
  if kind not in (*_GREY, *_COLOUR):
    return (
      f"its pixels are {kind} and not grey "
      f"({element('PhotometricInterpretation')})"
    )
  samples, expected = (
    header.get("SamplesPerPixel", 1),
    1 if kind in _GREY else 3,
  )
  if samples != expected:
    return (
      f"{element('SamplesPerPixel')} is {samples}, but its pixels are {kind}"
    )
  allocated = header.get("BitsAllocated", 16)
  if allocated > (16 if kind in _GREY else 8):
    return (
      f"it has {allocated} bits a pixel ({element('BitsAllocated')}); at most "
      "16 are read, of colour 8"
    )
  stored = header.get("BitsStored", allocated)
  if not 1 <= stored <= allocated:
    return f"{element('BitsStored')} is {stored} of {allocated} bits"
  return ""


def _film(header: Any, *, name: str, bits: int) -> Film:
  remarks, spacing = dicom_header.remarks(header), dicom_header.spacing(header)
  if header.PhotometricInterpretation in _GREY:
    values = dicom_pixels.stored_values(header)
    grey = dicom_display.grey(header, values, bits=bits)
    return Film(grey, remarks, spacing)
  tolerance = _LOSSY if _is_lossy(header) else 0
  colours = dicom_pixels.decoded(header)
  grey = grey_levels.equal_channels(colours, tolerance=tolerance, name=name)
  return Film(grey_levels.deepen(grey, bits=bits), remarks, spacing)


def _is_lossy(header: Any) -> bool:
  from pydicom import uid

  syntax = header.file_meta.TransferSyntaxUID
  lossless = (
    *(uid.JPEGLossless, uid.JPEGLosslessSV1, uid.JPEGLSLossless),
    *(uid.JPEG2000Lossless, uid.RLELossless),
  )
  return syntax.is_compressed and syntax not in lossless
