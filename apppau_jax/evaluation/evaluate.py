"""From images and a trained segmentor to numbers and the cases to look at."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from scipy import special

from apppau_jax.evaluation import (
  classification,
  figures,
  metrics,
  paper_compat,
  statistics,
)

# (variables, uint8 images [b, h, w, 1]) to S's named outputs, compiled.
Predict = Callable[[Any, np.ndarray], Any]
# (variables, uint8 images [b, h, w, 1], float32 masks [b, h, w, 1]) to D's
# logits [b, n + 1], the fake class last, compiled.
Diagnose = Callable[[Any, np.ndarray, np.ndarray], Any]

_ORACLE = (
  "Diagnostic only, not a result: D was shown the true masks, which nobody has"
  " of a new patient."
)


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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Diagnosis:
  """What D said of the images of a `Scored`, in its order.

  Attributes:
    logits: `[n, k + 1]` of D(x, S(x)), k classes, the fake class last.
    label: `[n]` true class in 0..k-1; -1 where unknown.
    class_names: the k names.
    temperature: of `classification.posterior`, from validation images.
    oracle_logits: `[n, k + 1]` of D(x, true mask), if it was asked.
  """

  logits: np.ndarray
  label: np.ndarray
  class_names: Sequence[str]
  temperature: float = 1.0
  oracle_logits: np.ndarray | None = None


def _batches(total: int, *, size: int):
  """Yields (rows [size], how many count); the last is padded by repetition."""
  for start in range(0, total, size):
    count = min(size, total - start)
    yield start + np.resize(np.arange(count), size), count


def predict_probs(
  predict: Predict, variables, image: np.ndarray, *, batch_size: int
) -> np.ndarray:
  """Lung probabilities `[n, h, w, k]` of uint8 images `[n, h, w, 1]`."""
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
    image: `[m, h, w, 1]` uint8, m >= 1.
    mask: `[m, h, w, 1]` in [0, 1]: S's probabilities, or the true masks.
    batch_size: images at a time; shapes never change, nothing retraces.

  Raises:
    ValueError: not one mask for each image.
  """
  if image.shape != mask.shape:
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


def make_report(
  scored: Scored,
  *,
  facts: Mapping[str, Any],
  diagnosis: Diagnosis | None = None,
) -> dict[str, Any]:
  """What report.json holds: `facts` first, then every number.

  With a diagnosis, and an image whose class is known, there are also
  `classification` (`classification.summarise` of those images, with the
  `temperature`), `classification_oracle_mask` (the same with the true masks,
  with a `note` that it is no result; None if not asked) and, in `per_image`,
  `label` and `probs` of each of them.

  Args:
    scored: the measured images.
    facts: what the numbers are of (dataset, split, seed, parameters, ...).
    diagnosis: what D said of the same images.

  Raises:
    ValueError: not one label and one row of logits for each image.
  """
  diagnosed, classes = _classification(scored, diagnosis)
  return {
    **facts,
    "n": len(scored.ids),
    "segmentation": statistics.summarise(scored.per_image),
    **diagnosed,
    "paper_compat": paper_compat.paper_compat(scored.prediction, scored.mask),
    "per_image": [
      {"id": name, **values, **classes.get(i, {})}
      for i, (name, values) in enumerate(zip(scored.ids, scored.per_image))
    ],
  }


def _classification(
  scored: Scored, diagnosis: Diagnosis | None
) -> tuple[dict[str, Any], dict[int, dict[str, Any]]]:
  """The report's two blocks, and what to add to which image."""
  if diagnosis is None or not (np.asarray(diagnosis.label) >= 0).any():
    return {}, {}
  label, names = np.asarray(diagnosis.label), diagnosis.class_names
  known = np.flatnonzero(label >= 0)

  def judge(logits: np.ndarray) -> tuple[np.ndarray, dict[str, Any]]:
    if not len(logits) == len(label) == len(scored.ids):
      raise ValueError(
        f"{len(scored.ids)} images need as many logits, not {len(logits)}, and"
        f" labels, not {len(label)}"
      )
    kept = {"temperature": float(diagnosis.temperature)}
    probs = classification.posterior(logits[known], **kept)
    values = classification.summarise(probs, label[known], class_names=names)
    return probs, {**kept, **values}

  probs, block = judge(diagnosis.logits)
  oracle = diagnosis.oracle_logits
  if oracle is not None:
    oracle = {"note": _ORACLE, **judge(oracle)[1]}
  classes = {
    int(i): {"label": names[label[i]], "probs": dict(zip(names, row.tolist()))}
    for i, row in zip(known, probs)
  }
  blocks = {"classification": block, "classification_oracle_mask": oracle}
  return blocks, classes


def pick_cases(
  predict: Predict, variables, scored: Scored, *, options: Options
) -> list[figures.Case]:
  """The best, median and worst image by Dice, with all that S said of them."""
  order = np.argsort([-m["dice"] for m in scored.per_image], kind="stable")
  chosen = {"best": order[0], "median": order[len(order) // 2]}
  chosen["worst"] = order[-1]
  rows = np.resize(list(chosen.values()), max(3, options.batch_size))
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
