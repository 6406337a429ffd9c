"""Flags that say how labels.csv of a set of one's own calls its columns."""

from absl import flags

_FLAGS = {
  name: flags.DEFINE_string(
    f"{name}_column", None, f"What labels.csv of folder:NAME calls {name}."
  )
  for name in ("id", "label", "patient")
}


def given() -> dict[str, str]:
  """Returns the names that the user gave, by id, label and patient."""
  return {name: flag.value for name, flag in _FLAGS.items() if flag.value}
