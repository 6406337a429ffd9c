"""What the files of predictions are called: by their image, never two alike."""

import collections
import itertools
import os
import zlib
from collections.abc import Collection, Sequence
from pathlib import Path, PurePath

from apppau_jax.imaging import file_kinds

_LONGEST = 220  # bytes of a name without `_KIND.png`; file systems take 255


def output_stems(
  names: Sequence[str], *, earlier: Collection[str], output: Path, kind: str
) -> dict[str, str]:
  """Returns the path of each image's files, without `_kind.png`.

  It is that of the image without its suffix. Where two images would share it,
  the suffix is added: `film_png` and `film_jpg`. Files of earlier calls keep
  their names.

  Args:
    names: paths of images relative to the input.
    earlier: those that earlier calls have predicted.
    output: the folder of predictions.
    kind: what the names of the last files written for an image end in.
  """
  every = [*dict.fromkeys((*earlier, *names))]
  times = collections.Counter(_plain(name).casefold() for name in every)
  stems: dict[str, str] = {}
  taken: set[str] = set()
  for name in every:
    plain, long = _plain(name), _with_suffix(name)
    choices = [plain, long] if times[plain.casefold()] == 1 else [long]
    if name in earlier:
      old = (s for s in (long, plain) if target(output / s, kind=kind).exists())
      choices = [*old, *choices]
    more = (f"{long}-{number}" for number in itertools.count(2))
    free = (
      s for s in itertools.chain(choices, more) if s.casefold() not in taken
    )
    stems[name] = next(free)
    taken.add(stems[name].casefold())
  return stems


def target(stem: Path, *, kind: str) -> Path:
  """Returns the path of a file of predictions."""
  return stem.with_name(f"{stem.name}_{kind}.png")


def _plain(name: str) -> str:
  path = PurePath(name)
  return str(path.with_name(_shortened(file_kinds.name_of(path.name))))


def _with_suffix(name: str) -> str:
  path = PurePath(name)
  plain = file_kinds.name_of(path.name)
  suffix = path.name[len(plain) :].replace(".", "_")
  return str(path.with_name(_shortened(f"{plain}{suffix}")))


def _shortened(stem: str) -> str:
  """Returns a stem to which the kinds of files can be added on every disk."""
  content = os.fsencode(stem)
  if len(content) <= _LONGEST:
    return stem
  begin = content[: _LONGEST - 9].decode(errors="ignore")
  return f"{begin}-{zlib.crc32(content):08x}"
