"""The parts of the reference that are made from the code itself.

Each function returns Markdown. The site's build (docs/hooks.py) puts it in
place of a comment `<!-- generated: NAME -->`, so that no key, flag or exit
status is written down twice.
"""

import dataclasses
import importlib
import inspect
import pathlib
import re
import typing
from collections.abc import Iterator

from absl import flags

from apppau_jax import config, errors, keys

ROOT = pathlib.Path(__file__).parents[1]
_ITEMS = re.compile(r"(?:^ {2}(?!python )\w.*? {2}.*\n)+", re.MULTILINE)
_COMMAND = re.compile(r"^ {0,2}python .*(?:\n +(?! |python ).*)*", re.MULTILINE)


def configuration() -> str:
  """Return every configuration key by section, from its declaration."""
  types = typing.get_type_hints(config.Config)
  sections = [f.name for f in dataclasses.fields(config.Config)]
  parts = []
  for name in sections:
    rows = [k for n, k in config.KEYS.items() if n.split(".")[0] == name]
    if name == "seed":
      parts += ["## seed", "", _key_table(rows), ""]
    else:
      parts += [f"## {name}", "", types[name].__doc__.strip(), ""]
      parts += [_key_table(rows), ""]
  return "\n".join(parts)


def _key_table(rows: list[keys.Key]) -> str:
  lines = ["| Key | Default | Allowed | Meaning | Source |", "|---" * 5 + "|"]
  for row in rows:
    meaning = [row.about] if row.about else []
    meaning += [f"unit: {row.unit}"] if row.unit else []
    rules = " and ".join(f"({r})" if " or " in r else r for r in row.used_by)
    meaning += [f"used when {_code(rules)}"] if rules else []
    cells = (
      _code(row.name),
      _code(_text(row.default)),
      _text(row),
      "; ".join(meaning),
      row.source,
    )
    lines.append(f"| {' | '.join(_cell(cell) for cell in cells)} |")
  return "\n".join(lines)


def modules() -> list[str]:
  """Return the names of the modules that are commands, in order."""
  return [
    f"launch.{path.stem}"
    for path in sorted((ROOT / "launch").glob("*.py"))
    if "cli.run(main)" in path.read_text(encoding="utf-8")
  ]


def flags_of(module: str) -> Iterator[flags.Flag]:
  """Yield the flags that a command and its helpers define, and forget them.

  Commands may use the same names, so that only one can be imported at a time.
  """
  importlib.import_module("launch.cli")
  before = {*flags.FLAGS}
  importlib.import_module(module)
  by_module = flags.FLAGS.flags_by_module_dict()
  found = [
    flag
    for name, defined in by_module.items()
    if name.startswith("launch.")
    for flag in defined
    if flag.name not in before
  ]
  for name in {*flags.FLAGS} - before:
    delattr(flags.FLAGS, name)
  yield from found


def commands() -> str:
  """Return every command with its description and flags."""
  parts = []
  for module in modules():
    rows = ["| Flag | Default | Meaning |", "|---|---|---|"]
    for flag in flags_of(module):
      form = f"--[no]{flag.name}" if flag.boolean else f"--{flag.name}"
      help_ = re.sub(r"\.?;\s+repeat this option.*", ".", flag.help)
      default = "" if flag.default is None else _code(_text(flag.default))
      cells = (_code(form), default, _text(help_))
      rows.append(f"| {' | '.join(_cell(cell) for cell in cells)} |")
    about = _prose(inspect.getdoc(importlib.import_module(module)) or "")
    parts += [f"## {module}", "", about, "", *rows, ""]
  return "\n".join(parts)


def recipes() -> str:
  """Return the description of every recipe."""
  parts = []
  for path in sorted((ROOT / "configs").glob("*.py")):
    if path.stem in ("__init__", "base"):
      continue
    about = inspect.getdoc(importlib.import_module(f"configs.{path.stem}"))
    parts += [f"## {path.stem}", "", _prose(about or ""), ""]
  return "\n".join(parts)


def exit_statuses() -> str:
  """Return the exit statuses of the commands, from the errors' classes."""
  rows = ["| Status | Error | Meaning |", "|---|---|---|"]
  rows.append("| 0 | | The command has done what it was asked for. |")
  kinds = [
    kind
    for kind in vars(errors).values()
    if inspect.isclass(kind) and issubclass(kind, errors.UserError)
  ]
  for kind in kinds:
    if kind is errors.UserError:
      continue
    status = "128 + n" if kind is errors.Interrupted else kind.exit_code
    about = re.sub(
      r" *\(status[^)]*\)", "", inspect.getdoc(kind).split("\n")[0]
    )
    rows.append(f"| {status} | `{kind.__name__}` | {about} |")
  return "\n".join(rows)


def _prose(text: str) -> str:
  """Return a docstring as Markdown, its commands as blocks of code."""
  text = re.sub(r"(?m)^(Prepare|Run|Draw): (?=python)", "\n", text)

  def block(found: re.Match) -> str:
    lines = re.split(r" *\\?\n *| {3,}", found[0].strip())
    return "\n```sh\n" + " \\\n  ".join(lines) + "\n```\n"

  def items(found: re.Match) -> str:
    rows = re.findall(r"(?m)^ +(.+?) {2,}(.+)$", found[0])
    return "\n" + "".join(f"- `{name}`: {is_}\n" for name, is_ in rows) + "\n"

  text = _ITEMS.sub(items, text)
  parts = re.split(r"(```sh\n.*?\n```)", _COMMAND.sub(block, text), flags=re.S)
  return "".join(p if p.startswith("```") else _text(p) for p in parts)


def _text(value: object) -> str:
  return str(value).replace("<", "&lt;").replace("*", "\\*")


def _code(text: object) -> str:
  return f"`{str(text).replace('&lt;', '<')}`" if str(text) else ""


def _cell(text: str) -> str:
  """Return a cell; a bar within code does not end it, others are escaped."""
  parts = " ".join(str(text).split()).split("`")
  parts[::2] = (part.replace("|", "\\|") for part in parts[::2])
  return "`".join(parts)


PARTS = {
  "configuration": configuration,
  "commands": commands,
  "recipes": recipes,
  "exit_statuses": exit_statuses,
}
