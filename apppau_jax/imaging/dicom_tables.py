"""Look-up tables of a DICOM header, as pydicom's functions take them."""

from typing import Any

import numpy as np

from apppau_jax.imaging.dicom_header import ElementError, element


def first_item(header: Any, keyword: str) -> Any | None:
  """Returns the first item of a sequence of tables; None without data."""
  items = header.get(keyword)
  if not items:
    return None
  filled = (items[0].get(k) for k in ("LUTDescriptor", "LUTData"))
  return None if any(part in (None, "", b"") for part in filled) else items[0]


def table(header: Any, item: Any, *, signed: bool) -> Any:
  """Returns a table with entries of 16 bits, which pydicom applies rightly.

  Its functions wrap round in tables of 8 bits with more than 256 entries, and
  refuse tables of 8 bits that are packed in words.

  Args:
    header: the data set, for the order of bytes.
    item: of a sequence of tables.
    signed: whether what is looked up may be negative; the first value mapped
      is then a signed number, whatever its VR states.
  """
  from pydicom import DataElement, Dataset, config

  count, first, depth = _descriptor(item)
  entries = _entries(header, item.LUTData, count=count, depth=depth)
  if len(entries) < count:
    raise ElementError(
      f"{element('LUTData')} has {len(entries)} entries and not the {count} of "
      f"{element('LUTDescriptor')}"
    )
  if entries.max() >= 2**depth:
    raise ElementError(
      f"{element('LUTDescriptor')} states {depth} bits but "
      f"{element('LUTData')} has the entry {entries.max()}"
    )
  first -= 2**16 if signed and first >= 2**15 else 0
  made = Dataset()
  for keyword, value in (
    ("LUTDescriptor", [count % 2**16, first, 16]),
    ("LUTData", entries.tolist()),
  ):
    tag = item[keyword].tag
    made.add(DataElement(tag, "US", value, validation_mode=config.IGNORE))
  return made


def _descriptor(item: Any) -> tuple[int, int, int]:
  try:
    count, first, depth = (int(value) for value in item.LUTDescriptor)
  except (TypeError, ValueError):
    count, first, depth = 0, 0, 0
  if not (0 <= count <= 2**16 and 1 <= depth <= 16):
    raise ElementError(f"{element('LUTDescriptor')} describes no table")
  return count or 2**16, first, depth


def _entries(header: Any, data: Any, *, count: int, depth: int) -> np.ndarray:
  """Returns the entries of a table, at most `count`; uint16 [n]."""
  if isinstance(data, bytes):
    little = header.file_meta.TransferSyntaxUID.is_little_endian
    words = np.frombuffer(
      data[: len(data) // 2 * 2], "<u2" if little else ">u2"
    )
  else:
    words = np.atleast_1d(np.asarray(data)).astype("<u2")
  if len(words) < count and depth <= 8:  # two entries in each word
    words = words.astype("<u2").view(np.uint8)
  return words[:count].astype(np.uint16)
