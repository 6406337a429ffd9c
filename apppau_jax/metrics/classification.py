"""Class probabilities from D's logits, their calibration and a summary.

D has n + 1 logits. The last one, "this mask was predicted", is dropped, and the
n real ones are renormalised: eqs. (9) and (10) of the paper for an image whose
true mask is not available. `classes` defines the metrics; this module
calibrates the probabilities and gives the metrics with their intervals.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from apppau_jax.metrics import bootstrap, classes
from apppau_jax.metrics.bootstrap import Floats
from apppau_jax.metrics.classes import Labels

TEMPERATURES = (0.1, 10.0)  # the range of `fit_temperature`
# Validation images with a class below which no temperature is fitted to them.
LEAST_CALIBRATED = 20


def posterior(
  logits: ArrayLike, *, temperature: float = 1.0, multi_label: bool = False
) -> Floats:
  """Compute class probabilities from D's logits, without the fake class.

  Args:
    logits: `[m, n + 1]`, the fake class last; n >= 2.
    multi_label: Whether the n are findings, each with a probability of its own
      (n >= 1), and not classes.
    temperature: Divisor of the logits. Above 1 it flattens the probabilities;
      the most probable class stays the same.

  Returns:
    `[m, n]`, of classes rows that sum to 1.

  Raises:
    ValueError: Other shapes, values that are not finite, or a temperature that
      is not positive.

  Example:
    >>> from apppau_jax.metrics import classification
    >>> classification.posterior([[0.0, 0.0, 9.0]])
    array([[0.5, 0.5]])
  """
  if not (np.isfinite(temperature) and temperature > 0):
    raise ValueError(f"temperature {temperature} is not positive and finite")
  if multi_label:
    return special.expit(_real(logits, least=1) / temperature)
  return special.softmax(_real(logits) / temperature, axis=1)


def fit_temperature(logits: ArrayLike, label: ArrayLike) -> float:
  """Fit the temperature that maximises the likelihood of the labels.

  Guo et al., On calibration of modern neural networks, ICML 2017. The mean of
  -log posterior(logits, temperature=T)[label] is minimised over T in
  `TEMPERATURES`. It is convex in 1 / T, so the root of its slope is the only
  minimum. The lower end of the range is returned if the logits separate the
  images perfectly, the upper end if they are no better than chance.

  Args:
    logits: `[m, n + 1]` of validation images; the last, the fake class, is not
      used.
    label: `[m]` in 0..n-1; images with any other label, such as -1, are
      ignored.

  Returns:
    T; 1.0 if T has no effect: no label, or all real logits equal.

  Raises:
    ValueError: Logits that `posterior` refuses, or labels of another shape.
  """
  from scipy import optimize  # slow to import and not needed in training

  real, label = _real(logits), np.asarray(label)
  if label.shape != real.shape[:1]:
    raise ValueError(f"label {label.shape} is not [{len(real)}]")
  labelled = (label >= 0) & (label < real.shape[1])
  real, label = real[labelled], label[labelled]
  lead = real - real[np.arange(len(label)), label][:, None]  # over the label
  if not lead.any():
    return 1.0

  def slope(inverse: float) -> float:
    return float((special.softmax(inverse * lead, axis=1) * lead).sum())

  low, high = TEMPERATURES
  if slope(1 / low) <= 0:
    return low
  if slope(1 / high) >= 0:
    return high
  return 1 / float(
    optimize.root_scalar(slope, bracket=(1 / high, 1 / low)).root
  )


def calibration(probs: ArrayLike, label: ArrayLike) -> dict[str, float]:
  """Compute the expected calibration error and the Brier score of `classes`.

  Args:
    probs: `[m, n]`, rows that sum to 1.
    label: `[m]` in 0..n-1.

  Returns:
    `ece` and `brier`, lower is better.

  Example:
    >>> from apppau_jax.metrics import classification
    >>> classification.calibration([[0.5, 0.5], [0.5, 0.5]], [0, 1])
    {'ece': 0.0, 'brier': 0.5}
  """
  probs, label = np.asarray(probs, np.float64), np.asarray(label)
  whole = np.ones((1, len(label)))
  found = classes.measure(whole, probs=probs, label=label)
  return {name: float(found[name][0]) for name in ("ece", "brier")}


def summarise(
  probs: ArrayLike,
  label: ArrayLike,
  *,
  class_names: Sequence[str],
  seed: int = 0,
) -> dict[str, Any]:
  """Compute every metric of `classes` with its interval, ready for JSON.

  The intervals are percentile bootstraps over images (10 000 resamples, their
  2.5th and 97.5th percentiles), drawn within each class. The splits are
  stratified, so the number of images of a class is fixed, and no resample lacks
  a class. The intervals hold for these shares of classes; that of
  `majority_accuracy` has no width. If every image is right, the interval of the
  accuracy has no width either, although the accuracy is not certain. A
  resample repeats images, which raises its ECE; an interval that would not
  contain the estimate is extended to it.

  Args:
    probs: `[m, n]`, rows that sum to 1.
    label: `[m]` in 0..n-1.
    class_names: The n names, all different.
    seed: Seed of the resampling; the same seed gives the same intervals.

  Returns:
    n, class_names, confusion (n lists of n counts, rows true), each metric
    (`f1` as {class: value}), `ci95` (the same keys, [low, high] for each) and
    `undefined` ({metric: reason}); undefined metrics and their intervals are
    None.

  Raises:
    ValueError: There is no image, or shapes, values, labels or names do not
      fit.

  Example:
    >>> from apppau_jax.metrics import classification
    >>> probs = [[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]]
    >>> found = classification.summarise(
    ...   probs, [0, 0, 1, 1], class_names=["normal", "tb"]
    ... )
    >>> found["accuracy"], found["auroc"], found["confusion"]
    (0.75, 1.0, [[2, 0], [1, 1]])
  """
  probs, label = _checked(probs, label, class_names=class_names)
  data = {"probs": probs, "label": label}
  whole = np.ones((1, len(label)))
  value = classes.measure(whole, **data)
  parts = [
    classes.measure(weights, **data)
    for weights in bootstrap.resamples(len(label), seed=seed, label=label)
  ]
  ci95 = {
    name: _interval(np.concatenate([part[name] for part in parts]), point[0])
    for name, point in value.items()
  }
  absent = [name for c, name in enumerate(class_names) if c not in label]
  reason = f"no image of class {', '.join(absent)}"
  return {
    "n": len(label),
    "class_names": list(class_names),
    "confusion": classes.confusion(whole, **data)[0].astype(int).tolist(),
    **_plain({name: point[0] for name, point in value.items()}, class_names),
    "ci95": _plain(ci95, class_names),
    "undefined": {k: reason for k, v in value.items() if np.isnan(v).any()},
  }


def _real(logits: ArrayLike, *, least: int = 2) -> Floats:
  logits = np.asarray(logits, np.float64)
  if logits.ndim != 2 or logits.shape[1] < least + 1:
    raise ValueError(
      f"logits {logits.shape} are not [m, n + 1] with n >= {least}"
    )
  if not np.isfinite(logits).all():
    raise ValueError("D's logits are not all finite")
  return logits[:, :-1]


def _checked(
  probs: ArrayLike, label: ArrayLike, *, class_names: Sequence[str]
) -> tuple[Floats, Labels]:
  probs, label = np.asarray(probs, np.float64), np.asarray(label)
  count = len(class_names)
  if count < 2 or len(set(class_names)) < count:
    raise ValueError(f"class names {[*class_names]} are not two or more")
  if label.ndim != 1 or not label.size or probs.shape != (len(label), count):
    raise ValueError(
      f"probs {probs.shape} and label {label.shape} are not [m, {count}] and"
      " [m] of at least one image"
    )
  if not np.isin(label, range(count)).all():
    raise ValueError(f"labels must lie in 0 to {count - 1}")
  if not (probs >= 0).all() or abs(probs.sum(axis=1) - 1).max() > 1e-4:
    raise ValueError("probs must be >= 0 and sum to 1 for each image")
  return probs, label.astype(int)


def _interval(values: Floats, estimate: Floats) -> Floats:
  """Return [2, ...], low and high of [r, ...], containing the estimate."""
  low, high = bootstrap.interval(values)
  return np.stack([np.fmin(low, estimate), np.fmax(high, estimate)])


def _plain(
  values: dict[str, Floats], class_names: Sequence[str]
) -> dict[str, Any]:
  """Return the values for JSON: f1 [..., n] by class, NaN as None."""

  def plain(value: Floats) -> Any:
    return None if np.isnan(value).any() else value.tolist()

  by_class = {c: plain(values["f1"][..., i]) for i, c in enumerate(class_names)}
  return {k: plain(v) for k, v in values.items()} | {"f1": by_class}
