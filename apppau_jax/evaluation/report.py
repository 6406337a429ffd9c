"""`report.html`: one evaluation as a page that needs nothing but itself.

No script, no remote resource, and a content security policy that forbids both.
Whatever comes from outside (image names, notes, config) is escaped by the
template; the only trusted markup are the drawings of `figures`.
"""

import json
import math
import numbers
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from typing import Any, NamedTuple

import jinja2
import numpy as np

from apppau_jax import files
from apppau_jax.evaluation import figures


class Metric(NamedTuple):
  """How a metric is written and explained."""

  label: str
  meaning: str
  unit: str = ""
  better: str = "higher"


_LENGTH = ("px", "lower")
METRICS: dict[str, Metric] = {
  "dice": Metric("Dice", "overlap 2|A∩B| / (|A|+|B|) of prediction and mask"),
  "jaccard": Metric("Jaccard", "overlap |A∩B| / |A∪B|, also called IoU"),
  "ssim": Metric("SSIM", "structural similarity of the two binary masks"),
  "f1": Metric("F1", "of precision and recall; the same quantity as Dice"),
  "hausdorff": Metric(
    "Hausdorff", "largest distance from one outline to the other", *_LENGTH
  ),
  "hausdorff95": Metric(
    "HD95", "95th percentile of it, the worse direction", *_LENGTH
  ),
  "average_hausdorff": Metric(
    "Average Hausdorff", "mean of it, the worse direction", *_LENGTH
  ),
  "assd": Metric("ASSD", "mean of it over both outlines", *_LENGTH),
  "sensitivity": Metric("Sensitivity", "share of the lungs that was found"),
  "specificity": Metric("Specificity", "share of the rest that was left out"),
  "precision": Metric("Precision", "share of the prediction that is lung"),
  "recall": Metric("Recall", "the same quantity as sensitivity"),
}


def write_report(
  path: str | os.PathLike[str],
  *,
  report: Mapping[str, Any],
  history: Sequence[Mapping[str, Any]],
  cases: Sequence[figures.Case],
  config: Mapping[str, Any],
  environment: Mapping[str, Any],
) -> None:
  """Writes the page atomically; equal arguments give equal bytes.

  Args:
    path: where to; an existing file gives way only to a complete one.
    report: the contents of report.json. `segmentation`, `per_image`,
      `paper_compat`, `classification` and `notes` may be missing.
    history: lines of metrics.jsonl; may be empty.
    cases: images to show, in this order; may be empty.
    config: the configuration of the run.
    environment: name → value; `command` is shown as the way to reproduce.
  """
  per_image = report.get("per_image", [])
  page = _template().render(
    report=report,
    known=METRICS,
    figures=figures,
    metrics=report.get("segmentation", {}),
    curves=figures.curves(history),
    histogram=figures.histogram({x["id"]: _dice(x) for x in per_image}),
    cases=[_view(case, report["threshold"]) for case in cases],
    scale=figures.png(np.linspace(0, 1, 256)[None], viridis=True),
    images=sorted(per_image, key=_worst_first),
    columns=[name for name in METRICS if any(name in x for x in per_image)],
    compat=dict(_flat(report.get("paper_compat", {}))),
    classification=dict(_flat(report.get("classification", {}))),
    environment={k: str(v) for k, v in _flat(environment) if k != "command"},
    command=environment.get("command"),
    config=json.dumps(
      config, indent=2, sort_keys=True, ensure_ascii=False, default=str
    ),
  )
  files.write_bytes(pathlib.Path(path), page.encode())


def number(value: Any, unit: str = "") -> str:
  """Writes a value for a reader: ratios to 4 places, lengths to 2.

  What is not a finite number becomes a word, never an error.
  """
  if value is None:
    return "–"
  if isinstance(value, bool) or not isinstance(value, numbers.Real):
    return str(value)
  if isinstance(value, numbers.Integral):
    return f"{int(value):,}"
  value = float(value)
  if math.isnan(value):
    return "undefined"
  if math.isinf(value):
    return "infinite" if value > 0 else "−infinite"
  return f"{value:.2f}" if unit else f"{value:.4f}"


def _template() -> jinja2.Template:
  package = resources.files("apppau_jax.evaluation")
  text = package.joinpath("report.html.jinja").read_text(encoding="utf-8")
  environment = jinja2.Environment(
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
  )
  environment.filters["number"] = number
  return environment.from_string(text)


def _view(case: figures.Case, threshold: float) -> dict[str, Any]:
  """Turns the arrays of a case into data URIs with their labels."""
  prediction = case.prediction
  if prediction is None:
    prediction = case.prob >= threshold
  factor = max(1, round(512 / max(case.image.shape)))  # two dots a CSS pixel
  image, mask, prediction = (
    x.repeat(factor, axis=0).repeat(factor, axis=1)
    for x in (case.image, case.mask, prediction)
  )
  drawn = figures.overlay(image, mask=mask, prediction=prediction, width=2)
  return {
    "case": case,
    "overlay": figures.png(drawn),
    "image": figures.png(case.image),
    "prob": figures.png(case.prob, viridis=True),
    "sides": [
      (f"{x.shape[0]} × {x.shape[1]}", figures.png(x, viridis=True))
      for x in case.side_probs
    ],
    "attention": [  # from D4 to D1: coarse to fine
      _stretched(*item) for item in sorted(case.attention.items(), reverse=True)
    ],
  }


def _stretched(name: str, values: np.ndarray) -> tuple[str, str]:
  """An attention map over its own range, which the label tells."""
  low, high = float(np.nanmin(values)), float(np.nanmax(values))
  unit = (values - low) / (high - low or 1.0)
  return f"{name}: {low:.2f} to {high:.2f}", figures.png(unit, viridis=True)


def _dice(image: Mapping[str, Any]) -> float:
  value = image.get("dice")
  return float("nan") if value is None else float(value)


def _worst_first(image: Mapping[str, Any]) -> tuple[float, str]:
  value = _dice(image)
  return (-math.inf if math.isnan(value) else value, str(image["id"]))


def _flat(
  values: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, Any]]:
  """Yields nested values as ('outer.inner', value), lists as text."""
  for name, value in values.items():
    if isinstance(value, Mapping):
      yield from _flat(value, f"{prefix}{name}.")
    elif isinstance(value, Sequence) and not isinstance(value, str):
      yield f"{prefix}{name}", ", ".join(number(item) for item in value)
    else:
      yield f"{prefix}{name}", value
