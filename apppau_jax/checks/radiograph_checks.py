"""Checks of one image and its mask.

The thresholds pass the 658 images and 562 masks of Montgomery and Shenzhen at
hand (resampled copies), whose extreme values are given beside them.
"""

from apppau_jax.checks.findings import Finding, error, warning
from apppau_jax.checks.radiograph import Radiograph
from apppau_jax.imaging import polarity as polarity_lib
from apppau_jax.imaging import remarks
from apppau_jax.imaging import view as view_lib
from apppau_jax.imaging.polarity import DECISIVE
from apppau_jax.imaging.structure import LUNGS

HEART = -0.12  # chest widths; measured: -0.118 or more, median 0.046


def size(image: Radiograph) -> list[Finding]:
  """Finds sides below the prepared size, and unusual aspect ratios."""
  odd = remarks.describe_size(image.size)
  what = f"{image.name} has an unusual size: {odd}"
  return [warning("size", what, image.id)] if odd else []


def constant(image: Radiograph) -> list[Finding]:
  """Finds images of one level, which become zeros for a network."""
  if image.levels > 1:
    return []
  what = f"{image.name} is {image.sketch.flat[0]} everywhere"
  return [warning("constant", what, image.id)]


def contrast(image: Radiograph) -> list[Finding]:
  """Finds few levels, a narrow range, or mostly black and white pixels."""
  if image.levels == 1:
    return []
  used = remarks.Histogram(image.levels, image.spread, image.extreme)
  few = used.describe()
  what = f"{image.name} has {few}"
  return [warning("contrast", what, image.id)] if few else []


def view(image: Radiograph) -> list[Finding]:
  """Finds headers of another view, and images that `imaging.view` doubts.

  Whether an image with a mask is a negative is left to `polarity`.
  """
  found = [f"{image.name}: {remark}" for remark in image.remarks]
  seems = view_lib.describe(image.sketch)
  if seems and not (image.lungs and seems == view_lib.NEGATIVE):
    found.append(f"{image.name} may be {seems}")
  return [warning("view", what, image.id) for what in found]


def polarity(image: Radiograph) -> list[Finding]:
  """Finds lungs that are not darker than their surroundings."""
  lungs = image.lungs
  if lungs is None or not LUNGS.is_possible(lungs.covered) or image.levels == 1:
    return []
  remark = polarity_lib.describe(lungs.contrast)
  make = error if lungs.contrast <= -DECISIVE else warning
  return (
    [make("polarity", f"{image.name}: {remark}", image.id)] if remark else []
  )


def fraction(image: Radiograph) -> list[Finding]:
  """Finds an area of the mask that is impossible or unusual."""
  covered = image.covered
  kind = image.outlined
  if covered is None or (kind.is_possible(covered) and kind.is_usual(covered)):
    return []
  what = f"the mask of {image.name} covers {covered.image:.1%} of the image"
  if kind.is_possible(covered):
    what += f" (usual: {kind.describe_usual()})"
    return [warning("fraction", what, image.id)]
  what += (
    f" and {covered.frame:.1%} of its frame: empty, inverted or no {kind.name}"
  )
  return [error("fraction", what, image.id)]


def components(image: Radiograph) -> list[Finding]:
  """Finds masks that do not consist of two pieces, since lungs seldom touch."""
  lungs = image.lungs
  if lungs is None or not LUNGS.is_possible(lungs.covered) or lungs.pieces == 2:
    return []
  what = f"the mask of {image.name} has {lungs.pieces} pieces, not two"
  return [warning("components", what, image.id)]


def sides(image: Radiograph) -> list[Finding]:
  """Finds masks that fit better mirrored, and hearts far to the right.

  A mirrored mask is recognised without an error on the measured images. A
  mirrored image is not, since hearts also lie in the middle; only a heart far
  to the patient's right is reported.
  """
  lungs = image.lungs
  if lungs is None or not LUNGS.is_possible(lungs.covered):
    return []
  own, found = lungs.contrast, []
  for other, how in (
    (lungs.mirrored, "mirrored left for right"),
    (lungs.upended, "upside down"),
  ):
    if -DECISIVE < own < other and other >= DECISIVE:  # not a negative
      what = (
        f"the mask of {image.name} fits its image better {how}: the lungs are "
        f"then {other:.1f} grey levels darker than around, not {own:.1f}"
      )
      found.append(warning("sides", what, image.id))
  heart = lungs.heart
  if heart is not None and heart < HEART:
    what = (
      f"{image.name} may be mirrored: the gap between the lungs lies "
      f"{-heart:.0%} of the chest's width to the left of the image's middle"
    )
    found.append(warning("sides", what, image.id))
  return found


ALL = (
  *(size, constant, contrast, view, polarity, fraction, components, sides),
)
