"""Hints for mistyped names: the one did-you-mean of the project."""

import difflib
import re
from collections.abc import Iterable

_CUTOFF = 0.65  # no name less alike than this is suggested


def nearest(word: str, known: Iterable[str]) -> str:
  """Return the known name that `word` most likely means, or "".

  Names may have sections before a dot; a section alone means its key `name`.
  The first of equally good names wins.

  Example:
    >>> nearest("optim.lr", ["optim.b1", "optim.learning_rate"])
    'optim.learning_rate'
  """
  known = list(known)
  if any(name.startswith(f"{word}.") for name in known):  # a section
    return f"{word}.name" if f"{word}.name" in known else ""
  scores = {name: _likeness(word.lower(), name.lower()) for name in known}
  best = max(scores, key=lambda name: scores[name], default="")
  return best if best and scores[best] >= _CUTOFF else ""


def did_you_mean(word: str, known: Iterable[str]) -> str:
  """Return a hint for a mistyped word, "" if no known name is like it."""
  near = nearest(word, known)
  return f" Did you mean {near}?" if near else ""


def _likeness(word: str, name: str) -> float:
  """Return the likeness of the last parts, raised by that of the sections."""
  where, _, last = word.rpartition(".")
  group, _, own = name.rpartition(".")
  alike = where and (group.startswith(where) or where.startswith(group))
  alike = group and (alike or _ratio(where, group) > 0.7 or group in word)
  bonus = 0.1 if where == group else 0.05 if alike else 0.0
  score = _last_likeness(last, own)
  return score + bonus if score >= _CUTOFF else 0.0


def _last_likeness(word: str, name: str) -> float:
  if word == name:
    return 1.0
  parts, tokens = word.split("_"), [t for t in name.split("_") if t]
  # Of each token its first letter and any others in order: lr, bsz, lrate.
  letters = "_?".join(
    re.escape(t[0]) + "".join(f"{re.escape(c)}?" for c in t[1:]) for t in tokens
  )
  short = len(tokens) > 1 and re.fullmatch(letters, word)
  begins = "".join(tokens).startswith("".join(parts))
  if len(word) > 1 and (short or begins):
    return 0.9
  if {*parts} <= {*tokens} or {*tokens} <= {*parts}:
    return 0.85
  close = [max(_token_likeness(p, t) for t in tokens) for p in parts]
  return max(_ratio(word, name), 0.8 * sum(close) / len(close))


def _token_likeness(part: str, token: str) -> float:
  same_stem = len(part) > 3 and part[:4] == token[:4]  # rotate, rotation
  return max(_ratio(part, token), 0.95 * same_stem)


def _ratio(a: str, b: str) -> float:
  return difflib.SequenceMatcher(None, a, b, autojunk=False).ratio()
