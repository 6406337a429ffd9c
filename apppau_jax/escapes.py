"""Foreign text, as file names and labels are, made safe to print or store."""

import re

# Control characters of ASCII and Latin-1, marks that change the direction or
# the line, and bytes of file names that are not UTF-8.
_CONTROL = r"\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029"
_DIRECTION = r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_UNPRINTABLE = rf"{_CONTROL}{_DIRECTION}\ud800-\udfff"
_IN_TEXT = re.compile(f"[{_UNPRINTABLE}]")
_IN_LINE = re.compile(rf"[\t\n{_UNPRINTABLE}]")
# What a spreadsheet may take for a formula, also behind blanks and quotes.
_FORMULA = re.compile(r"[\s\"']*[=+\-@\t\r＝＋－＠]")


def printable(text: str) -> str:
  r"""Returns text without characters that a terminal acts on.

  Each becomes its escape in Python; line feeds and tabs stay.

  Example:
    >>> print(printable("a\x1b[2Jb"))
    a\x1b[2Jb
  """
  return _IN_TEXT.sub(_escape, text)


def one_line(text: str) -> str:
  r"""Returns text as `printable` does, with line feeds and tabs escaped too.

  Example:
    >>> print(one_line("a\nerror: b"))
    a\nerror: b
  """
  return _IN_LINE.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
  return found.group().encode("unicode_escape").decode("ascii")


def cell(text: str) -> str:
  """Returns text as a cell of a CSV file that no spreadsheet runs.

  A text that starts like a formula, after any blanks and quotes, gets an
  apostrophe in front. `from_cell` takes it away again.

  Example:
    >>> cell("=1+1"), cell("film.png")
    ("'=1+1", 'film.png')
  """
  return f"'{text}" if _FORMULA.match(text) else text


def from_cell(text: str) -> str:
  """Returns what `cell` was given.

  Example:
    >>> from_cell("'=1+1"), from_cell("'film'.png")
    ('=1+1', "'film'.png")
  """
  hidden = text.startswith("'") and _FORMULA.match(text, 1)
  return text[1:] if hidden else text
