"""The generated parts of the reference name all that the code declares."""

import importlib.util
import re
import subprocess
import sys

import pytest
from fixtures import book

from apppau_jax import config, errors


@pytest.fixture(scope="module")
def generated():
  path = book.ROOT / "docs/generated.py"
  spec = importlib.util.spec_from_file_location("generated", path)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


def test_every_key_has_one_row_with_its_default(generated):
  rows = re.findall(
    r"(?m)^\| `([\w.]+)` \| (?:`([^`]*)`)? \|", generated.configuration()
  )
  flat = config.Config().flat()
  assert [name for name, _ in rows] == list(flat)
  assert dict(rows)["optim.learning_rate"] == "0.001"
  assert {n: str(v) for n, v in flat.items()} == dict(rows)


def test_every_status_is_there(generated):
  text = generated.exit_statuses()
  for kind in (errors.ConfigError, errors.DataError, errors.ResourceError):
    assert f"| {kind.exit_code} | `{kind.__name__}` |" in text
  assert "| 128 + n | `Interrupted` |" in text


def test_every_recipe_is_there(generated):
  text = generated.recipes()
  for path in (book.ROOT / "configs").glob("*.py"):
    if path.stem not in ("__init__", "base"):
      assert f"## {path.stem}\n" in text


def test_names_in_docstrings_become_a_list(generated):
  lines = generated.recipes().splitlines()
  first = lines.index(
    "- `supervised`: supervised-only baseline: S alone, the same 10 % of masks"
  )
  assert lines[first - 1] == ""
  assert lines[first + 2].startswith("- `supervised_ceiling`: S alone")


def test_commands_in_docstrings_can_be_copied(generated):
  text = generated.recipes()
  blocks = re.findall(r"(?s)```sh\n(.*?)\n```", text)
  assert len(blocks) > 15
  for block in blocks:
    first, *others = block.split("\n")
    assert first.startswith("python -m launch.")
    lines = block.split("\n")[:-1]
    assert all(line.endswith(" \\") for line in lines), block
    assert all(line.startswith("  --") for line in others), block


def test_every_flag_of_every_command_is_there():
  """The sources name the flags; a child process makes the page."""
  code = "import sys; sys.path.insert(0, 'docs'); import generated; "
  done = subprocess.run(
    [sys.executable, "-c", code + "print(generated.commands())"],
    capture_output=True,
    text=True,
    check=True,
    cwd=book.ROOT,
  )
  sections = dict(
    part.split("\n", 1) for part in re.split(r"(?m)^## ", done.stdout)[1:]
  )
  seen = 0
  for path in (book.ROOT / "launch").glob("*.py"):
    source = path.read_text(encoding="utf-8")
    if "cli.run(main)" not in source:
      continue
    page = sections[f"launch.{path.stem}"]
    for name in re.findall(r'flags\.DEFINE_\w+\(\s*"(\w+)"', source):
      assert re.search(rf"`--(\[no\])?{name}`", page), (path.stem, name)
      seen += 1
  assert seen > 40
  assert "`--[no]distributed`" in sections["launch.train"]  # launch/cluster.py
  assert "tfds_debug" not in done.stdout  # a library's
  lines = done.stdout.splitlines()
  shown = [line for line in lines if "python -m launch." in line]
  assert all(line.startswith("python -m launch.") for line in shown)
