"""Tell images from other files by their content, whatever they are called."""

import re
import struct
from pathlib import PurePath

HEAD = 4096  # bytes of a file that decide
SUFFIXES = (
  *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".gif"),
  *(".bmp", ".dib", ".dcm", ".dicom", ".dic", ".dc3", ".ima"),
)
_SIGNATURES = (
  ("PNG", b"\x89PNG\r\n\x1a\n"),
  ("JPEG", b"\xff\xd8\xff"),
  ("TIFF", b"II*\0"),
  ("TIFF", b"MM\0*"),
  ("TIFF", b"II+\0"),  # more than 4 GiB
  ("TIFF", b"MM\0+"),
  ("GIF", b"GIF8"),
)
_OTHERS = (
  ("empty", re.compile(rb"$")),
  ("WebP", re.compile(rb"RIFF....WEBP", re.DOTALL)),
  ("JPEG 2000", re.compile(rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51")),
  ("HEIC or AVIF", re.compile(rb"....ftyp(hei|hev|mif|avi)", re.DOTALL)),
  ("an archive", re.compile(rb"PK|\x1f\x8b|7z\xbc\xaf|BZh|Rar!|\xfd7zXZ")),
  ("PDF", re.compile(rb"%PDF")),
  ("NIfTI", re.compile(rb".{344}n[+i]1\0", re.DOTALL)),
)
_BMP_HEADERS = (12, 40, 52, 56, 64, 108, 124)  # lengths
_JUNK = (
  *("__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"),
  *("@eadir", "$recycle.bin", "system volume information", "lost+found"),
)
# The directory of a medium (PS3.10), which lists images and holds none.
_DIRECTORY = b"1.2.840.10008.1.3.10"
# Value representations of two letters, after which the length has four bytes.
_LONG = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"UC", b"UN", b"UR")
_LONG += (b"UT", b"SV", b"UV")
_FIRST_GROUPS = (0x0002, 0x0008)  # a data set begins with one of them


def is_junk(name: str) -> bool:
  """Returns whether a system or a file manager left a file or folder behind."""
  return name.startswith(".") or name.lower() in _JUNK


def is_image(name: str, head: bytes) -> bool:
  """Returns whether a file is a picture or a DICOM file.

  Args:
    name: of the file; used only to recognise a DICOMDIR.
    head: its first `HEAD` bytes.
  """
  stem = PurePath(name).stem.upper()
  return stem != "DICOMDIR" and image_format(head) is not None


def image_format(head: bytes) -> str | None:
  """Returns PNG, JPEG, TIFF, GIF, BMP or DICOM; None for another content."""
  for name, signature in _SIGNATURES:
    if head.startswith(signature):
      return name
  if head.startswith(b"BM") and _number(head, 14, 4) in _BMP_HEADERS:
    return "BMP"
  return "DICOM" if is_dicom(head) and _DIRECTORY not in head else None


def is_dicom(head: bytes) -> bool:
  """Returns whether bytes begin as a DICOM file, which may be a DICOMDIR.

  It has DICM after 128 bytes (PS3.10), or begins with elements in their order.
  """
  return head[128:132] == b"DICM" or _is_data_set(head[:HEAD])


def description(name: str, head: bytes) -> str:
  """Returns in a few words what a file is that is no image."""
  if _DIRECTORY in head or PurePath(name).stem.upper() == "DICOMDIR":
    return "the directory of a DICOM medium"
  kinds = (kind for kind, begins in _OTHERS if begins.match(head))
  return next(kinds, "unknown content")


def name_of(name: str) -> str:
  """Returns a file's name without the suffix, if that is one of an image.

  Example:
    >>> name_of("film 1.PNG"), name_of("CR.1.2.840")
    ('film 1', 'CR.1.2.840')
  """
  return _SUFFIX.sub("", name)


_SUFFIX = re.compile(
  rf"(?<=.)({'|'.join(map(re.escape, SUFFIXES))})$", re.IGNORECASE | re.DOTALL
)


def _is_data_set(head: bytes) -> bool:
  """Whether bytes are elements of DICOM in order, without a preamble."""
  at, last = 0, (0, 0)
  for count in range(3):
    found = _element(head, at)
    if found is None:
      return False
    tag, after = found
    if tag <= last or (count == 0 and tag[0] not in _FIRST_GROUPS):
      return False
    at, last = after, tag
    if at >= len(head):  # a long value
      return count > 0
  return True


def _element(head: bytes, at: int) -> tuple[tuple[int, int], int] | None:
  """Returns the tag of the element at a place, and where the next begins."""
  if at + 12 > len(head):
    return None
  tag = (_number(head, at, 2), _number(head, at + 2, 2))
  kind = head[at + 4 : at + 6]
  if kind in _LONG and head[at + 6 : at + 8] == b"\0\0":
    return tag, at + 12 + _number(head, at + 8, 4)
  if kind.isalpha() and kind.isupper():
    return tag, at + 8 + _number(head, at + 6, 2)
  length = _number(head, at + 4, 4)
  return (tag, at + 8 + length) if length % 2 == 0 else None


def _number(head: bytes, at: int, size: int) -> int:
  """Returns an unsigned number of little-endian bytes; -1 beyond the end."""
  field = head[at : at + size]
  if len(field) < size:
    return -1
  return struct.unpack({2: "<H", 4: "<I"}[size], field)[0]
