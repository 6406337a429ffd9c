"""The data sets by name: their classes, and combinations of them.

A combination is a view over prepared sets, never prepared itself: `a+b`, in
any order, or `ccx`, the paper's union of its three sets. All functions are
pure and read no file, so that a network can be built before its data.
"""

import difflib

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


def parts(dataset: str) -> tuple[str, ...]:
  """The names that a name is made of, as they stand, known or not."""
  words = dataset.split("+")
  return tuple(name for word in words for name in _ALIASES.get(word, (word,)))


def members(dataset: str) -> tuple[str, ...]:
  """The sets that a name stands for, in the order of `CLASSES`.

  Args:
    dataset: a set, `ccx`, or several joined by `+`.

  Raises:
    ConfigError: a set that does not exist, or one named twice.
  """
  names = parts(dataset)
  for name in names:
    if name not in CLASSES:
      raise ConfigError(_no_such_set(name, dataset=dataset))
  if len(set(names)) < len(names):
    raise ConfigError(
      f"config.data.dataset is {dataset!r}, which names a set twice; name "
      "each once."
    )
  return tuple(name for name in CLASSES if name in names)


def is_combined(dataset: str) -> bool:
  """Whether a name stands for several sets."""
  return len(members(dataset)) > 1


def class_names(dataset: str) -> tuple[str, ...]:
  """The classes of a set or a combination; labels are positions in it.

  Raises:
    ConfigError: see `members`.
  """
  named = (name for member in members(dataset) for name in CLASSES[member])
  return tuple(dict.fromkeys(named))


def label_map(member: str, *, dataset: str) -> tuple[int, ...]:
  """The label in a combination of each label of one of its sets."""
  union = class_names(dataset)
  return tuple(union.index(name) for name in CLASSES[member])


def _no_such_set(name: str, *, dataset: str) -> str:
  known = [*CLASSES, *_ALIASES]
  near = difflib.get_close_matches(name.lower(), known, n=1)
  hint = f" Did you mean {near[0]!r}?" if near else ""
  where = f" (in {dataset!r})" if name != dataset else ""
  return (
    f"There is no dataset {name!r}{where}; choose from {', '.join(known)}, "
    f"or join sets by '+', as in montgomery+shenzhen.{hint}"
  )
