"""From probabilities to masks, and what a model returns for images."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from PIL import Image

from apppau_jax.imaging.film import Spacing
from apppau_jax.inference.measurements import Measurement
from apppau_jax.metrics import masks
from apppau_jax.models.network import SegmentorOutput


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Prediction:
  """What a model found in one image, at the image's own size.

  Attributes:
    mask: bool `[h, w]`, the lungs; of a model with structures `[h, w, k]`, in
      the order of `structures`.
    probability: float32 of the same shape, in [0, 1].
    structures: names of the k masks; empty for the lungs.
    classes: names of the n classes; empty without a classifier.
    class_probability: `[n]`, sums to 1, or of findings each from 0 to 1; None
      without a classifier.
    class_range: `[n, 2]`, the lowest and the highest probability of a class
      over the members of an ensemble; None without one.
    remarks: what is unusual about the image or its lungs, one sentence each.
    spacing: millimetres between the pixels; None if the file does not say.
    measurements: by name, see `inference.measurements`; what could not be
      measured is absent.
    quality: estimated Dice of each mask by name, see `inference.quality`.
  """

  mask: np.ndarray
  probability: np.ndarray
  structures: tuple[str, ...] = ()
  classes: tuple[str, ...] = ()
  class_probability: np.ndarray | None = None
  class_range: np.ndarray | None = None
  remarks: tuple[str, ...] = ()
  spacing: Spacing | None = None
  measurements: Mapping[str, Measurement] = dataclasses.field(
    default_factory=dict
  )
  quality: Mapping[str, float] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Outputs:
  """A batch of a data set's images and the networks' outputs for them.

  Attributes:
    image: `[b, h, w, 1]` uint8 or uint16.
    mask: `[b, h, w, k]` bool, the reference.
    prob: `[b, h, w, k]` float32.
    prediction: `[b, h, w, k]` bool, the masks made of `prob`.
    logits: `[b, n + 1]` of D(x, S(x)); no columns without a classifier.
    oracle_logits: the same of D(x, reference); no columns unless asked for.
  """

  image: np.ndarray
  mask: np.ndarray
  prob: np.ndarray
  prediction: np.ndarray
  logits: np.ndarray
  oracle_logits: np.ndarray


def united(
  output: SegmentorOutput, positions: Sequence[int]
) -> SegmentorOutput:
  """Returns the outputs for the union of some masks, as the largest of them."""

  def union(logits):
    return logits[..., [*positions]].max(axis=-1, keepdims=True)

  return dataclasses.replace(
    output,
    logits=union(np.asarray(output.logits)),
    side_logits=tuple(union(np.asarray(side)) for side in output.side_logits),
    samples=tuple(union(np.asarray(one)) for one in output.samples),
  )


def padded_batches(
  total: int, *, size: int
) -> Iterator[tuple[np.ndarray, int]]:
  """Yields (rows `[size]`, how many of them count) of `total` images.

  The last batch is padded by repetition, so that no other shape is compiled.
  """
  for start in range(0, total, size):
    count = min(size, total - start)
    yield start + np.resize(np.arange(count), size), count


def binarize(
  prob: np.ndarray, *, threshold: float = 0.5, largest_components: int = 0
) -> np.ndarray:
  """Masks of the probabilities of one image.

  Args:
    prob: `[h, w]` or `[h, w, k]`.
    threshold: inside where the probability is at least this.
    largest_components: connected components that are kept of each mask; 0
      keeps all.

  Returns:
    bool, of the same shape.
  """
  prediction = prob >= threshold
  if not largest_components:
    return prediction
  planes = prediction if prob.ndim == 3 else prediction[..., None]
  kept = [
    masks.keep_largest_components(plane, count=largest_components)
    for plane in np.moveaxis(planes, -1, 0)
  ]
  return np.stack(kept, axis=-1).reshape(prob.shape)


def resize_probability(prob: np.ndarray, size: tuple[int, int]) -> np.ndarray:
  """Resamples float32 `[r, r, k]` bilinearly to `[h, w, k]`, size (h, w)."""
  height, width = size
  planes = [
    Image.fromarray(np.ascontiguousarray(plane, np.float32))
    for plane in np.moveaxis(prob, -1, 0)
  ]
  bilinear = Image.Resampling.BILINEAR
  resized = [plane.resize((width, height), bilinear) for plane in planes]
  return np.stack([np.asarray(plane) for plane in resized], axis=-1)


def shrunk(size: tuple[int, int], *, side: int) -> tuple[int, int]:
  """Returns a size of the same shape whose longer side is at most `side`."""
  factor = min(1.0, side / max(size))
  return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def dice(prediction: np.ndarray, mask: np.ndarray) -> np.ndarray:
  """Dice `[n, ...]` of masks `[n, h, w, ...]` bool; 1 where both are empty."""
  both = np.sum(prediction & mask, axis=(1, 2))
  total = prediction.sum(axis=(1, 2)) + mask.sum(axis=(1, 2))
  return np.where(total, 2.0 * both / np.maximum(total, 1), 1.0)
