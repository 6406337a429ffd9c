"""Checks of one mask. Measured: 562 masks of Montgomery and Shenzhen."""

from apppau_jax.checks.findings import Finding, error, warning
from apppau_jax.checks.radiograph import Film
from apppau_jax.imaging.polarity import DECISIVE

USUAL = (0.10, 0.50)  # measured: .084 to .434
HEART = -0.12  # widths of the chest; measured: -.118 or more, median .046
# Folders whose lung lies on the left of the picture: Montgomery's sides are
# the picture's, SCR's the patient's.
PICTURE_LEFT = {
  "leftMask": True,
  "rightMask": False,
  "left lung": False,
  "right lung": True,
  "left_lung": False,
  "right_lung": True,
}


def fraction(film: Film) -> list[Finding]:
  """A share of the image that lungs do not have."""
  if film.outline is None:
    return []
  lungs = film.lungs
  share = float(film.outline.mean()) if lungs is None else lungs.fraction
  what = f"the mask of {film.name} covers {share:.1%} of the image"
  if lungs is None or not lungs.possible:
    frame = share if lungs is None else lungs.frame
    what += f" and {frame:.1%} of its frame: empty, inverted or no lung mask"
    return [error("fraction", what, film.id)]
  if USUAL[0] <= share <= USUAL[1]:
    return []
  what += f" (usual: {USUAL[0]:.0%} to {USUAL[1]:.0%})"
  return [warning("fraction", what, film.id)]


def components(film: Film) -> list[Finding]:
  """Lungs are two; they seldom touch."""
  lungs = film.lungs
  if lungs is None or not lungs.possible or lungs.pieces == 2:
    return []
  what = f"the mask of {film.name} has {lungs.pieces} pieces, not two"
  return [warning("components", what, film.id)]


def sides(film: Film) -> list[Finding]:
  """The mask fits the image better mirrored; or the heart is on the right.

  A mask on the wrong side is told from a right one without fault on the films
  measured. A mirrored film is not: hearts lie in the middle too, so only
  those that lie far to the patient's right are remarked on.
  """
  lungs = film.lungs
  if lungs is None or not lungs.possible:
    return []
  own, found = lungs.contrast, []
  for other, how in (
    (lungs.mirrored, "mirrored left for right"),
    (lungs.upended, "upside down"),
  ):
    if -DECISIVE < own < other and other >= DECISIVE:  # no negative
      what = (
        f"the mask of {film.name} fits its image better {how}: the lungs are "
        f"then {other:.1f} grey levels darker than around, not {own:.1f}"
      )
      found.append(warning("sides", what, film.id))
  heart = lungs.heart
  if heart is not None and heart < HEART:
    what = (
      f"{film.name} may be mirrored: the gap between the lungs lies "
      f"{-heart:.0%} of the chest's width to the left of the picture's middle"
    )
    found.append(warning("sides", what, film.id))
  return found


def swapped(name: str, *, folder: str, left_share: float) -> str:
  """Says that one lung's mask lies on the other side; "" if it does not.

  Args:
    name: the file.
    folder: the folder it lies in; unknown ones pass.
    left_share: share of the mask in the left half of the picture.
  """
  expected = PICTURE_LEFT.get(folder)
  if expected is None or (left_share > 0.5) == expected:
    return ""
  side, other = ("left", "right") if expected else ("right", "left")
  return f"{name} lies {other} in the picture, where the lung {side} is meant"
