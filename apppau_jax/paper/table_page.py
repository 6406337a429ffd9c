"""The table of a sweep and its figures as one self-contained HTML page."""

import base64
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any, NamedTuple

import jinja2

from apppau_jax.paper import table_text


class Figure(NamedTuple):
  """A figure of the page.

  Attributes:
    name: of its files, without suffix.
    caption: any text.
    content: `{"png": bytes, "svg": bytes}`.
  """

  name: str
  caption: str
  content: Mapping[str, bytes]

  @property
  def uri(self) -> str:
    """The PNG as a data URI."""
    png = base64.b64encode(self.content["png"]).decode("ascii")
    return f"data:image/png;base64,{png}"


def page(table: Mapping[str, Any], *, figures: Sequence[Figure] = ()) -> str:
  """Returns the page, which has no script and loads nothing.

  Args:
    table: see `tables.make`.
    figures: in the order in which they are shown.
  """
  environment = jinja2.Environment(
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
  )
  file = resources.files("apppau_jax.paper") / "table.html.jinja"
  return environment.from_string(file.read_text(encoding="utf-8")).render(
    table=table, blocks=table_text.blocks(table), figures=figures
  )
