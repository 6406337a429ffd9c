"""Classification metrics of predicted probabilities, with weighted images.

The predicted class is the most probable one, the first of equals. The metrics
of a confusion matrix C [n, n] (rows true) of m images, with t and g the sums of
its rows and columns, are:

  accuracy           sum(C_cc) / m
  majority_accuracy  max(t) / m: the accuracy of always predicting one class
  balanced_accuracy  mean over classes of the recall C_cc / t_c
  f1, macro_f1       2 C_cc / (t_c + g_c) of each class; their mean
  mcc                (m sum(C_cc) - t.g) / sqrt((m^2 - t.t) (m^2 - g.g)),
                     Gorodkin, "Comparing two K-category assignments by a
                     K-category correlation coefficient", 2004; 0 if all
                     predictions are one class

The metrics of the probabilities are:

  auroc  P(an image of the class scores above one of the rest), where a tie
         counts half; n = 2: of class 1, n > 2: the mean of one class versus
         the rest over the classes
  ece    sum_b m_b / m |accuracy_b - confidence_b| over 10 bins of equal width
         ([0, .1], (.1, .2], ...) of the probability of the predicted class;
         Guo et al., "On calibration of modern neural networks", ICML 2017
  brier  mean over images of sum_c (p_c - y_c)^2, in [0, 2]; for n = 2 twice
         the Brier score of P(class 1) alone

A class without an image has no recall, F1 or ROC. These metrics and the means
over classes that need them are then NaN; the means are never taken over the
other classes only. The MCC is NaN if all images are of one class.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from apppau_jax.metrics.bootstrap import Floats

Labels = NDArray[np.integer]

BINS = 10


def measure(
  weights: Floats, *, probs: Floats, label: Labels
) -> dict[str, Floats]:
  """Compute each metric of the module's head under each of r weightings.

  Args:
    weights: `[r, m]`, how often each image counts; rows that sum to m.
    probs: `[m, n]`, rows that sum to 1.
    label: `[m]` in 0..n-1.

  Returns:
    {metric: [r]}, f1 [r, n]; undefined values are NaN.

  Example:
    >>> import numpy as np
    >>> from apppau_jax.metrics import classes
    >>> probs = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    >>> label = np.array([0, 1, 1])
    >>> found = classes.measure(np.ones((1, 3)), probs=probs, label=label)
    >>> round(float(found["accuracy"][0]), 3), float(found["auroc"][0])
    (0.667, 1.0)
  """
  classes = probs.shape[1]
  confidence, right = probs.max(axis=1), probs.argmax(axis=1) == label
  gaps = np.eye(BINS)[_bin(confidence)] * (right - confidence)[:, None]
  errors = ((probs - np.eye(classes)[label]) ** 2).sum(axis=1)
  areas = [
    auroc(weights, score=probs[:, c], positive=label == c)
    for c in (range(classes) if classes > 2 else [1])
  ]
  return {
    **_of_confusion(confusion(weights, probs=probs, label=label)),
    "auroc": np.mean(areas, axis=0),
    "ece": np.abs(weights @ gaps).sum(axis=1) / len(label),
    "brier": weights @ errors / len(label),
  }


def confusion(weights: Floats, *, probs: Floats, label: Labels) -> Floats:
  """Count confusion matrices `[r, n, n]`, rows true; see `measure`."""
  classes = probs.shape[1]
  cell = label * classes + probs.argmax(axis=1)
  counts = weights @ np.eye(classes**2)[cell]
  return counts.reshape(-1, classes, classes)


def auroc(
  weights: Floats, *, score: Floats, positive: NDArray[np.bool_]
) -> Floats:
  """Compute the AUROC under each of r weightings.

  Args:
    weights: `[r, m]`, how often each image counts.
    score: `[m]`, finite, higher for the positive class.
    positive: `[m]` bool.

  Returns:
    `[r]`; NaN where no positive or no negative image counts.
  """
  # Groups of equal score, in ascending order.
  order = np.argsort(score, kind="stable")
  starts = np.flatnonzero(np.diff(score[order], prepend=-np.inf))
  hits, misses = (
    np.add.reduceat(weights[:, order] * part[order], starts, axis=1)
    for part in (positive, ~positive)
  )
  below = np.cumsum(misses, axis=1) - misses / 2
  pairs = hits.sum(axis=1) * misses.sum(axis=1)
  return _ratio((hits * below).sum(axis=1), pairs)


def roc_curve(score: ArrayLike, positive: ArrayLike) -> Floats:
  """Compute the ROC curve, one point per distinct score.

  Args:
    score: `[m]`, finite, higher for the positive class.
    positive: `[m]` bool, with both values present.

  Returns:
    `[k, 2]` from (0, 0) to (1, 1): false and true positive rate if every image
    with at least a given score is positive, the highest score first. The area
    under the straight lines between these points is the AUROC.

  Example:
    >>> from apppau_jax import metrics
    >>> metrics.roc_curve([0.9, 0.4, 0.6], [True, True, False]).tolist()
    [[0.0, 0.0], [0.0, 0.5], [1.0, 0.5], [1.0, 1.0]]
  """
  score, positive = np.asarray(score, float), np.asarray(positive, bool)
  order = np.argsort(-score, kind="stable")
  last = np.flatnonzero(np.diff(score[order], append=-np.inf))
  hits, misses = (np.cumsum(x[order])[last] for x in (positive, ~positive))
  points = np.stack([misses / misses[-1], hits / hits[-1]], axis=1)
  return np.concatenate([np.zeros((1, 2)), points])


def reliability(probs: ArrayLike, label: ArrayLike) -> Floats:
  """Compute count, mean confidence and accuracy in each bin of the ECE.

  Args:
    probs: `[m, n]`.
    label: `[m]` in 0..n-1.

  Returns:
    `[10, 3]`; confidence and accuracy of an empty bin are NaN.
  """
  probs = np.asarray(probs, float)
  confidence = probs.max(axis=1)
  right = probs.argmax(axis=1) == np.asarray(label)
  columns = np.stack([np.ones(len(probs)), confidence, right], axis=1)
  sums = np.eye(BINS)[_bin(confidence)].T @ columns
  return np.column_stack([sums[:, 0], _ratio(sums[:, 1:], sums[:, :1])])


def _of_confusion(counts: Floats) -> dict[str, Floats]:
  hits = np.diagonal(counts, axis1=1, axis2=2)
  true, predicted = counts.sum(axis=2), counts.sum(axis=1)
  total, right = true.sum(axis=1), hits.sum(axis=1)
  f1 = np.where(true > 0, _ratio(2 * hits, true + predicted), np.nan)
  return {
    "accuracy": right / total,
    "majority_accuracy": true.max(axis=1) / total,
    "balanced_accuracy": _ratio(hits, true).mean(axis=1),
    "macro_f1": f1.mean(axis=1),
    "f1": f1,
    "mcc": _mcc(true, predicted=predicted, right=right),
  }


def _mcc(true: Floats, *, predicted: Floats, right: Floats) -> Floats:
  total = true.sum(axis=1)
  spread, spread_predicted = (
    total**2 - (x**2).sum(axis=1) for x in (true, predicted)
  )
  covariance = total * right - (true * predicted).sum(axis=1)
  mcc = _ratio(covariance, np.sqrt(spread * spread_predicted))
  return np.where((spread > 0) & (spread_predicted == 0), 0.0, mcc)


def _bin(confidence: Floats) -> NDArray[np.intp]:
  edges = np.linspace(0, 1, BINS + 1)
  return np.clip(np.searchsorted(edges, confidence) - 1, 0, BINS - 1)


def _ratio(part: Floats, whole: Floats) -> Floats:
  """Divide; the result is NaN where `whole` is 0."""
  undefined = np.full(np.broadcast_shapes(part.shape, whole.shape), np.nan)
  return np.divide(part, whole, out=undefined, where=whole > 0)
