"""Checks of a whole set: its counts, its clinical texts, its mean film."""

from collections.abc import Sequence

import numpy as np

from apppau_jax.checks.findings import Finding, error, note, warning
from apppau_jax.checks.radiograph import Film
from apppau_jax.datasets import raw_index
from apppau_jax.datasets.layout import Layout

# How a clinical text begins that finds nothing; holds for all 800 texts of
# Montgomery and Shenzhen, and for JSRT's table.
HEALTHY = ("normal", "non-nodule")
NORMAL = "normal"
FEWEST = 8  # films that a mean is taken of


def counts(
  ids: Sequence[str], *, masked: Sequence[str], layout: Layout
) -> list[Finding]:
  """The images and masks at hand against those published.

  Args:
    ids: the images.
    masked: those of them that have a whole mask.
    layout: what is published; a set without a list passes.
  """
  if layout.expected is None:
    return []
  found = []
  missing = sorted(set(layout.expected) - set(ids))
  if missing:
    what = (
      f"{len(missing)} of {len(layout.expected)} images that belong to the set "
      f"are absent: {raw_index.summarise(missing, limit=10)}"
    )
    found.append(warning("counts", what, *missing))
  bare = sorted(set(ids) - set(masked) - layout.without_mask)
  if bare:
    what = (
      f"{len(bare)} images have no mask, though they should: "
      f"{raw_index.summarise(bare, limit=10)}"
    )
    found.append(warning("counts", what, *bare))
  unlabelled = sorted(layout.without_mask.intersection(ids) - set(masked))
  if unlabelled:
    what = f"{len(unlabelled)} images come without a mask"
    found.append(note("counts", what, *unlabelled))
  return found


def texts(films: Sequence[Film]) -> list[Finding]:
  """Classes against the words of the readings, where a class is `normal`."""
  found = []
  for film in films:
    healthy = film.text.lower().startswith(HEALTHY)
    if not (film.text and film.label) or healthy == (film.label == NORMAL):
      continue
    what = (
      f"{film.name} has the class {film.label}, but its text says "
      f"{film.text[:60]!r}"
    )
    make = error if healthy else warning
    found.append(make("text", what, film.id))
  return found


def likeness_to_mean(films: Sequence[Film]) -> list[Finding]:
  """Negatives among images without a mask, and sets mirrored as a whole.

  A film correlates with the mean of its set (measured: .20 or more), its
  negative with the opposite sign.
  """
  varied = [film for film in films if np.ptp(film.sketch) > 0]
  if len(varied) < FEWEST:
    return []
  rows = np.stack([_standard(film.sketch) for film in varied])
  mean = _standard(rows.mean(axis=0))
  found = []
  for film, alike in zip(varied, rows @ mean):
    if film.lungs is None and alike < 0:
      what = (
        f"{film.name} may be a negative: its correlation with the mean of the "
        f"set is {alike:.2f}"
      )
      found.append(warning("polarity", what, film.id))
  masked = (film.lungs for film in films if film.lungs)
  hearts = [lungs.heart for lungs in masked if lungs.heart is not None]
  if len(hearts) >= FEWEST and np.median(hearts) < 0:
    what = (
      f"{films[0].source} may be mirrored as a whole: most hearts lie left of "
      "the picture's middle"
    )
    found.append(warning("sides", what))
  return found


def _standard(image: np.ndarray) -> np.ndarray:
  """Flattened, mean 0, norm 1."""
  x = image.astype(np.float32).ravel()
  x = x - x.mean()
  return x / np.linalg.norm(x)
