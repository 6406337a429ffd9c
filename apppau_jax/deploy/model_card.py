"""The README.md of an exported model: a model card (Mitchell et al. 2019)."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from apppau_jax import escapes

_USE = """\
For research only. This is not a medical device, and nothing here is fit for
diagnosis. The input is one whole frontal chest radiograph, dense parts bright.
The model does not notice films of another kind: a lateral, rotated or negative
one gets probabilities too.
"""
_CODE = """\
import json
import numpy as np
import onnxruntime
from PIL import Image

facts = json.load(open("model.json"))
pixels = np.asarray(Image.open("film.png"))  # grey, [h, w]
white, kind = 2 ** facts["bits"] - 1, f"uint{facts['bits']}"
deep = pixels.dtype != np.uint8  # then its lowest level becomes black
low, high = (float(pixels.min()), float(pixels.max())) if deep else (0, 255)
share = (pixels.astype(float) - low) / (high - low)
image = np.floor(share * white + 0.5).astype(kind)
session = onnxruntime.InferenceSession("model.onnx")
probability, *classes = session.run(None, {"image": image})
mask = probability >= facts["threshold"]  # [h, w, structures]
"""
_JAX = """\
import jax
import numpy as np

with open("model.stablehlo", "rb") as file:
  exported = jax.export.deserialize(bytearray(file.read()))
found = jax.jit(exported.call)(image)  # as above
probability = np.asarray(found["probability"])
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Card:
  """What a model card states beside model.json.

  Attributes:
    training: (name, value) of data, split, labels and network.
    metrics: (what, n, mean, interval) of evaluated parts; texts.
    notes: remarks of the reports and limits of the data, one sentence each.
    terms: (data set, conditions of its owner, citation).
  """

  training: Sequence[tuple[str, str]] = ()
  metrics: Sequence[tuple[str, ...]] = ()
  notes: Sequence[str] = ()
  terms: Sequence[tuple[str, ...]] = ()


def render(card: Card, facts: Mapping[str, Any]) -> str:
  """Returns the text of README.md."""
  metrics = "The runs have no report of an evaluation."
  if card.metrics:
    head = ("Metric", "Images", "Mean", "95 % interval")
    metrics = _table(head, card.metrics)
  parts = [
    "# Chest radiograph model",
    _USE,
    "## What it computes",
    _outputs(facts),
    "## Data and training",
    _table(("", ""), card.training),
    "## Evaluation",
    metrics,
    "## Limits",
    _list([*limits(facts), *card.notes]),
    "## Terms of the data",
    _table(("Data set", "Terms", "Cite"), card.terms),
    "The code is under the Apache License 2.0. Whether weights trained on data "
    "may be passed on is for the owners of the data to say.",
    "## Use",
    f"With ONNX Runtime:\n\n```python\n{_CODE}```",
    f"With JAX alone (packages jax and flatbuffers):\n\n```python\n{_JAX}```",
    'With apppau_jax: `apppau_jax.load("this folder").predict("film.png")`.',
  ]
  return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def _outputs(facts: Mapping[str, Any]) -> str:
  """The files, and their input and outputs."""
  masks = facts["structures"] or ["lungs"]
  lines = [
    f"Input `image`: {facts['input']['image']['type']} `[h, w]` of any size.",
    "Output `probability`: float32 "
    f"`[h, w, {len(masks)}]`: {', '.join(map(_text, masks))}.",
  ]
  if facts["classes"]:
    names = ", ".join(map(_text, facts["classes"]))
    kind = "calibrated, sums to 1"
    if facts.get("multi_label"):
      kind = "of each finding, not calibrated"
    lines.append(
      f"Output `class_probability`: float32 `[{len(facts['classes'])}]`, "
      f"{kind}: {names}."
    )
  return _list(lines)


def limits(facts: Mapping[str, Any]) -> list[str]:
  """What limits the use of a model, by what model.json states of it."""
  side, count = facts["resolution"], len(facts["views"])
  lines = [
    f"The image is stretched to {side} × {side} pixels; finer detail is lost.",
    "An image of one grey level has probabilities without a meaning.",
    f"Members that are averaged: {count}; images and views that each one sees: "
    f"{', '.join(map(str, facts['views']))}.",
  ]
  if facts["largest_components"]:
    lines.append(
      f"Keep the {facts['largest_components']} largest connected components of "
      "each mask, as the evaluation did; the files do not do this."
    )
  return lines


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
  rule = ["---"] * len(head)
  lines = [head, rule, *(map(_text, row) for row in rows)]
  return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _list(lines: Sequence[str]) -> str:
  return "\n".join(f"- {escapes.one_line(line)}" for line in lines)


def _text(text: str) -> str:
  """Text in which nothing is markup."""
  plain = escapes.one_line(str(text)).replace("\\", "\\\\")
  for mark in "`*_[]|<>":
    plain = plain.replace(mark, f"\\{mark}" if mark != "<" else "&lt;")
  return plain
