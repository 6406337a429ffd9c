"""Where the configuration is read: experiment/, paper/, the commands, no more.

The floors themselves are import-linter's business (pyproject.toml); it cannot
see that a function receives a configuration and reads its keys.
"""

import ast
import dataclasses
import pathlib

import pytest

import apppau_jax
from apppau_jax.config import Config

PACKAGE = pathlib.Path(apppau_jax.__file__).parent
READERS = ("experiment", "paper", "config.py")
SECTIONS = {field.name for field in dataclasses.fields(Config)} - {"seed"}


def reads_of_a_configuration(source: str) -> list[int]:
  """The lines that read a section of something called `config`."""
  return [
    node.lineno
    for node in ast.walk(ast.parse(source))
    if isinstance(node, ast.Attribute)
    and node.attr in SECTIONS
    and isinstance(node.value, ast.Name)
    and node.value.id in ("config", "cfg")
  ]


def test_a_read_is_noticed():
  assert reads_of_a_configuration("x = 1\ny = config.model.base_width") == [2]
  assert reads_of_a_configuration("model.train(config)") == []


@pytest.mark.parametrize(
  "path",
  [
    path.relative_to(PACKAGE).as_posix()
    for path in sorted(PACKAGE.rglob("*.py"))
    if path.relative_to(PACKAGE).parts[0] not in READERS
  ],
)
def test_rooms_below_take_plain_arguments(path):
  source = (PACKAGE / path).read_text(encoding="utf-8")
  assert reads_of_a_configuration(source) == []
