"""Declarations of settings: default, type, range and use in one place each."""

import dataclasses
import math
import re
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from apppau_jax.hints import did_you_mean, nearest

__all__ = [
  "Key",
  "declared",
  "did_you_mean",
  "flatten",
  "key",
  "nearest",
  "section",
]

SHOWN = 200  # characters of a wrong value in a message
_KINDS = {bool: "True or False", int: "a whole number", float: "a number"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Key:
  """The declaration of one setting; see `key` for the attributes."""

  default: Any
  low: float = -math.inf
  high: float = math.inf
  above: bool = False
  choices: Iterable[Any] = ()
  valid: tuple[Callable[[Any], bool], str] | None = None
  unit: str = ""
  about: str = ""
  source: str = ""
  used_by: tuple[str, ...] = ()
  name: str = ""
  type: Any = str

  def convert(self, value: Any) -> Any:
    """Return lists as tuples, and whole numbers as floats where meant."""
    if isinstance(value, list | tuple):
      return tuple(self.convert(item) for item in value)
    floats = self.type in (float, tuple[float, ...])
    whole = floats and type(value) is int and abs(value) < 2**63
    return float(value) if whole else value

  def fault(self, value: Any) -> str:
    """Return a sentence on what is wrong with `value`, "" if it is right."""
    value = self.convert(value)
    sequence = typing.get_origin(self.type) is tuple
    kind = typing.get_args(self.type)[0] if sequence else self.type
    good = isinstance(value, tuple) == sequence and all(
      type(item) is kind and self._in_range(item)
      for item in (value if sequence else (value,))
    )
    if good and (self.valid is None or self.valid[0](value)):
      return ""
    hint = did_you_mean(str(value)[:SHOWN], map(str, self.choices))
    return (
      f"config.{self.name}={shorten(value)} cannot be used; it must be {self}."
      f"{hint}"
    )

  def _in_range(self, value: Any) -> bool:
    if self.choices and self.valid is None:
      return value in self.choices
    if not isinstance(value, int | float):
      return value != "" and "\0" not in value
    if abs(value) >= 2**63:  # what no computer word holds
      return False
    low_ok = value > self.low if self.above else value >= self.low
    return math.isfinite(value) and low_ok and value <= self.high

  def __str__(self) -> str:
    """Return the allowed values in words."""
    if self.choices or self.valid:
      choices = ", ".join(map(str, self.choices))
      words = [f"one of {choices}"] if choices else []
      return ", ".join([*words, *(self.valid or ())[1:]])
    low = f" {'greater than' if self.above else 'from'} {self.low:g}"
    high = f" to {self.high:.10g}" if self.high < math.inf else ""
    return _KINDS.get(self.type, "text") + low * (self.low > -math.inf) + high

  def why_unused(self, values: Mapping[str, Any]) -> str:
    """Return the settings that leave this key without effect, or ""."""
    for rule in self.used_by:
      ways = [way.split(" and ") for way in rule.split(" or ")]
      off = [[t for t in way if not _holds(t, values)] for way in ways]
      if all(off):
        names = dict.fromkeys(re.split("!?=", t)[0] for w in off for t in w)
        return " and ".join(f"{name} is {values[name]}" for name in names)
    return ""


def shorten(value: Any) -> str:
  """Return `repr` of a value, cut after `SHOWN` characters."""
  text = repr(value)
  return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def _holds(term: str, values: Mapping[str, Any]) -> bool:
  name, equals, words = term.partition("=")
  value = values[name.rstrip("!")]
  if not equals:
    return bool(value)
  return (str(value) in words.split("|")) != name.endswith("!")


def key(
  default: Any,
  about: str = "",
  *,
  used_by: str | Iterable[str] = (),
  **more: Any,
) -> Any:
  """Declare a setting as a field of a dataclass.

  The annotation of the field is its type: bool, int, float, str, or a tuple of
  any number of one of them.

  Args:
    default: the default value.
    about: what it is, for the documentation.
    used_by: rules that must all hold for the setting to have an effect. A rule
      is `KEY` (neither 0, False nor empty), `KEY=a|b` or `KEY!=a|b`, or several
      joined by ` and ` and ` or `, of which `and` binds tighter.
    **more: `low` and `high`, both inclusive unless `above` excludes `low`;
      `choices`, for instance a registry; `valid`, a predicate and its demand in
      words; `unit` and `source`, for the documentation.
  """
  rules = (used_by,) if isinstance(used_by, str) else tuple(used_by)
  own = Key(default=default, about=about, used_by=rules, **more)
  return dataclasses.field(default=default, metadata={"key": own})


class Section:
  """Base of the dataclasses whose fields are keys or sections."""

  __slots__ = ()

  def to_dict(self) -> dict[str, Any]:
    """Return keys and values as nested dictionaries."""
    return dataclasses.asdict(self)  # pyrefly: ignore


def section(cls: type, *, used_by: str | Callable[[str], str] = "") -> Any:
  """Declare a group of keys; `used_by` is a rule or makes one of a name."""
  rule = used_by if callable(used_by) else lambda name: used_by
  return dataclasses.field(default_factory=cls, metadata={"used_by": rule})


def declared(cls: type, *, prefix: str = "") -> dict[str, Key]:
  """Return every key of nested dataclasses by its name with dots.

  A section's rule does not count for a key that the rule itself names.
  """
  found: dict[str, Key] = {}
  types = typing.get_type_hints(cls)
  for field in dataclasses.fields(cls):
    name, kind = f"{prefix}{field.name}", types[field.name]
    if "key" in field.metadata:
      own = field.metadata["key"]
      found[name] = dataclasses.replace(own, name=name, type=kind)
      continue
    for inner, own in declared(kind, prefix=f"{name}.").items():
      rule = field.metadata["used_by"](inner.removeprefix(f"{name}."))
      rules = own.used_by if inner in rule or not rule else (*own.used_by, rule)
      found[inner] = dataclasses.replace(own, used_by=rules)
  return found


def flatten(tree: Mapping[str, Any], *, prefix: str = "") -> dict[str, Any]:
  """Return nested mappings as one whose keys are joined by dots."""
  flat: dict[str, Any] = {}
  for name, value in tree.items():
    if isinstance(value, Mapping):
      flat |= flatten(value, prefix=f"{prefix}{name}.")
    else:
      flat[f"{prefix}{name}"] = value
  return flat


def table(values: Mapping[str, Any], declared: Mapping[str, Key]) -> str:
  """Return the values, and what they may be and mean, as a Markdown table."""
  rows = ["| key | value | allowed | unit | used when | meaning | source |"]
  rows.append("|---" * 7 + "|")
  for name, value in values.items():
    own = declared[name]
    used = " and ".join(f"({r})" if " or " in r else r for r in own.used_by)
    cells = (f"{name:34}", f"{value!s:13}", own, own.unit, used, own.about)
    cells = [str(cell).replace("|", "\\|") for cell in (*cells, own.source)]
    rows.append(f"| {' | '.join(cells)} |")
  return "\n".join(rows)
