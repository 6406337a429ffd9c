"""Foreign text reaches neither a terminal nor a spreadsheet as an order."""

import logging
import subprocess
import sys
from pathlib import Path

import pytest
import rich.console
from hypothesis import given
from hypothesis import strategies as st

from apppau_jax import errors, escapes, progress

ROOT = Path(__file__).parents[1]
HOSTILE = "a\x1b]0;title\x07\x9b2J\r\x7f\u202eb\udcff"
SHOWN = r"a\x1b]0;title\x07\x9b2J\r\x7f\u202eb\udcff"


def test_each_character_a_terminal_acts_on_becomes_its_escape():
  assert escapes.printable(HOSTILE) == SHOWN
  assert escapes.printable("Ünïcode ☃ 胸\t\n") == "Ünïcode ☃ 胸\t\n"
  assert escapes.one_line("a\n\tb") == r"a\n\tb"


@given(st.text())
def test_what_is_printed_has_no_control_characters(text):
  shown = escapes.one_line(text)
  assert shown.isprintable() or not {*shown} & {*map(chr, range(32)), "\x7f"}
  shown.encode()


@pytest.mark.parametrize("kind", [errors.DataError, errors.ConfigError])
def test_messages_of_exceptions(kind):
  assert str(kind(f"The file {HOSTILE}.")) == f"The file {SHOWN}."


def test_a_file_name_cannot_add_a_paragraph():
  assert "\n" not in str(errors.DataError("no x\nerror: y.png"))
  stopped = errors.Interrupted(HOSTILE, 15)
  assert (str(stopped), stopped.exit_code) == (SHOWN, 143)


def test_all_that_the_package_shows(capfd):
  with progress.verbose():
    progress.LOG.info("read %s", HOSTILE)
    with progress.bar(HOSTILE) as update:
      update(10, 10)
  progress.say(HOSTILE)
  progress.say(HOSTILE, error=True)
  out, err = capfd.readouterr()
  assert out.splitlines() == [SHOWN]
  assert err.splitlines() == [f"read {SHOWN}", f"{SHOWN}: 10/10", SHOWN]


def test_a_bar_on_a_terminal_shows_text_as_it_is(monkeypatch, capfd):
  monkeypatch.setenv("TERM", "xterm")
  plain = rich.console.Console
  monkeypatch.setattr(
    rich.console, "Console", lambda **k: plain(**k, force_terminal=True,
                                               width=200)
  )  # fmt: skip
  with progress.verbose(), progress.bar("[/bold]\x1b[2J[red]x") as update:
    update(1, 2)
  assert r"[/bold]\x1b[2J[red]x" in capfd.readouterr().err


def test_records_of_other_packages(capfd):
  handler = logging.StreamHandler()
  handler.setFormatter(progress.Formatter())
  try:
    raise ValueError(HOSTILE)
  except ValueError:
    record = logging.LogRecord(
      "x", 40, "x", 1, "%s", (HOSTILE,), sys.exc_info()
    )
  handler.handle(record)
  err = capfd.readouterr().err
  assert "\x1b" not in err
  assert err.count(SHOWN) == 2


_COMMAND = """
import logging, sys, warnings
from apppau_jax import errors
from launch import cli
def main():
  logging.getLogger("tool").error("w \\x1b[2J")
  logging.getLogger("pydicom").warning("of the file")
  warnings.warn_explicit("of the file", UserWarning, "a.py", 1,
                         module="PIL.TiffImagePlugin")
  raise {error}
cli.run(main)
"""


@pytest.mark.parametrize(
  ("error", "flags"),
  [
    ("errors.DataError('d \\x1b[2J')", ()),
    ("errors.DataError('d \\x1b[2J')", ("--debug",)),
    ("ValueError('a bug \\x1b[2J')", ()),
  ],
)
def test_commands(error, flags):
  done = subprocess.run(
    [sys.executable, "-c", _COMMAND.replace("{error}", error), *flags],
    cwd=ROOT, capture_output=True, text=True, check=False,
  )  # fmt: skip
  assert done.returncode
  assert "\x1b" not in done.stderr
  assert done.stderr.count(r"\x1b[2J") >= 2
  assert "of the file" not in done.stderr


@pytest.mark.parametrize(
  "text",
  [
    *("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", '"=1', "'=1"),
    *(' "=1"', "＝1", "\u00a0=1", "''=1", "-0.5"),
  ],
)
def test_cells_that_a_spreadsheet_runs(text):
  assert escapes.cell(text) == f"'{text}"
  assert escapes.from_cell(f"'{text}") == text


@pytest.mark.parametrize("text", ["", "a=1", "film-1.png", "'a", "0.5", "(-1)"])
def test_other_cells_are_left_alone(text):
  assert escapes.cell(text) == escapes.from_cell(text) == text


@given(st.text(alphabet="'\"=+-@ \ta\r\n") | st.text())
def test_cells_are_read_as_they_were_written(text):
  cell = escapes.cell(text)
  assert escapes.from_cell(cell) == text
  assert cell.lstrip('\n \x0b\x0c"')[:1] not in ("=", "+", "-", "@")
