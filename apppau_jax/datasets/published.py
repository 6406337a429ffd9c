"""What is public about the sets: their ids with masks, classes, patients."""

import functools
import json
from importlib import resources

from apppau_jax.datasets import montgomery

# Sets whose Idiap lists (train, validation, test) lie in splits/.
DATASETS = ("montgomery", "shenzhen", "jsrt")


@functools.cache
def idiap_lists(dataset: str) -> dict[str, tuple[str, ...]] | None:
  """The Idiap split of a public set by part; None for any other set."""
  if dataset not in DATASETS:
    return None
  lists = (
    resources.files("apppau_jax.datasets") / f"split_lists/idiap_{dataset}.json"
  )
  parts = json.loads(lists.read_text(encoding="utf-8"))
  return {part: tuple(ids) for part, ids in parts.items()}


def published_ids(dataset: str) -> tuple[str, ...] | None:
  """All ids with masks of a public set, sorted; None for any other set.

  Args:
    dataset: `montgomery` (138), `shenzhen` (566), `jsrt` (247), or a name
      without a public list.
  """
  parts = idiap_lists(dataset)
  if parts is None:
    return None
  return tuple(sorted(name for ids in parts.values() for name in ids))


def published_label(name: str) -> int:
  """Class told by a public id: 0 normal, 1 tuberculosis or nodule."""
  if name.startswith("JPC"):
    return int(name.startswith("JPCLN"))
  return int(name.rsplit("_", 1)[-1])


def published_groups(dataset: str) -> dict[str, str]:
  """Patient of each id of a public set that shares its patient."""
  if dataset != "montgomery":
    return {}
  return {i: films[0] for films in montgomery.SAME_PATIENT for i in films}
