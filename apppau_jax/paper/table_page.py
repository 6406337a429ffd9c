"""`table.html`: a table of runs and its figures as one self-contained page."""

import base64
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any, NamedTuple

import jinja2

from apppau_jax.paper import tables

_TEMPLATE = "table.html.jinja"


class Figure(NamedTuple):
  """A drawing for the page.

  Attributes:
    name: of its files, without suffix.
    caption: what it shows; any text.
    content: `{"png": bytes, "svg": bytes}`.
  """

  name: str
  caption: str
  content: Mapping[str, bytes]

  @property
  def uri(self) -> str:
    """The PNG as a data URI."""
    return "data:image/png;base64," + base64.b64encode(
      self.content["png"]
    ).decode("ascii")


def page(table: Mapping[str, Any], *, figures: Sequence[Figure] = ()) -> str:
  """The page: no script and nothing to load; equal input, equal text.

  Args:
    table: see `tables.make`.
    figures: drawings, shown in this order.
  """
  environment = jinja2.Environment(
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
  )
  file = resources.files("apppau_jax.paper") / _TEMPLATE
  return environment.from_string(file.read_text(encoding="utf-8")).render(
    table=table, blocks=tables.blocks(table), figures=figures
  )
