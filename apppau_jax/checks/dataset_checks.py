"""Checks of a whole set: its counts, its clinical texts, its mean image."""

from collections.abc import Sequence

import numpy as np

from apppau_jax.checks.findings import Finding, error, note, warning
from apppau_jax.checks.radiograph import Radiograph
from apppau_jax.datasets.raw_source import summarise
from apppau_jax.datasets.spec import DatasetSpec

# The beginnings of clinical texts without a finding: valid for all 800 texts of
# Montgomery and Shenzhen, and for JSRT's table.
HEALTHY = ("normal", "non-nodule")
NORMAL = "normal"
FEWEST = 8  # images for a mean


def counts(
  ids: Sequence[str], *, masked: Sequence[str], spec: DatasetSpec
) -> list[Finding]:
  """Compares the available images and masks with those published.

  Args:
    ids: the images.
    masked: those of them that have a whole mask.
    spec: the facts about the set; one without a list of ids passes.
  """
  if spec.ids is None:
    return []
  found = []
  missing = sorted(set(spec.ids) - set(ids))
  if missing:
    what = (
      f"{len(missing)} of {len(spec.ids)} images that belong to the set "
      f"are missing: {summarise(missing, limit=10)}"
    )
    found.append(warning("counts", what, *missing))
  bare = sorted(set(ids) - set(masked) - spec.without_mask)
  if bare:
    what = (
      f"{len(bare)} images have no mask, although one is published: "
      f"{summarise(bare, limit=10)}"
    )
    found.append(warning("counts", what, *bare))
  unlabelled = sorted(spec.without_mask.intersection(ids) - set(masked))
  if unlabelled:
    what = f"{len(unlabelled)} images are published without a mask"
    found.append(note("counts", what, *unlabelled))
  return found


def texts(images: Sequence[Radiograph]) -> list[Finding]:
  """Compares the class `normal` with the clinical texts."""
  found = []
  for image in images:
    healthy = image.text.lower().startswith(HEALTHY)
    if not (image.text and image.label) or healthy == (image.label == NORMAL):
      continue
    what = (
      f"{image.name} has the class {image.label}, but its text is "
      f"{image.text[:60]!r}"
    )
    make = error if healthy else warning
    found.append(make("text", what, image.id))
  return found


def likeness_to_mean(images: Sequence[Radiograph]) -> list[Finding]:
  """Finds negatives among images without a mask, and mirrored sets.

  An image correlates with the mean of its set (measured: 0.20 or more), its
  negative with the opposite sign.
  """
  varied = [image for image in images if np.ptp(image.sketch) > 0]
  if len(varied) < FEWEST:
    return []
  # One at a time: the pixels of all of them may not fit into memory.
  total = np.zeros(varied[0].sketch.size)
  for image in varied:
    total += _standard(image.sketch)
  mean = _standard(total)
  found = []
  for image in varied:
    if image.lungs is not None:
      continue
    alike = _standard(image.sketch) @ mean
    if alike < 0:
      what = (
        f"{image.name} may be a negative: its correlation with the mean of the "
        f"set is {alike:.2f}"
      )
      found.append(warning("polarity", what, image.id))
  masked = (image.lungs for image in images if image.lungs)
  hearts = [lungs.heart for lungs in masked if lungs.heart is not None]
  if len(hearts) >= FEWEST and np.median(hearts) < 0:
    what = (
      f"{images[0].source} may be mirrored as a whole: most hearts lie left of "
      "the image's middle"
    )
    found.append(warning("sides", what))
  return found


def _standard(image: np.ndarray) -> np.ndarray:
  """Returns it flattened, with mean 0 and norm 1."""
  x = image.astype(np.float32).ravel()
  x = x - x.mean()
  return x / np.linalg.norm(x)
