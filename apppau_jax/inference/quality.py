"""How good masks are likely to be, without a reference.

If the probabilities were right and pixels independent, the Dice of a mask and
an unknown reference would be about twice the probability inside the mask over
the sum of the mask and of all probability (soft Dice). The estimate is too
high, since neighbouring pixels err together, but it ranks masks: see
results/box.md.
"""

from collections.abc import Mapping, Sequence

import numpy as np

LUNGS = ("lungs", "left_lung", "right_lung")
# Lungs with a lower estimate are remarked upon.
LOW = 0.95


def estimate(
  probability: np.ndarray, mask: np.ndarray, *, structures: Sequence[str] = ()
) -> dict[str, float]:
  """Estimates the Dice of each mask of one image.

  Args:
    probability: `[h, w]` or `[h, w, k]` in [0, 1].
    mask: bool of the same shape.
    structures: names of the k masks; empty for the lungs.

  Returns:
    Estimates in [0, 1] by name, of the lungs as "lungs"; 0 for an empty mask.

  Raises:
    ValueError: the shapes differ.

  Example:
    >>> import numpy as np
    >>> estimate(np.array([[1.0, 0.5, 0.0]]), np.array([[True, True, False]]))
    {'lungs': 0.8571428571428571}
  """
  if probability.shape != mask.shape:
    raise ValueError(f"{probability.shape} and {mask.shape} differ")
  probs = np.atleast_3d(probability).astype(np.float64)
  inside = np.atleast_3d(mask).astype(bool)
  shared = np.where(inside, probs, 0).sum(axis=(0, 1))
  total = probs.sum(axis=(0, 1)) + inside.sum(axis=(0, 1))
  found = 2 * shared / np.maximum(total, 1e-9)
  return dict(zip(structures or LUNGS[:1], found.tolist()))


def remarks(estimates: Mapping[str, float]) -> tuple[str, ...]:
  """Returns a sentence on lungs that should be looked at, or none."""
  low = [
    f"{name.replace('_', ' ')} {estimates[name]:.2f}"
    for name in LUNGS
    if estimates.get(name, 1.0) < LOW
  ]
  if not low:
    return ()
  return (f"The outline is doubtful (estimated Dice: {', '.join(low)}).",)
