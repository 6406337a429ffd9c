"""Metrics of a combined data set, one member at a time.

A combination pools images whose class is partly told by where they come from:
in the paper's CCX "nodule" occurs in one set only and "tb" never there. What
the source alone is worth is printed beside what the network is worth.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from apppau_jax.metrics import classes, classification, statistics

_OF_CLASSES = ("accuracy", "balanced_accuracy", "macro_f1", "mcc", "auroc")


def segmentation(
  sources: Sequence[str],
  *,
  per_image: Sequence[Mapping[str, float]],
  structures: Mapping[str, Sequence[Mapping[str, float]]],
) -> dict[str, dict[str, Any]]:
  """The segmentation of each set's images, as the report has that of all.

  Args:
    sources: the set of each of n images.
    per_image: metrics of each image.
    structures: the same by structure; may be empty.

  Returns:
    For each set `n`, `segmentation` and, where there are any, `structures`.
  """
  blocks: dict[str, dict[str, Any]] = {}
  for source in sorted(set(sources)):
    rows = [i for i, other in enumerate(sources) if other == source]
    blocks[source] = {
      "n": len(rows),
      "segmentation": statistics.summarise([per_image[i] for i in rows]),
    }
    if structures:
      blocks[source]["structures"] = {
        name: statistics.summarise([values[i] for i in rows])
        for name, values in structures.items()
      }
  return blocks


def diagnosis(
  sources: Sequence[str],
  *,
  probs: np.ndarray,
  label: np.ndarray,
  class_names: Sequence[str],
) -> dict[str, dict[str, Any]]:
  """What of the diagnosis means something within one set.

  The accuracy is among all classes: naming a class that the set does not have
  is a mistake. The AUROC is among the set's own, their probabilities brought
  to a sum of one; with the others it would be undefined.

  Args:
    sources: the set of each of m images.
    probs: `[m, n]`, rows that sum to 1.
    label: `[m]` in 0..n-1.
    class_names: the n names.

  Returns:
    For each set `n`, `class_names` (those that occur in it), `accuracy`,
    `majority_accuracy`, `auroc` (None with one class) and `ci95` of them.
  """
  of = np.asarray(sources)
  blocks = {}
  for source in sorted(set(sources)):
    rows = of == source
    whole = classification.summarise(
      probs[rows], label[rows], class_names=class_names
    )
    own = np.unique(label[rows])
    block: dict[str, Any] = {
      "n": whole["n"],
      "class_names": [class_names[c] for c in own],
      **{k: whole[k] for k in ("accuracy", "majority_accuracy")},
      "auroc": None,
      "ci95": {"accuracy": whole["ci95"]["accuracy"], "auroc": None},
    }
    if len(own) > 1:
      among = probs[rows][:, own].astype(float) + 1e-12
      among = classification.summarise(
        among / among.sum(axis=1, keepdims=True),
        np.searchsorted(own, label[rows]),
        class_names=block["class_names"],
      )
      block["auroc"] = among["auroc"]
      block["ci95"]["auroc"] = among["ci95"]["auroc"]
    blocks[source] = block
  return blocks


def source_only(
  sources: Sequence[str], *, label: np.ndarray, class_names: Sequence[str]
) -> dict[str, Any]:
  """What a classifier reaches that knows the set of an image, nothing else.

  Its probabilities are the shares of the classes among these very images of
  the set, so that it names each set's largest class: 513 of 912 for the
  paper's CCX.

  Returns:
    accuracy, balanced_accuracy, macro_f1, mcc, auroc and f1 ({class: value});
    None where undefined, as in `classification.summarise`.
  """
  of, n = np.asarray(sources), len(class_names)
  probs = np.empty((len(label), n))
  for source in set(sources):
    counts = np.bincount(label[of == source], minlength=n)
    probs[of == source] = counts / counts.sum()
  found = classes.measure(np.ones((1, len(label))), probs=probs, label=label)
  values = {name: float(found[name][0]) for name in _OF_CLASSES}
  by_class = dict(zip(class_names, map(float, found["f1"][0])))
  return {
    **{name: _plain(value) for name, value in values.items()},
    "f1": {name: _plain(value) for name, value in by_class.items()},
  }


def _plain(value: float) -> float | None:
  return None if np.isnan(value) else value
