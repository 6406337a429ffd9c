"""report.html: one evaluation as a page that loads nothing else.

It has no script and no remote resource, and a content security policy that
forbids both. Image names, notes and configuration are untrusted text, which
the templates escape; only the SVG elements of `figures` are trusted markup.
"""

import json
import math
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from typing import Any

import jinja2
import numpy as np

from apppau_jax import files
from apppau_jax.inference import overlay
from apppau_jax.metrics import classification
from apppau_jax.reports import classification_figures, figures
from apppau_jax.reports.metric_names import (
  CLASSIFICATION,
  PAPER_UNITS,
  SEGMENTATION,
  model_name,
  number,
)


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
    path: of the page.
    report: the content of report.json. `segmentation`, `per_image`,
      `structures`, `by_source`, `paper_compat`, `classification`, `findings`,
      `classification_oracle_mask` and `notes` may be missing.
    history: lines of metrics.jsonl; may be empty.
    cases: images to show, in this order; may be empty.
    config: the configuration of the run.
    environment: values by name; `command` is shown as the command to
      reproduce the report.
  """
  per_image = report.get("per_image", [])
  page = _template().render(
    report=report,
    described=SEGMENTATION,
    described_classes=CLASSIFICATION,
    legend=overlay.legend([*report.get("structures", {})]),
    overlay=overlay,
    metrics=report.get("segmentation", {}),
    curves=figures.curves(history),
    histogram=figures.histogram({x["id"]: _dice(x) for x in per_image}),
    cases=[_view(case, report["threshold"]) for case in cases],
    scale=figures.png(np.linspace(0, 1, 256)[None], viridis=True),
    images=[
      _named(x)
      for x in (
        *sorted(per_image, key=_lowest_first),
        *report.get("class_only", []),
      )
    ],
    columns=[k for k in SEGMENTATION if any(k in x for x in per_image)],
    compat={
      PAPER_UNITS.get(name, name): value
      for name, value in _flat(report.get("paper_compat", {}))
    },
    classes=_classes(report),
    findings=report.get("findings"),
    other_dice=other_dice(report),
    environment={k: str(v) for k, v in _flat(environment) if k != "command"},
    command=environment.get("command"),
    config=json.dumps(
      config, indent=2, sort_keys=True, ensure_ascii=False, default=str
    ),
  )
  files.write_bytes(pathlib.Path(path), page.encode())


def other_dice(report: Mapping[str, Any]) -> dict[str, float]:
  """Returns the Dice of a report that is not the headline, by its title.

  Pooled Dice is that of the pixels of all images; of several structures it is
  their mean.
  """
  found = {}
  for block, where in (
    (report, ""),
    (report.get("own_size", {}), " at own size"),
  ):
    if where and block:
      found[f"Dice{where}"] = block["segmentation"]["dice"]["mean"]
    if pooled := block.get("pooled"):
      values = [ratios["dice"] for ratios in pooled.values()]
      found[f"pooled Dice{where}"] = float(np.mean(values))
  return found


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


def _classes(report: Mapping[str, Any]) -> dict[str, Any] | None:
  """What classification.html.jinja needs; None if nothing was classified."""
  block = report.get("classification")
  if not block:
    return None
  names = block["class_names"]
  every = (*report.get("per_image", []), *report.get("class_only", []))
  images = [x for x in every if "probs" in x]
  probs = np.array([[x["probs"][c] for c in names] for x in images])
  label = np.array([names.index(x["label"]) for x in images])
  plots = []
  if images:
    roc = classification_figures.roc(
      probs,
      label,
      class_names=names,
      positive=block.get("positive_class", ""),
    )
    plots = [roc, classification_figures.reliability(probs, label)]
  return {
    "block": block,
    "rows": list(_class_rows(block)),
    "plots": [plot for plot in plots if plot],
    "oracle": report.get("classification_oracle_mask"),
    "at_end": block["temperature"] in classification.TEMPERATURES,
  }


def _class_rows(block: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
  """One row for each metric, of F1 one for each class."""
  majority, source = _majority_class(block), block.get("source_only", {})
  for name, metric in CLASSIFICATION.items():
    row = {"metric": metric, "label": metric.label}
    columns = {
      "value": block[name],
      "ci95": block["ci95"][name],
      "always": majority.get(name),
      "source": source.get(name),
    }
    if name != "f1":
      yield row | columns
      continue
    for c in block["class_names"]:
      of_class = {key: (value or {}).get(c) for key, value in columns.items()}
      yield row | {"label": metric.label + c} | of_class


def _majority_class(block: Mapping[str, Any]) -> dict[str, Any]:
  """The metrics of a classifier that always predicts the largest class."""
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
  """The arrays of a case as data URIs with their labels."""
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
  """An attention map over its own range, which the label states."""
  low, high = float(np.nanmin(values)), float(np.nanmax(values))
  unit = (values - low) / (high - low or 1.0)
  return f"{name}: {low:.2f} to {high:.2f}", figures.png(unit, viridis=True)


def _named(image: Mapping[str, Any]) -> dict[str, Any]:
  """An image with the class that was `named`, and whether it is `wrong`."""
  if not image.get("probs"):
    return dict(image)
  named = max(image["probs"], key=image["probs"].get)
  return {**image, "named": named, "wrong": named != image["label"]}


def _dice(image: Mapping[str, Any]) -> float:
  value = image.get("dice")
  return float("nan") if value is None else float(value)


def _lowest_first(image: Mapping[str, Any]) -> tuple[float, str]:
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
