"""Figures of the classification: ROC curves and the reliability diagram.

Class names are untrusted text: they stand in captions, which are escaped,
never in a figure.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from apppau_jax.metrics import classes
from apppau_jax.reports.figures import INK, MARK, SERIES, Plot, draw

_STROKES = {
  "solid": "-",
  "dashed": (0, (5, 2)),
  "dotted": (0, (1, 1.5)),
  "dash-dotted": (0, (5, 2, 1, 2)),
}
_CHANCE = {"color": MARK, "lw": 1.2, "ls": (0, (4, 2))}


def roc(
  probs: ArrayLike,
  label: ArrayLike,
  *,
  class_names: Sequence[str],
  positive: str = "",
) -> Plot | None:
  """Draws the ROC curve of the positive one of two classes, or of each of more.

  Args:
    probs: `[m, n]`.
    label: `[m]` in 0..n-1.
    class_names: the n names.
    positive: of two classes, the one that is looked for; "": the second.

  Returns:
    The figure; None where no class has both images of its own and others.
  """
  probs, label = np.asarray(probs), np.asarray(label)
  names = [*class_names]
  one = names.index(positive) if positive else 1
  drawn = range(len(names)) if len(names) > 2 else [one]
  curves = {
    class_names[c]: classes.roc_curve(probs[:, c], label == c)
    for c in drawn
    if 0 < (label == c).sum() < len(label)
  }

  def paint(axes: Any, _: np.ndarray) -> str:
    axes.plot([0, 1], [0, 1], **_CHANCE)
    words = []
    for i, (name, points) in enumerate(curves.items()):
      stroke = [*_STROKES][i % len(_STROKES)]
      axes.plot(*points.T, color=SERIES, lw=1.8, ls=_STROKES[stroke])
      area = np.trapezoid(points[:, 1], points[:, 0])
      words.append(f"{stroke.capitalize()}: {name}, area {area:.4f}.")
    axes.set_ylabel("sensitivity")
    return " ".join([*words, "Diagonal: chance, area 0.5."])

  points = np.concatenate([np.empty((0, 2)), *curves.values()])
  return draw(paint, points, title="ROC", x="1 − specificity")


def reliability(probs: ArrayLike, label: ArrayLike) -> Plot | None:
  """Draws the accuracy of the images in each bin of confidence.

  Args:
    probs: `[m, n]`.
    label: `[m]` in 0..n-1.
  """
  table = classes.reliability(probs, label)
  width = 1 / len(table)
  bins = np.flatnonzero(table[:, 0])
  tips = [
    f"Confidence {width * i:.1f} to {width * (i + 1):.1f}, mean "
    f"{table[i, 1]:.4f}: accuracy {table[i, 2]:.4f} of {table[i, 0]:.0f} images"
    for i in bins
  ]

  def paint(axes: Any, points: np.ndarray) -> str:
    for k, (left, right) in enumerate(points):
      (bar,) = axes.bar(left, right, 0.96 * width, align="edge", color=SERIES)
      bar.set(gid=f"tip-{k}", alpha=0.75)
      count = f"{table[bins[k], 0]:.0f}"
      axes.text(left + width / 2, 1.04, count, ha="center", color=INK)
    start = width * bins[0]
    axes.plot([start, 1], [start, 1], **_CHANCE)
    axes.set(xlim=(start - 0.02, 1), ylim=(-0.03, 1.14), ylabel="accuracy")
    axes.set_yticks(np.linspace(0, 1, 6))
    return (
      "Bars: accuracy of the images in each bin of confidence, their number "
      "above. The bars of calibrated probabilities end on the dashed line."
    )

  points = np.column_stack([width * bins, table[bins, 2]])
  title = "Reliability"
  return draw(paint, points, title=title, x="confidence", tips=tips)
