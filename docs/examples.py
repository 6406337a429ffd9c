"""Shows the examples of docstrings as code.

The section is called "Example:" here; Griffe knows it as "Examples:".
"""

import re

import griffe


class Examples(griffe.Extension):
  """Renames the section while Griffe loads the package."""

  def on_object(self, *, obj, loader, **kwargs):
    """Rename the section of one docstring."""
    if obj.docstring:
      obj.docstring.value = re.sub(
        r"(?m)^Example:$", "Examples:", obj.docstring.value
      )
