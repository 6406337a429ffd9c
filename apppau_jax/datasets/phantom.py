"""Procedural chest phantoms as a dataset: free to draw, keep and publish."""

import tensorflow_datasets as tfds

from apppau_jax.datasets import builder, montgomery, names
from apppau_jax.datasets import layout as layout_lib

COUNT = 200  # images of the set that `apppau_jax.phantoms` draws by default


class Phantom(builder.LungBuilder):
  """Procedural chest phantoms in the layout of the Montgomery set."""

  VERSION = tfds.core.Version("2.0.0")

  @classmethod
  def layout(cls) -> layout_lib.Layout:
    """The layout of Montgomery; whatever is there is the complete set."""
    return layout_lib.Layout(
      stem=montgomery.STEM,
      expected=None,
      masks=montgomery.mask_files,
      class_names=names.CLASSES["phantom"],
      parse=montgomery.parse_reading,
    )
