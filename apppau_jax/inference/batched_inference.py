"""The networks over images, a batch at a time: what they say, nothing kept.

Whatever is measured later, no more than a batch of images, probabilities and
masks is ever in memory.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from scipy import special

from apppau_jax.datasets.examples import Source
from apppau_jax.metrics import masks

# (variables, images [b, h, w, 1]) to S's named outputs, compiled.
Predict = Callable[[Any, np.ndarray], Any]
# (variables, images [b, h, w, 1], float32 masks [b, h, w, k]) to D's
# logits [b, n + 1], the fake class last, compiled.
Diagnose = Callable[[Any, np.ndarray, np.ndarray], Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
  """How probabilities become a mask.

  Attributes:
    threshold: lung where the probability is at least this.
    largest_components: keep this many connected components of each
      structure; 0 keeps all.
    batch_size: images at a time; shapes never change, nothing retraces.
  """

  threshold: float = 0.5
  largest_components: int = 0
  batch_size: int = 16


@dataclasses.dataclass(frozen=True, kw_only=True)
class Players:
  """The compiled networks.

  Attributes:
    predict: S.
    diagnose: D, None where S trained alone.
  """

  predict: Predict
  diagnose: Diagnose | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Seen:
  """Some images, and what the networks say of them.

  Attributes:
    image: `[b, h, w, 1]` uint8 or uint16.
    mask: `[b, h, w, k]` bool, the truth.
    prob: `[b, h, w, k]` float32.
    found: `[b, h, w, k]` bool, the masks made of `prob`.
    logits: `[b, n + 1]` of D(x, S(x)); no columns without D.
    oracle_logits: the same of D(x, true mask); none if not asked for.
  """

  image: np.ndarray
  mask: np.ndarray
  prob: np.ndarray
  found: np.ndarray
  logits: np.ndarray
  oracle_logits: np.ndarray


def look(
  players: Players,
  variables: Mapping[str, Any],
  source: Source,
  *,
  options: Options,
  oracle: bool = False,
) -> Iterator[Seen]:
  """Shows the networks all images of a source, in order, batch by batch.

  Args:
    players: the networks.
    variables: their weights, `segmentor` and maybe `discriminator`.
    source: the images with their masks.
    options: how probabilities become masks.
    oracle: whether to show D the true masks too.
  """
  size = options.batch_size
  chosen = list(_batches(len(source.ids), size=size))
  for (_, count), part in zip(chosen, source.batches([r for r, _ in chosen])):
    prob = predict_probs(
      players.predict, variables["segmentor"], part.image, batch_size=size
    )
    judged = dict.fromkeys(("logits", "oracle_logits"), np.empty((count, 0)))
    if players.diagnose is not None:
      weights = variables["discriminator"]
      shown = {"logits": prob, "oracle_logits": part.mask}
      for name in [*shown][: 1 + oracle]:
        judged[name] = diagnose_logits(
          players.diagnose, weights, part.image, shown[name], batch_size=size
        )[:count]
    prob = prob[:count]
    found = [
      binarize(prob[..., k], options=options) for k in range(prob.shape[-1])
    ]
    yield Seen(
      image=part.image[:count],
      mask=part.mask[:count].astype(bool),
      prob=prob,
      found=np.stack(found, axis=-1),
      **judged,
    )


def _batches(total: int, *, size: int) -> Iterator[tuple[np.ndarray, int]]:
  """Yields (rows [size], how many count); the last is padded by repetition."""
  for start in range(0, total, size):
    count = min(size, total - start)
    yield start + np.resize(np.arange(count), size), count


def predict_probs(
  predict: Predict, variables, image: np.ndarray, *, batch_size: int
) -> np.ndarray:
  """Probabilities `[n, h, w, k]` of images `[n, h, w, 1]`."""
  parts = [
    special.expit(np.asarray(predict(variables, image[rows]).logits))[:count]
    for rows, count in _batches(len(image), size=batch_size)
  ]
  return np.concatenate(parts)


def diagnose_logits(
  diagnose: Diagnose,
  variables,
  image: np.ndarray,
  mask: np.ndarray,
  *,
  batch_size: int,
) -> np.ndarray:
  """D's logits `[m, n + 1]` float32, the fake class last.

  Args:
    diagnose: compiled inference of D.
    variables: passed on to it as they are.
    image: `[m, h, w, 1]` uint8 or uint16, m >= 1.
    mask: `[m, h, w, k]` in [0, 1]: S's probabilities, or the true masks.
    batch_size: images at a time; shapes never change, nothing retraces.

  Raises:
    ValueError: not one mask for each image.
  """
  if image.shape[:3] != mask.shape[:3]:
    raise ValueError(f"image {image.shape} and mask {mask.shape} differ")
  mask = mask.astype(np.float32)
  parts = [
    np.asarray(diagnose(variables, image[rows], mask[rows]), np.float32)[:count]
    for rows, count in _batches(len(image), size=batch_size)
  ]
  return np.concatenate(parts)


def binarize(prob: np.ndarray, *, options: Options) -> np.ndarray:
  """Masks `[n, h, w]` bool of probabilities `[n, h, w]`."""
  prediction = prob >= options.threshold
  if not options.largest_components:
    return prediction
  keep = masks.keep_largest_components
  count = options.largest_components
  return np.stack([keep(p, count=count) for p in prediction])


def dice(prediction: np.ndarray, mask: np.ndarray) -> np.ndarray:
  """Dice `[n, ...]` of masks `[n, h, w, ...]` bool; both empty: 1."""
  both = np.sum(prediction & mask, axis=(1, 2))
  total = prediction.sum(axis=(1, 2)) + mask.sum(axis=(1, 2))
  return np.where(total, 2.0 * both / np.maximum(total, 1), 1.0)
