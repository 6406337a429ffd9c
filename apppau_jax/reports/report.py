"""`report.html`: one evaluation as a page that needs nothing but itself.

No script, no remote resource, and a content security policy that forbids both.
Whatever comes from outside (image names, notes, config) is escaped by the
templates; the only trusted markup are the drawings of `figures`.
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
from apppau_jax.inference import overlay
from apppau_jax.metrics import classification
from apppau_jax.reports import diagnosis_figures, figures


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

DIAGNOSIS: dict[str, Metric] = {
  "accuracy": Metric("Accuracy", "share of images whose class was named"),
  "balanced_accuracy": Metric(
    "Balanced accuracy", "the same in each class, then the mean over classes"
  ),
  "macro_f1": Metric("Macro F1", "mean of the classes’ F1"),
  "f1": Metric("F1 of ", "of precision and recall of this class"),
  "auroc": Metric(
    "AUROC", "chance that of two images the right one scores higher"
  ),
  "mcc": Metric("MCC", "correlation of true and named class, −1 to 1"),
  "ece": Metric(
    "ECE", "distance of confidence from accuracy, 10 bins", better="lower"
  ),
  "brier": Metric(
    "Brier", "squared error summed over the classes, 0 to 2", better="lower"
  ),
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
      `structures`, `by_source`, `paper_compat`, `classification`,
      `classification_oracle_mask` and `notes` may be missing.
    history: lines of metrics.jsonl; may be empty.
    cases: images to show, in this order; may be empty.
    config: the configuration of the run.
    environment: name → value; `command` is shown as the way to reproduce.
  """
  per_image = report.get("per_image", [])
  page = _template().render(
    report=report,
    known=METRICS,
    legend=overlay.legend([*report.get("structures", {})]),
    overlay=overlay,
    metrics=report.get("segmentation", {}),
    curves=figures.curves(history),
    histogram=figures.histogram({x["id"]: _dice(x) for x in per_image}),
    cases=[_view(case, report["threshold"]) for case in cases],
    scale=figures.png(np.linspace(0, 1, 256)[None], viridis=True),
    images=sorted(per_image, key=_worst_first),
    columns=[name for name in METRICS if any(name in x for x in per_image)],
    compat=dict(_flat(report.get("paper_compat", {}))),
    diagnosis=_diagnosis(report),
    environment={k: str(v) for k, v in _flat(environment) if k != "command"},
    command=environment.get("command"),
    config=json.dumps(
      config, indent=2, sort_keys=True, ensure_ascii=False, default=str
    ),
  )
  files.write_bytes(pathlib.Path(path), page.encode())


def model_name(preset: str) -> str:
  """A preset's name in print: U-Net, Attention U-Net, PPAU-Net."""
  if preset == "ppau_unet":
    return "PPAU-Net"
  name = preset.replace("_", " ").replace("unet", "U-Net")
  return name[0].upper() + name[1:]


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
  package = resources.files("apppau_jax.reports")
  environment = jinja2.Environment(
    autoescape=True,
    loader=jinja2.FunctionLoader(
      lambda name: package.joinpath(name).read_text(encoding="utf-8")
    ),
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
  )
  environment.filters["number"] = number
  environment.filters["model_name"] = model_name
  return environment.get_template("report.html.jinja")


def _diagnosis(report: Mapping[str, Any]) -> dict[str, Any] | None:
  """What diagnosis.html.jinja needs; None where nothing was classified."""
  block = report.get("classification")
  if not block:
    return None
  names = block["class_names"]
  images = [x for x in report.get("per_image", []) if "probs" in x]
  probs = np.array([[x["probs"][c] for c in names] for x in images])
  label = np.array([names.index(x["label"]) for x in images])
  plots = []
  if images:
    roc = diagnosis_figures.roc(probs, label, class_names=names)
    plots = [roc, diagnosis_figures.reliability(probs, label)]
  return {
    "block": block,
    "rows": list(_diagnosis_rows(block)),
    "plots": [plot for plot in plots if plot],
    "oracle": report.get("classification_oracle_mask"),
    "at_end": block["temperature"] in classification.TEMPERATURES,
  }


def _diagnosis_rows(block: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
  """One row a metric, one a class for F1."""
  always, source = _always_largest(block), block.get("source_only", {})
  for name, metric in DIAGNOSIS.items():
    value, ci95 = block[name], block["ci95"][name]
    row = {"metric": metric, "value": value, "ci95": ci95}
    if name != "f1":
      others = {"always": always.get(name), "source": source.get(name)}
      yield row | {"label": metric.label} | others
      continue
    for c in block["class_names"]:
      values = {"value": value[c], "ci95": ci95[c], "always": always[name][c]}
      values["source"] = source.get(name, {}).get(c)
      yield row | {"label": metric.label + c} | values


def _always_largest(block: Mapping[str, Any]) -> dict[str, Any]:
  """What naming the largest class for every image would reach."""
  names, share = block["class_names"], block["majority_accuracy"]
  sizes = [sum(row) for row in block["confusion"]]
  f1 = dict.fromkeys(names, 0.0)
  f1[names[np.argmax(sizes)]] = 2 * share / (1 + share)
  return {
    "accuracy": share,
    "balanced_accuracy": 1 / len(names),
    "macro_f1": sum(f1.values()) / len(names),
    "f1": f1,
    "auroc": 0.5,
    "mcc": 0.0,
  }


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
  drawn = overlay.draw(
    image, mask=_planes(mask), prediction=_planes(prediction), width=2
  )
  prob, *sides = (
    _planes(x).max(axis=-1) for x in (case.prob, *case.side_probs)
  )
  return {
    "case": case,
    "overlay": figures.png(drawn),
    "image": figures.png(case.image),
    "prob": figures.png(prob, viridis=True),
    "sides": [
      (f"{x.shape[0]} × {x.shape[1]}", figures.png(x, viridis=True))
      for x in sides
    ],
    "attention": [  # from D4 to D1: coarse to fine
      _stretched(*item) for item in sorted(case.attention.items(), reverse=True)
    ],
  }


def _planes(x: np.ndarray) -> np.ndarray:
  """[h, w] or [h, w, k] as [h, w, k]."""
  return x if x.ndim == 3 else x[..., None]


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
