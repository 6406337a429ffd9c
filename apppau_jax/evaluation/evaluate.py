"""From images and a trained segmentor to numbers and the cases to look at."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from scipy import special

from apppau_jax.evaluation import figures, metrics, paper_compat, statistics

# (variables, uint8 images [b, h, w, 1]) to S's named outputs, compiled.
Predict = Callable[[Any, np.ndarray], Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
  """How probabilities become a mask.

  Attributes:
    threshold: lung where the probability is at least this.
    largest_components: keep this many connected components; 0 keeps all.
    batch_size: images at a time; shapes never change, nothing retraces.
  """

  threshold: float = 0.5
  largest_components: int = 0
  batch_size: int = 16


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scored:
  """A part of a data set, segmented and measured.

  Attributes:
    ids: the images' names.
    image: `[n, h, w]` uint8.
    mask: `[n, h, w]` bool, the truth.
    prob: `[n, h, w]` float32.
    prediction: `[n, h, w]` bool.
    per_image: one mapping of metric to value each.
  """

  ids: tuple[str, ...]
  image: np.ndarray
  mask: np.ndarray
  prob: np.ndarray
  prediction: np.ndarray
  per_image: list[dict[str, float]]


def _batches(image: np.ndarray, *, size: int):
  """Yields (batch, number of true rows); the last is padded by repetition."""
  for start in range(0, len(image), size):
    part = image[start : start + size]
    rows = np.resize(np.arange(len(part)), size)
    yield part[rows], len(part)


def predict_probs(
  predict: Predict, variables, image: np.ndarray, *, batch_size: int
) -> np.ndarray:
  """Lung probabilities `[n, h, w, k]` of uint8 images `[n, h, w, 1]`."""
  parts = [
    special.expit(np.asarray(predict(variables, batch).logits))[:count]
    for batch, count in _batches(image, size=batch_size)
  ]
  return np.concatenate(parts)


def binarize(prob: np.ndarray, *, options: Options) -> np.ndarray:
  """Masks `[n, h, w]` bool of probabilities `[n, h, w]`."""
  prediction = prob >= options.threshold
  if not options.largest_components:
    return prediction
  keep = metrics.keep_largest_components
  count = options.largest_components
  return np.stack([keep(p, count=count) for p in prediction])


def dice(prediction: np.ndarray, mask: np.ndarray) -> np.ndarray:
  """Lung Dice of each image `[n]`, of masks `[n, h, w]` bool; both empty: 1."""
  both = np.sum(prediction & mask, axis=(1, 2))
  total = prediction.sum(axis=(1, 2)) + mask.sum(axis=(1, 2))
  return np.where(total, 2.0 * both / np.maximum(total, 1), 1.0)


def score(
  predict: Predict,
  variables,
  *,
  ids: Sequence[str],
  image: np.ndarray,
  mask: np.ndarray,
  options: Options,
) -> Scored:
  """Segments and measures n images.

  Args:
    predict: compiled inference of S.
    variables: `{"params", "batch_stats"}`.
    ids: the images' names.
    image: `[n, h, w, 1]` uint8.
    mask: `[n, h, w, 1]` in {0, 1}.
    options: how probabilities become masks.
  """
  prob = predict_probs(predict, variables, image, batch_size=options.batch_size)
  prob, truth = prob[..., 0], mask[..., 0].astype(bool)
  prediction = binarize(prob, options=options)
  return Scored(
    ids=tuple(ids),
    image=image[..., 0],
    mask=truth,
    prob=prob,
    prediction=prediction,
    per_image=[
      metrics.segmentation_metrics(p, t) for p, t in zip(prediction, truth)
    ],
  )


def make_report(scored: Scored, *, facts: Mapping[str, Any]) -> dict[str, Any]:
  """What report.json holds: `facts` first, then every number.

  Args:
    scored: the measured images.
    facts: what the numbers are of (dataset, split, seed, parameters, ...).
  """
  return {
    **facts,
    "n": len(scored.ids),
    "segmentation": statistics.summarise(scored.per_image),
    "paper_compat": paper_compat.paper_compat(scored.prediction, scored.mask),
    "per_image": [
      {"id": name, **values}
      for name, values in zip(scored.ids, scored.per_image)
    ],
  }


def pick_cases(
  predict: Predict, variables, scored: Scored, *, options: Options
) -> list[figures.Case]:
  """The best, median and worst image by Dice, with all that S said of them."""
  order = np.argsort([-m["dice"] for m in scored.per_image], kind="stable")
  chosen = {"best": order[0], "median": order[len(order) // 2]}
  chosen["worst"] = order[-1]
  rows = np.resize(list(chosen.values()), options.batch_size)
  output = predict(variables, scored.image[rows][..., None])
  output = jax.tree.map(np.asarray, output)
  return [
    figures.Case(
      id=scored.ids[i],
      kind=kind,
      metrics=scored.per_image[i],
      image=scored.image[i] / 255.0,
      mask=scored.mask[i],
      prob=scored.prob[i],
      prediction=scored.prediction[i],
      side_probs=[special.expit(s[row, ..., 0]) for s in output.side_logits],
      attention={k: a[row, ..., 0] for k, a in output.attention.items()},
    )
    for row, (kind, i) in enumerate(chosen.items())
  ]
