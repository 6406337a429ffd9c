"""What masks outline, and how much of an image it may cover."""

import dataclasses

import numpy as np

from apppau_jax.errors import DataError
from apppau_jax.imaging.masks import Coverage, coverage


@dataclasses.dataclass(frozen=True)
class Structure:
  """What the masks of a data set outline.

  Attributes:
    name: for messages.
    possible: lowest and highest share of the image; no mask covers less or
      more.
    usual: the share that most masks cover.
    most_frame: highest share of the outermost pixels.
  """

  name: str
  possible: tuple[float, float]
  usual: tuple[float, float]
  most_frame: float = 0.5

  def is_possible(self, covered: Coverage) -> bool:
    """Whether a mask may cover this much."""
    least, most = self.possible
    return least <= covered.image <= most and covered.frame <= self.most_frame

  def is_usual(self, covered: Coverage) -> bool:
    """Whether most masks cover about this much."""
    return self.usual[0] <= covered.image <= self.usual[1]

  def describe_usual(self) -> str:
    """Returns the usual share, as in "10 % to 50 %"."""
    return _described(self.usual)

  def check(self, mask: np.ndarray, *, name: str) -> str:
    """Checks that True means the structure, by the area that it covers.

    Args:
      mask: bool [h, w].
      name: of the image, for messages.

    Returns:
      A warning for an unusual area, else "".

    Raises:
      DataError: the mask is inverted, or no mask of the structure.
    """
    covered = coverage(mask)
    if not self.is_possible(covered):
      raise DataError(
        f"The mask of {name} covers {covered.image:.1%} of the image and "
        f"{covered.frame:.1%} of its frame; {self.name} cover "
        f"{_described(self.possible)} and rarely the frame. It is "
        f"{'empty, ' * (not mask.any())}inverted, or not a mask of {self.name}."
      )
    if not self.is_usual(covered):
      return (
        f"{self.name} cover {covered.image:.1%} of the image (usual: "
        f"{self.describe_usual()})"
      )
    return ""


def finding(name: str) -> Structure:
  """Returns a finding: it may be small, or absent, with an empty mask."""
  return Structure(name, possible=(0.0, 0.6), usual=(0.0, 0.6))


LUNGS = Structure("lungs", possible=(0.05, 0.6), usual=(0.1, 0.5))


def _described(share: tuple[float, float]) -> str:
  return f"{100 * share[0]:.0f} % to {100 * share[1]:.0f} %"
