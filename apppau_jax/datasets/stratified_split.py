"""Divide images reproducibly, evenly by class, without dividing patients.

Randomness comes from the SHA-256 of a salt and the image's id instead of a
random number generator, so that no library version changes a split.
"""

import dataclasses
import fractions
import hashlib
import math
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence

_DIGEST_BITS = 256
_PHANTOM = re.compile(r"PHANTOM_(\d{4})_(normal|tb)")


@dataclasses.dataclass(frozen=True)
class Unit:
  """The images of one patient (sorted ids) and the class they count as."""

  ids: tuple[str, ...]
  label: int


def digest(salt: object, name: str) -> int:
  """Returns the SHA-256 of `salt` and `name`, in [0, 2**256).

  A phantom counts by its former name, so that its part in a split remains.
  """
  text = f"{salt}:{former_name(name)}".encode()
  return int.from_bytes(hashlib.sha256(text).digest())


def former_name(name: str) -> str:
  """Returns the name of a phantom in older versions, or any other name.

  Example:
    >>> former_name("PHANTOM_0031_normal"), former_name("CHNCXR_0327_1")
    ('MCUCXR_0031_0', 'CHNCXR_0327_1')
  """
  found = _PHANTOM.fullmatch(name)
  return f"MCUCXR_{found[1]}_{int(found[2] == 'tb')}" if found else name


def lowest(names: Iterable[str], *, salt: object, count: int) -> list[str]:
  """Returns the `count` names with the lowest digests, in that order."""
  return sorted(names, key=lambda name: (digest(salt, name), name))[:count]


def units(
  ids: Collection[str],
  *,
  labels: Mapping[str, int],
  groups: Mapping[str, str],
) -> list[Unit]:
  """Gathers the images of each patient, sorted by their first id.

  Args:
    ids: the images.
    labels: class of each id; -1 where absent. A patient counts as the class
      of the first of the sorted ids.
    groups: patient of each id; an id that is absent is its own patient.
  """
  together = defaultdict(list)
  for name in sorted(ids):
    together[groups.get(name, name)].append(name)
  gathered = [Unit(tuple(v), labels.get(v[0], -1)) for v in together.values()]
  return sorted(gathered, key=lambda unit: unit.ids)


def round_half_up(number: fractions.Fraction) -> int:
  """Returns the nearest integer, the higher one of two."""
  return math.floor(number + fractions.Fraction(1, 2))


def apportion(total: int, *, weights: Sequence[int]) -> list[int]:
  """Divides `total` in proportion to `weights`, by largest remainder.

  Equal remainders favour the first. If `total` is at most the sum of the
  weights, no share exceeds its weight.
  """
  whole = sum(weights) or 1
  shares = [total * weight // whole for weight in weights]
  by_remainder = sorted(
    range(len(weights)), key=lambda i: -(total * weights[i] % whole)
  )
  for i in by_remainder[: total - sum(shares)]:
    shares[i] += 1
  return shares


def divide(
  members: Sequence[Unit], *, counts: Sequence[int], salt: object
) -> list[list[str]]:
  """Divides units into parts of given sizes, each with the same class shares.

  The digest of a unit selects a part, with probabilities in proportion to the
  sizes. If that part has no room for the unit's class, the part with most room
  takes it. Large units go first, so that single images even out the sizes.

  Args:
    members: the units.
    counts: images wanted in each part; they sum to the number of images.
    salt: another salt gives another division.

  Returns:
    Sorted ids of each part. The sizes equal `counts` if there are enough single
    images. A part with a count is not empty if there are enough units.
  """
  room = _rooms(members, counts)
  parts: list[list[str]] = [[] for _ in counts]
  waiting = sorted(
    members, key=lambda u: (-len(u.ids), digest(salt, u.ids[0]), u.ids)
  )
  for position, unit in enumerate(waiting):
    free = [part[unit.label] for part in room]
    empty = [p for p, count in enumerate(counts) if count and not parts[p]]
    among = range(len(counts))
    if len(waiting) - position <= len(empty):
      among = empty
    place = _pointed_at(digest(salt, unit.ids[0]), counts)
    if place not in among or free[place] < len(unit.ids):
      place = max(among, key=lambda p: (free[p], not parts[p], -p))
    parts[place].extend(unit.ids)
    room[place][unit.label] -= len(unit.ids)
  return [sorted(part) for part in parts]


def _rooms(members, counts) -> list[Counter]:
  """Returns the images of each class that fit into each part."""
  left = Counter[int]()
  for unit in members:
    left[unit.label] += len(unit.ids)
  rooms = []
  for count in reversed(counts[1:]):
    classes = sorted(left)
    shares = apportion(count, weights=[left[c] for c in classes])
    rooms.append(Counter(dict(zip(classes, shares))))
    left.subtract(rooms[-1])
  return [left, *reversed(rooms)]


def _pointed_at(number: int, counts: Sequence[int]) -> int:
  position = number * sum(counts) >> _DIGEST_BITS
  for place, count in enumerate(counts):
    if position < count:
      return place
    position -= count
  raise AssertionError("a digest is below 2**256")


def deal(
  members: Sequence[Unit], *, parts: int, salt: object
) -> list[list[str]]:
  """Deals units into parts whose sizes and class counts differ by at most one.

  Large units go first, then class by class in the order of the digests, each to
  the part with fewest images of its class, then fewest images. Larger units may
  leave differences of their size.
  """
  hands: list[list[str]] = [[] for _ in range(parts)]
  of_class: list[Counter[int]] = [Counter() for _ in range(parts)]
  order = sorted(
    members,
    key=lambda u: (-len(u.ids), u.label, digest(salt, u.ids[0]), u.ids),
  )
  for unit in order:
    place = min(
      range(parts), key=lambda p: (of_class[p][unit.label], len(hands[p]), p)
    )
    hands[place].extend(unit.ids)
    of_class[place][unit.label] += len(unit.ids)
  return [sorted(hand) for hand in hands]


def even_order(
  ids: Collection[str], *, labels: Mapping[str, int], salt: object
) -> list[str]:
  """Orders images so that every beginning has the classes in proportion.

  One image of each class comes first, the largest class leading, then always
  one of the class that is most behind (Sainte-Laguë). Within a class the order
  is that of the digests.
  """
  queues = defaultdict(list)
  for name in lowest(ids, salt=salt, count=len(ids)):
    queues[labels.get(name, -1)].append(name)
  size = {label: len(queue) for label, queue in queues.items()}
  taken = Counter[int]()

  def claim(label: int) -> tuple[bool, fractions.Fraction, int]:
    share = fractions.Fraction(size[label], 2 * taken[label] + 1)
    return not taken[label], share, -label

  order = []
  for _ in range(len(ids)):
    open_classes = [c for c in size if taken[c] < size[c]]
    label = max(open_classes, key=claim)
    order.append(queues[label][taken[label]])
    taken[label] += 1
  return order
