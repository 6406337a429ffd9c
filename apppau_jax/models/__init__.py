"""Networks: Flax (linen) modules on `[b, h, w, c]` with named outputs.

`PRESETS` holds the segmentors by the name that `config.model.preset` has; the
docstring of `segmentor` tells how to add one.
"""

from apppau_jax.models.blocks import XLA, Operations
from apppau_jax.models.discriminator import Discriminator, DiscriminatorOutput
from apppau_jax.models.feature_classifier import FeatureClassifier
from apppau_jax.models.network import Network, SegmentorOutput
from apppau_jax.models.segmentor import PRESETS, Segmentor, from_preset

__all__ = [
  "PRESETS",
  "XLA",
  "Discriminator",
  "DiscriminatorOutput",
  "FeatureClassifier",
  "Network",
  "Operations",
  "Segmentor",
  "SegmentorOutput",
  "from_preset",
]
