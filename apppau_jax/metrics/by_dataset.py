"""Metrics of a combined data set, one member at a time.

In a combination, the source of an image carries information on its class: in
the paper's CCX, "nodule" occurs in one set only and "tb" never there. Reports
therefore give the accuracy that the source alone reaches beside the network's.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from apppau_jax.metrics import baselines, classification, statistics

_OF_CLASSES = ("accuracy", "balanced_accuracy", "macro_f1", "mcc", "auroc")


def segmentation(
  sources: Sequence[str],
  *,
  per_image: Sequence[Mapping[str, float]],
  structures: Mapping[str, Sequence[Mapping[str, float]]],
) -> dict[str, dict[str, Any]]:
  """Summarise the segmentation of each set's images.

  Args:
    sources: The set of each of n images.
    per_image: Metrics of each image.
    structures: The same by structure; may be empty.

  Returns:
    For each set, `n`, `segmentation` and, if there are any, `structures`.
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
  """Summarise the classification within each set.

  The accuracy is among all classes: predicting a class that the set does not
  have is a mistake. The AUROC is among the set's own classes, whose
  probabilities are rescaled to a sum of one; with the other classes it would be
  undefined.

  Args:
    sources: The set of each of m images.
    probs: `[m, n]`, rows that sum to 1.
    label: `[m]` in 0..n-1.
    class_names: The n names.

  Returns:
    For each set, `n`, `class_names` (those that occur in it), `accuracy`,
    `majority_accuracy`, `auroc` (None with one class) and `ci95` of these.
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
  """Compute the metrics of a classifier that uses the set of an image only.

  Its probabilities are the shares of the classes among the given images of the
  set, so that it predicts each set's largest class: right for 513 of 912 images
  of the paper's CCX.

  Args:
    sources: The set of each of m images.
    label: `[m]` in 0..n-1.
    class_names: The n names.

  Returns:
    accuracy, balanced_accuracy, macro_f1, mcc, auroc and f1 ({class: value});
    None if undefined, as in `classification.summarise`.
  """
  found = baselines.from_class_shares(
    sources, label=label, count=len(class_names)
  )
  values = {name: float(found[name][0]) for name in _OF_CLASSES}
  by_class = dict(zip(class_names, map(float, found["f1"][0])))
  return {
    **{name: _plain(value) for name, value in values.items()},
    "f1": {name: _plain(value) for name, value in by_class.items()},
  }


def _plain(value: float) -> float | None:
  return None if np.isnan(value) else value
