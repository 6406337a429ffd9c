"""Masks of the left and of the right lung in files of their own."""

import re
from collections.abc import Sequence

LEFT, RIGHT = "left", "right"
_SIDE = r"(?P<side>left|right)"
_LUNG = r"(?:[-_ ]?lungs?)?"
_MASK = r"(?:[-_ ]?(?:masks?|seg(?:mentation)?s?))?"
_FOLDER = re.compile(rf"{_SIDE}{_LUNG}{_MASK}", re.IGNORECASE)
_AFTER = re.compile(rf"(?<=.)[-_ .]{_SIDE}{_LUNG}{_MASK}$", re.IGNORECASE)
_BEFORE = re.compile(rf"^{_SIDE}{_LUNG}{_MASK}[-_ .](?=.)", re.IGNORECASE)


def of_folder(name: str) -> str:
  """Returns which lung a folder of this name holds, or "".

  Example:
    >>> of_folder("leftMask"), of_folder("right lung"), of_folder("masks")
    ('left', 'right', '')
  """
  found = _FOLDER.fullmatch(name)
  return found["side"].lower() if found else ""


def of_folders(names: Sequence[str]) -> str:
  """Returns which lung the innermost folder that names one holds, or ""."""
  return next(filter(None, map(of_folder, reversed(names))), "")


def of_name(name: str) -> tuple[str, str]:
  """Returns which lung a mask shows, and its name without the side.

  Args:
    name: of the file, without its suffix.

  Example:
    >>> of_name("film 1_left_mask"), of_name("right-film 2"), of_name("film 3")
    (('left', 'film 1'), ('right', 'film 2'), ('', 'film 3'))
  """
  for pattern in (_AFTER, _BEFORE):
    if found := pattern.search(name):
      return found["side"].lower(), pattern.sub("", name)
  return "", name
