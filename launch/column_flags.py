"""Flags that say how labels.csv of a set of one's own calls its columns."""

from collections.abc import Mapping

from absl import flags


def define() -> dict[str, flags.FlagHolder]:
  """Define --id_column, --label_column and --patient_column."""
  return {
    name: flags.DEFINE_string(
      f"{name}_column", None, f"What labels.csv of folder:NAME calls {name}."
    )
    for name in ("id", "label", "patient")
  }


def given(defined: Mapping[str, flags.FlagHolder]) -> dict[str, str]:
  """Return the names that the user gave, by id, label and patient."""
  return {name: flag.value for name, flag in defined.items() if flag.value}
