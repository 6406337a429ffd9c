"""From D's logits to the class of each image, and how far to believe it.

D has n + 1 logits. The last, "this mask was predicted", is dropped and the n
real ones are renormalised: how eqs. (9) and (10) of the paper are read for an
image whose true mask nobody has. `class_metrics` defines the metrics; this
module calibrates, resamples and writes them down.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from apppau_jax.metrics import classes as class_metrics
from apppau_jax.metrics.classes import Floats, Labels

TEMPERATURES = (0.1, 10.0)  # the range of `fit_temperature`
_RESAMPLES = 10_000
_COUNTS_AT_ONCE = 2_000_000  # 16 MB of counts, however many images there are


def posterior(logits: ArrayLike, *, temperature: float = 1.0) -> Floats:
  """Class probabilities `[m, n]` of D's logits, the fake class dropped.

  Args:
    logits: `[m, n + 1]`, the fake class last; n >= 2.
    temperature: divides the logits; above 1 is less sure, the most probable
      class stays.

  Raises:
    ValueError: other shapes, values that are not finite, a temperature that
      is not positive.
  """
  if not (np.isfinite(temperature) and temperature > 0):
    raise ValueError(f"temperature {temperature} is not positive and finite")
  return special.softmax(_real(logits) / temperature, axis=1)


def fit_temperature(logits: ArrayLike, label: ArrayLike) -> float:
  """The temperature under which the labels are likeliest (Guo et al. 2017).

  Minimises the mean of -log posterior(logits, temperature=T)[label] over T in
  `TEMPERATURES`. It is convex in 1 / T, so the root of its slope is the one
  minimum. Images that the logits separate perfectly would ask for T = 0 and
  get the lower end; logits no better than chance get the upper one.

  Args:
    logits: `[m, n + 1]` of validation images, the fake class last, not used.
    label: `[m]` in 0..n-1; images of any other label, as -1, are left out.

  Returns:
    T; 1.0 where nothing depends on it: no label, or all real logits equal.

  Raises:
    ValueError: logits that `posterior` refuses, or labels of another shape.
  """
  from scipy import optimize  # slow to import, and no training needs it

  real, label = _real(logits), np.asarray(label)
  if label.shape != real.shape[:1]:
    raise ValueError(f"label {label.shape} is not [{len(real)}]")
  known = (label >= 0) & (label < real.shape[1])
  real, label = real[known], label[known]
  lead = real - real[np.arange(len(label)), label][:, None]  # over the truth
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


def summarise(
  probs: ArrayLike,
  label: ArrayLike,
  *,
  class_names: Sequence[str],
  seed: int = 0,
) -> dict[str, Any]:
  """Every metric of `class_metrics` with its uncertainty, ready for JSON.

  Intervals are percentile bootstraps (10 000 resamples, their 2.5th and
  97.5th percentiles) over images, drawn within each class: the splits are
  stratified, so how many images a class has is a choice, not chance, and no
  resample lacks a class. They hold for these shares of classes (the interval
  of `majority_accuracy` has no width). Where no image is wrong, the accuracy's
  has none either: nothing varies, which is not certainty. A resample repeats
  images, which raises its ECE; an interval that would miss the estimate is
  extended to it.

  Args:
    probs: `[m, n]`, rows that sum to 1.
    label: `[m]` in 0..n-1, all known.
    class_names: the n names, all different.
    seed: of the resampling; the same seed gives the same intervals.

  Returns:
    n, class_names, confusion (n lists of n counts, rows true), each metric
    (`f1` as {class: value}), `ci95` (the same keys, [low, high] for each) and
    `undefined` ({metric: why}): these, and their intervals, are None.

  Raises:
    ValueError: no image, or other shapes, values, labels or names.
  """
  probs, label = _checked(probs, label, class_names=class_names)
  data = {"probs": probs, "label": label}
  whole = np.ones((1, len(label)))
  value = class_metrics.measure(whole, **data)
  parts = [
    class_metrics.measure(weights, **data)
    for weights in _resamples(label, seed=seed)
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
    "confusion": class_metrics.confusion(whole, **data)[0].astype(int).tolist(),
    **_plain({name: point[0] for name, point in value.items()}, class_names),
    "ci95": _plain(ci95, class_names),
    "undefined": {k: reason for k, v in value.items() if np.isnan(v).any()},
  }


def _real(logits: ArrayLike) -> Floats:
  logits = np.asarray(logits, np.float64)
  if logits.ndim != 2 or logits.shape[1] < 3:
    raise ValueError(f"logits {logits.shape} are not [m, n + 1] with n >= 2")
  if not np.isfinite(logits).all():
    raise ValueError("D's logits are not all finite")
  return logits[:, :-1]


def _checked(
  probs: ArrayLike, label: ArrayLike, *, class_names: Sequence[str]
) -> tuple[Floats, Labels]:
  probs, label = np.asarray(probs, np.float64), np.asarray(label)
  classes = len(class_names)
  if classes < 2 or len(set(class_names)) < classes:
    raise ValueError(f"class names {[*class_names]} are not two or more")
  if label.ndim != 1 or not label.size or probs.shape != (len(label), classes):
    raise ValueError(
      f"probs {probs.shape} and label {label.shape} are not [m, {classes}] and"
      " [m] of at least one image"
    )
  if not np.isin(label, range(classes)).all():
    raise ValueError(f"labels must lie in 0 to {classes - 1}")
  if not (probs >= 0).all() or abs(probs.sum(axis=1) - 1).max() > 1e-4:
    raise ValueError("probs must be >= 0 and sum to 1 for each image")
  return probs, label.astype(int)


def _resamples(label: Labels, *, seed: int) -> Iterator[Floats]:
  """How often each image occurs in each resample, some [r, m] at a time."""
  rng = np.random.default_rng(seed)
  n = len(label)
  classes = [np.flatnonzero(label == c) for c in np.unique(label)]
  rows = max(1, _COUNTS_AT_ONCE // n)
  for start in range(0, _RESAMPLES, rows):
    size = min(rows, _RESAMPLES - start)
    drawn = [c[rng.integers(len(c), size=(size, len(c)))] for c in classes]
    flat = np.arange(size)[:, None] * n + np.concatenate(drawn, axis=1)
    counts = np.bincount(flat.ravel(), minlength=size * n)
    yield counts.reshape(size, n).astype(float)


def _interval(values: Floats, estimate: Floats) -> Floats:
  """[2, ...], low and high of values [r, ...], holding the estimate [...]."""
  low, high = np.percentile(values, [2.5, 97.5], axis=0)
  return np.stack([np.fmin(low, estimate), np.fmax(high, estimate)])


def _plain(
  values: dict[str, Floats], class_names: Sequence[str]
) -> dict[str, Any]:
  """The values as JSON has them: f1 [..., n] by class, NaN as None."""

  def plain(value: Floats) -> Any:
    return None if np.isnan(value).any() else value.tolist()

  by_class = {c: plain(values["f1"][..., i]) for i, c in enumerate(class_names)}
  return {k: plain(v) for k, v in values.items()} | {"f1": by_class}
