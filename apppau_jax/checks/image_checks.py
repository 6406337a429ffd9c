"""Checks of one image: its size, grey levels, and polarity.

Thresholds leave the 658 films of Montgomery and Shenzhen at hand (resampled
copies) alone; what those measure stands beside each.
"""

from apppau_jax.checks.findings import Finding, error, warning
from apppau_jax.checks.radiograph import Film
from apppau_jax.imaging.polarity import DECISIVE

SMALLEST = 128  # pixels a side; the smallest resolution that is prepared
LONGEST = 2.0  # times the shorter side; measured: 1.22
FEWEST_LEVELS = 32  # of 256; measured: 224 or more
SMALLEST_SPREAD = 64  # grey levels; measured: 173 or more
MOST_EXTREME = 0.7  # of the pixels; measured: .59 or less (black borders)


def size(film: Film) -> list[Finding]:
  """A side shorter than what is prepared, or a shape that no film has."""
  short, long = sorted(film.size)
  if short >= SMALLEST and long <= LONGEST * short:
    return []
  height, width = film.size
  what = f"{film.name} is {width}x{height} pixels"
  return [warning("size", what, film.id)]


def constant(film: Film) -> list[Finding]:
  """One level everywhere; networks see zeros then."""
  if film.levels > 1:
    return []
  what = f"{film.name} is {film.sketch.flat[0]} everywhere"
  return [warning("constant", what, film.id)]


def contrast(film: Film) -> list[Finding]:
  """Few levels, a narrow range of them, or mostly black and white."""
  if film.levels == 1:
    return []
  reasons = []
  if film.levels < FEWEST_LEVELS:
    reasons.append(f"{film.levels} grey levels")
  if film.spread < SMALLEST_SPREAD:
    reasons.append(f"98 % of the pixels within {film.spread} grey levels")
  if film.extreme > MOST_EXTREME:
    reasons.append(f"{film.extreme:.0%} of the pixels black or white")
  what = f"{film.name} has {', '.join(reasons)}"
  return [warning("contrast", what, film.id)] if reasons else []


def polarity(film: Film) -> list[Finding]:
  """Inside the lungs it must be darker than around them."""
  lungs = film.lungs
  if lungs is None or not lungs.possible or film.levels == 1:
    return []
  if lungs.contrast >= DECISIVE:
    return []
  found = error if lungs.contrast <= -DECISIVE else warning
  what = (
    f"the lungs of {film.name} are {lungs.contrast:+.1f} grey levels "
    f"darker than what surrounds them; {DECISIVE:g} or more are usual"
  )
  return [found("polarity", what, film.id)]
