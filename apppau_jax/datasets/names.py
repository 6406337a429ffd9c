"""The data sets by name: their classes, and combinations of them.

A combination is a view over prepared sets, never prepared itself: `a+b`, in
any order, or `ccx`, the paper's union of its three sets. `folder`, and
`folder:NAME` for any name, are sets of the user's own: their classes are known
once they are prepared. All functions are pure and read no file.
"""

import difflib
import re
from collections.abc import Iterable

from apppau_jax.errors import ConfigError

# Each set's classes by its own label; the order of sets and classes here is
# that of combinations.
CLASSES = {
  "montgomery": ("normal", "tb"),
  "shenzhen": ("normal", "tb"),
  "jsrt": ("normal", "nodule"),
  "phantom": ("normal", "tb"),
}
CCX = ("montgomery", "shenzhen", "jsrt")
_ALIASES = {"ccx": CCX}
OWN = "folder"
_OWN = re.compile(rf"{OWN}(:[a-z][a-z0-9_-]{{0,40}})?")
OWN_FORM = (
  f"{OWN}:NAME (NAME of small letters, digits, - and _, a letter first)"
)


def is_own(name: str) -> bool:
  """Whether a name is that of a set of the user's own, prepared or not."""
  return bool(_OWN.fullmatch(name))


def kind(member: str) -> str:
  """The set without the name that a user gave it: `folder` of folder:NAME."""
  return member.partition(":")[0]


def parts(dataset: str) -> tuple[str, ...]:
  """The names that a name is made of, as they stand, known or not."""
  words = dataset.split("+")
  return tuple(name for word in words for name in _ALIASES.get(word, (word,)))


def members(dataset: str) -> tuple[str, ...]:
  """The sets that a name stands for, in the order of `CLASSES`.

  A user's own come last, by name.

  Args:
    dataset: a set, `ccx`, or several joined by `+`.

  Raises:
    ConfigError: a set that does not exist, or one named twice.
  """
  names = parts(dataset)
  for name in names:
    if name not in CLASSES and not is_own(name):
      raise ConfigError(_no_such_set(name, dataset=dataset))
  if len(set(names)) < len(names):
    raise ConfigError(
      f"config.data.dataset is {dataset!r}, which names a set twice; name "
      "each once."
    )
  own = sorted(filter(is_own, names))
  return (*(name for name in CLASSES if name in names), *own)


def is_combined(dataset: str) -> bool:
  """Whether a name stands for several sets."""
  return len(members(dataset)) > 1


def class_names(dataset: str) -> tuple[str, ...]:
  """The classes of public sets or phantoms; labels are positions in it.

  Raises:
    ConfigError: see `members`; or a set of the user's own, whose classes are
      known from its prepared files only.
  """
  own = [member for member in members(dataset) if is_own(member)]
  if own:
    raise ConfigError(
      f"The classes of {own[0]} are those of its labels.csv, and known once it "
      "is prepared; they are not fixed by its name."
    )
  return union(CLASSES[member] for member in members(dataset))


def union(classes: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
  """The classes of a combination from those of its members, in their order."""
  return tuple(dict.fromkeys(name for names in classes for name in names))


def _no_such_set(name: str, *, dataset: str) -> str:
  known = [*CLASSES, *_ALIASES, OWN]
  near = difflib.get_close_matches(name.lower(), known, n=1)
  hint = f" Did you mean {near[0]!r}?" if near else ""
  where = f" (in {dataset!r})" if name != dataset else ""
  return (
    f"There is no dataset {name!r}{where}; choose from {', '.join(known)} "
    f"and {OWN_FORM}, or join sets by '+', as in montgomery+shenzhen.{hint}"
  )
