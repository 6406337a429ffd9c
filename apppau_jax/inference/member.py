"""The networks of one training run, which a model has one or several of."""

import dataclasses
from typing import Any

import flax.errors
import flax.linen as nn
import jax
import numpy as np

from apppau_jax.imaging import grey_levels
from apppau_jax.inference import steps
from apppau_jax.models.segmentor import SegmentorOutput
from apppau_jax.training import parallel
from apppau_jax.training.state import Variables


@dataclasses.dataclass(frozen=True, eq=False)
class Member:
  """The networks of one training run, with their weights.

  Attributes:
    segmentor: the network S.
    variables: of S, `{"params", "batch_stats"}`.
    discriminator: the network D where it learnt classes, else None.
    discriminator_variables: of D.
    normalization: how S and D see grey levels, see `transforms.normalize`.
    views: test-time augmentation of S, see `steps.segment_step`.
    temperature: divides D's logits before they become class probabilities.
  """

  segmentor: nn.Module
  variables: Variables
  _: dataclasses.KW_ONLY
  discriminator: nn.Module | None = None
  discriminator_variables: Variables | None = None
  normalization: str = "minmax"
  views: tuple[tuple[float, float], ...] = ()
  temperature: float = 1.0

  def check(self, resolution: int, *, bits: int) -> None:
    """Traces the networks for one image, which `segment` need not do again.

    Args:
      resolution: side of the image.
      bits: of its grey levels, 8 or 16.

    Raises:
      ValueError: the weights are not those of the networks.
    """
    side = (1, resolution, resolution, 1)
    image = jax.ShapeDtypeStruct(side, grey_levels.dtype_of(bits))
    try:
      masks = steps.shapes(self._segment(), self.variables, image).logits
      if self.discriminator is not None:
        weights = self.discriminator_variables
        steps.shapes(self._classify(), weights, image, masks)
    except (flax.errors.FlaxError, TypeError, AttributeError) as error:
      raise ValueError(" ".join(str(error).split())[:300]) from error

  def segment(
    self, image: np.ndarray, *, mesh: parallel.Mesh | None = None
  ) -> SegmentorOutput:
    """S's outputs for images `[b, r, r, 1]`."""
    return self._segment(mesh)(self.variables, image)

  def classify(
    self,
    image: np.ndarray,
    mask: np.ndarray,
    *,
    mesh: parallel.Mesh | None = None,
  ) -> Any:
    """D's logits `[b, n + 1]` for images and their masks `[b, r, r, k]`."""
    if self.discriminator_variables is None:
      raise ValueError("this model has no classifier")
    return self._classify(mesh)(self.discriminator_variables, image, mask)

  def _segment(self, mesh: parallel.Mesh | None = None) -> steps.Segment:
    return steps.segment_step(
      self.segmentor,
      normalization=self.normalization,
      views=self.views,
      mesh=mesh,
    )

  def _classify(self, mesh: parallel.Mesh | None = None) -> steps.Classify:
    if self.discriminator is None:
      raise ValueError("this model has no classifier")
    return steps.classify_step(
      self.discriminator, normalization=self.normalization, mesh=mesh
    )
