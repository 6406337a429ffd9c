"""Writes a trained model as a folder that runs without this package."""

import importlib.metadata
import pathlib
from collections.abc import Mapping
from typing import Any

import jax

from apppau_jax import files
from apppau_jax.deploy import (
  artefact,
  model_card,
  onnx_model,
  program,
  stablehlo,
)
from apppau_jax.errors import ConfigError
from apppau_jax.inference.model import Model


def write(
  model: Model,
  folder: pathlib.Path,
  *,
  version: str,
  identity: Mapping[str, Any],
  card: model_card.Card,
  onnx: bool = True,
) -> None:
  """Writes model.onnx, model.stablehlo, README.md and model.json.

  model.json is written last. An export that was interrupted is refused when it
  is loaded, since the digests of an older model.json do not fit.

  Args:
    model: a run, or an ensemble.
    folder: where to write; files of an older export are replaced.
    version: of this package.
    identity: what distinguishes the model from every other, in JSON's types.
    card: what a user should know.
    onnx: whether to write model.onnx, for which the package onnx is needed.

  Raises:
    ConfigError: the folder holds other files, onnx is not installed, or it
      cannot express the network.
  """
  check(folder, onnx=onnx)
  core = program.trace(model)
  contents = {artefact.STABLEHLO: stablehlo.build(core)}
  if onnx:
    contents[artefact.ONNX] = onnx_model.build(core)
  versions = {"apppau_jax": version, **_versions(onnx=onnx)}
  stated = facts(model) | {"versions": versions, "identity": dict(identity)}
  contents[artefact.CARD] = model_card.render(card, stated).encode()
  for name, content in contents.items():
    files.write_bytes(folder / name, content)
  if not onnx:
    (folder / artefact.ONNX).unlink(missing_ok=True)
  described = {name: artefact.describe(c) for name, c in contents.items()}
  files.write_json(folder / artefact.FACTS, stated | {"files": described})


def check(folder: pathlib.Path, *, onnx: bool) -> None:
  """Checks what can be checked before a model is loaded; see `write`."""
  if onnx and not onnx_model.available():
    raise ConfigError(
      "The package onnx is not installed. Install it with `python -m pip "
      "install -e '.[onnx]'`, or export without it (--noonnx)."
    )
  if folder.exists() and not folder.is_dir():
    raise ConfigError(f"--output={folder} is a file. Name a folder.")
  if folder.is_dir() and any(folder.iterdir()) and not artefact.is_one(folder):
    raise ConfigError(
      f"--output={folder} holds files that are not an exported model. Name a "
      "new folder, or one that an export has written."
    )


def facts(model: Model) -> dict[str, Any]:
  """What model.json states of a model, in JSON's types."""
  shapes = [["h", "w", len(model.structures) or 1], [len(model.class_names)]]
  count = 2 if model.class_names else 1
  return {
    "format": artefact.FORMAT,
    "input": {"image": {"type": f"uint{model.bits}", "shape": ["h", "w"]}},
    "outputs": {
      name: {"type": "float32", "shape": shape}
      for name, shape in zip(program.OUTPUTS[:count], shapes)
    },
    "resolution": model.resolution,
    "bits": model.bits,
    "structures": [*model.structures],
    "classes": [*model.class_names],
    "multi_label": model.multi_label,
    "threshold": float(model.threshold),
    "largest_components": model.largest_components,
    "temperature": [member.temperature for member in model.members],
    "views": [1 + len(member.views) for member in model.members],
    "platforms": [*stablehlo.PLATFORMS],
  }


def _versions(*, onnx: bool) -> dict[str, str]:
  versions = {"jax": jax.__version__}
  if onnx:
    versions["onnx"] = importlib.metadata.version("onnx")
    versions["onnx_opset"] = str(onnx_model.OPSET)
  return versions
