"""Recognise what is not an upright, positive, whole, frontal chest film.

No mask is needed. The image is described by histograms of the directions of
its gradients in 8 x 8 fields (Dalal and Triggs 2005), and each kind of film is
a normal distribution of these, all with one covariance: a linear discriminant.
It was fitted to phantoms and to what `benchmarks/unfit.py` makes of them, so
that no film of a patient chose it; see results/doubt.md.
"""

import functools
from importlib import resources

import numpy as np
import safetensors.numpy

from apppau_jax.imaging import resample

NEGATIVE = "a negative"
# In the order of the weights. The first one is a fit film.
KINDS = (
  "",
  "upside down",
  "rotated by 90 degrees",
  NEGATIVE,
  "a negative upside down",
  "a negative rotated by 90 degrees",
  "cropped, so that parts of the lungs are missing",
  "a lateral view",
  "no chest film",
)
SIDE, FIELDS, DIRECTIONS = 64, 8, 8
_WEIGHTS = "view.safetensors"


def describe(image: np.ndarray) -> str:
  """Returns what a film seems to be other than fit, one of `KINDS`, or "".

  Args:
    image: uint8 or uint16 [h, w], dense parts bright.
  """
  found = features(image)
  return KINDS[int(logits(found).argmax())] if found.any() else ""


def doubt(image: np.ndarray) -> float:
  """Returns how much likelier another kind is than a fit film.

  Args:
    image: uint8 or uint16 [h, w].

  Returns:
    The logarithm of the ratio of likelihoods; above 0 `describe` names a kind.
  """
  fit, *others = logits(features(image))
  return float(max(others) - fit)


def logits(found: np.ndarray) -> np.ndarray:
  """Returns the logarithm of the likelihood of each kind, up to a constant.

  Args:
    found: `features` [..., 512].

  Returns:
    [..., 9], in the order of `KINDS`.
  """
  arrays = weights()
  return found @ arrays["weights"] + arrays["bias"]


def features(image: np.ndarray) -> np.ndarray:
  """Returns the histograms of gradients, float32 [512], of norm 1.

  They do not depend on brightness and contrast; zeros for one grey level.
  """
  small = resample.resize_area(image, (SIDE, SIDE)).astype(np.float32)
  down, right = np.gradient(small)
  turn = np.arctan2(down, right) / (2 * np.pi) * DIRECTIONS % DIRECTIONS
  lower = np.floor(turn).astype(int) % DIRECTIONS
  share, length = turn - np.floor(turn), np.hypot(right, down)
  counts = np.zeros((SIDE, SIDE, DIRECTIONS), np.float32)
  rows, columns = np.indices(small.shape)
  counts[rows, columns, lower] += length * (1 - share)
  counts[rows, columns, (lower + 1) % DIRECTIONS] += length * share
  cell = SIDE // FIELDS
  fields = counts.reshape(FIELDS, cell, FIELDS, cell, DIRECTIONS)
  found = np.sqrt(fields.sum(axis=(1, 3)).ravel())
  return found / (np.linalg.norm(found) + 1e-6)


@functools.cache
def weights() -> dict[str, np.ndarray]:
  """Returns the discriminant: `weights` [512, 9] and `bias` [9]."""
  content = (resources.files("apppau_jax.imaging") / _WEIGHTS).read_bytes()
  return safetensors.numpy.load(content)
