"""Which image of a user's folder a name in a table or of a mask means."""

import re
import unicodedata
from collections.abc import Iterable, Mapping

from apppau_jax.imaging import file_kinds

# What tools add to the name of an image to call its mask.
_WORD = r"(?:lung)?(?:masks?|seg(?:mentation)?s?)|labels?|gt|lungs?"
_AFTER = re.compile(rf"(?<=.)[-_. ](?:{_WORD})$", re.IGNORECASE)
_BEFORE = re.compile(rf"^(?:{_WORD})[-_. ](?=.)", re.IGNORECASE)
# Longer ones are no number that a spreadsheet keeps.
_NUMBER = re.compile(r"([0-9]{1,15})(?:\.0+)?")


def composed(text: str) -> str:
  """Returns text in composed form; file systems write accents in two."""
  return unicodedata.normalize("NFC", text)


class Names:
  """The ids of images, and the other names by which they may be meant.

  Args:
    ids: all of them.
    also: by another name of an image, such as its path, its id.
  """

  def __init__(self, ids: Iterable[str], *, also: Mapping[str, str]):
    self._exact = {**also, **{i: i for i in ids}}
    self._folded: dict[str, set[str]] = {}
    self._numbers: dict[int, set[str]] = {}
    for name, example_id in self._exact.items():
      self._folded.setdefault(name.casefold(), set()).add(example_id)
      if number := _NUMBER.fullmatch(name):
        self._numbers.setdefault(int(number[1]), set()).add(example_id)

  def of_cell(self, text: str) -> list[str]:
    """Returns the ids that a cell of a table may mean.

    The first of these that fits counts: the name itself; without a suffix of
    images; without folders; in other case; as the same number.
    """
    bare = re.split(r"[/\\]", text)[-1]
    names = (text, file_kinds.name_of(text), bare, file_kinds.name_of(bare))
    if found := self._first(names):
      return found
    number = _NUMBER.fullmatch(file_kinds.name_of(bare))
    same = self._numbers.get(int(number[1]), ()) if number else ()
    return sorted(same)

  def of_mask(self, name: str) -> list[str]:
    """Returns the ids whose mask may be called so: those most alike."""
    level, seen = {name}, set()
    while level:
      if fits := {i for one in level for i in self._first([one])}:
        return sorted(fits)
      seen |= level
      level = {other for one in level for other in _shorter(one)} - seen
    return []

  def _first(self, names: Iterable[str]) -> list[str]:
    names = [*names]
    for name in names:
      if name in self._exact:
        return [self._exact[name]]
    for name in names:
      if same := self._folded.get(name.casefold()):
        return sorted(same)
    return []


def without_affixes(name: str) -> str:
  """Returns a mask's name without all that tools may have added.

  Example:
    >>> without_affixes("film 1_lung_mask.png")
    'film 1'
  """
  while (shorter := min(_shorter(name), key=len)) != name:
    name = shorter
  return name


def _shorter(name: str) -> tuple[str, ...]:
  """Returns a mask's name without one of the parts that tools add."""
  return file_kinds.name_of(name), _AFTER.sub("", name), _BEFORE.sub("", name)
