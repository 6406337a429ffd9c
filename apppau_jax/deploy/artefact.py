"""An exported model as a folder: what it consists of, and how it is read.

Nothing in such a folder is believed. File names are fixed, sizes are bounded,
nothing that it names is imported, and the program is read only if it has the
SHA-256 that model.json states.
"""

import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import numpy as np
from jax import export
from scipy import special

from apppau_jax import reading
from apppau_jax.deploy import stablehlo
from apppau_jax.deploy.program import OUTPUTS
from apppau_jax.errors import CheckpointError
from apppau_jax.imaging import grey_levels
from apppau_jax.inference.member import Member
from apppau_jax.inference.model import Model
from apppau_jax.models.segmentor import SegmentorOutput

FORMAT = "apppau_jax export 1"
FACTS, CARD = "model.json", "README.md"
ONNX, STABLEHLO = "model.onnx", "model.stablehlo"
MAX_BYTES = 2**31  # of a program
_MAX_FACTS = 2**20  # bytes of model.json
_MAX_NAMES = 256  # structures, or classes
_LEAST = 1e-6  # of a probability before its logit is taken
_AGAIN = "Export the run again with `python -m launch.export`."
_FILE = {"sha256": str, "bytes": int}
_FORM = {
  "format": str,
  "files": {str: _FILE},
  "resolution": int,
  "bits": int,
  "structures": [str],
  "classes": [str],
  "multi_label?": bool,
  "threshold": float,
  "largest_components": int,
  "versions": {str: str},
}


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class ExportedMember(Member):
  """An exported program in place of a run's networks.

  Attributes:
    call: maps an image `[r, r]` to outputs by name.
    multi_label: see `Model`.
  """

  call: Callable[[np.ndarray], Mapping[str, Any]]
  multi_label: bool = False

  def segment(self, image: np.ndarray, *, mesh: Any = None) -> SegmentorOutput:
    """The logits of the mean probabilities for images `[b, r, r, 1]`."""
    probs = np.stack([self.call(one)[OUTPUTS[0]] for one in image[..., 0]])
    logits: Any = special.logit(probs.clip(_LEAST, 1 - _LEAST))
    return SegmentorOutput(logits=logits, side_logits=(logits,), attention={})

  def classify(
    self, image: np.ndarray, mask: np.ndarray, *, mesh: Any = None
  ) -> np.ndarray:
    """Logits `[b, n + 1]` whose class probabilities are the program's.

    Raises:
      ValueError: the masks are not the program's own.
    """
    found = [self.call(one) for one in image[..., 0]]
    own = np.stack([one[OUTPUTS[0]] for one in found])
    if not np.allclose(own, mask, atol=2 * _LEAST):
      raise ValueError("an exported model classifies with its own masks only")
    probs = np.stack([one[OUTPUTS[1]] for one in found])
    fake = np.zeros((len(probs), 1))
    if self.multi_label:
      logits = special.logit(probs.clip(_LEAST, 1 - _LEAST))
      return np.hstack([logits, fake])
    return np.hstack([np.log(probs.clip(np.finfo(np.float32).tiny)), fake])


class Exported(nn.Module):
  """Stands for the networks inside an exported program."""


def is_one(folder: str | os.PathLike[str]) -> bool:
  """Whether a folder holds an exported model."""
  return (pathlib.Path(folder).expanduser() / FACTS).is_file()


def load(folder: str | os.PathLike[str]) -> Model:
  """Loads an exported model, which computes by its StableHLO program.

  Raises:
    CheckpointError: a file is missing, damaged or not the one that model.json
      names; this version of JAX cannot read it; or it is for another platform.
  """
  folder = pathlib.Path(folder).expanduser()
  facts = read_facts(folder)
  exported = _program(folder, facts)
  classes, structures = tuple(facts["classes"]), tuple(facts["structures"])
  multi_label = facts.get("multi_label", False)
  member = ExportedMember(
    Exported(),
    {"params": {}},
    discriminator=Exported() if classes else None,
    call=jax.jit(exported.call),
    multi_label=multi_label,
  )
  return Model(
    [member],
    resolution=facts["resolution"],
    bits=facts["bits"],
    structures=structures,
    class_names=classes,
    multi_label=multi_label,
    threshold=facts["threshold"],
    largest_components=facts["largest_components"],
    batch_size=1,
  )


def read_facts(folder: pathlib.Path) -> dict[str, Any]:
  """Reads model.json.

  Raises:
    CheckpointError: it is damaged, or not of this version.
  """
  path = folder / FACTS
  if path.is_file() and path.stat().st_size > _MAX_FACTS:
    raise CheckpointError(f"{path} is larger than {_MAX_FACTS} bytes. {_AGAIN}")
  facts = reading.read_json(path, _FORM, error=CheckpointError, advice=_AGAIN)
  names = (facts["structures"], facts["classes"])
  usable = {
    "format": facts["format"] == FORMAT,
    "resolution": 1 <= facts["resolution"] <= 4096,
    "bits": facts["bits"] in grey_levels.BITS,
    "threshold": 0 <= facts["threshold"] <= 1,
    "largest_components": 0 <= facts["largest_components"] <= 1000,
    "structures or classes": max(map(len, names)) <= _MAX_NAMES,
  }
  wrong = [name for name, good in usable.items() if not good]
  if wrong:
    value = facts.get(wrong[0], "too many")
    raise CheckpointError(
      f"{path} has the {wrong[0]} {value!r}, which this version cannot use. "
      f"{_AGAIN}"
    )
  return facts


def describe(content: bytes) -> dict[str, Any]:
  """What model.json states of a file."""
  return {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


def _content(
  folder: pathlib.Path, name: str, facts: Mapping[str, Any]
) -> bytes:
  """Reads a file of the folder that is the one that model.json states."""
  path, stated = folder / name, facts["files"].get(name)
  if stated is None or not path.is_file():
    missing = f"{FACTS} does not list it" if path.is_file() else "it is missing"
    raise CheckpointError(f"{path} cannot be used: {missing}. {_AGAIN}")
  size = path.stat().st_size
  if size > MAX_BYTES:
    raise CheckpointError(
      f"{path} is larger than {MAX_BYTES:,} bytes. {_AGAIN}"
    )
  if size != stated["bytes"]:
    raise CheckpointError(
      f"{path} has {size:,} bytes and {FACTS} states {stated['bytes']:,}: it "
      f"is cut, or belongs to another export. Copy it again. {_AGAIN}"
    )
  content = path.read_bytes()
  if describe(content) != stated:
    raise CheckpointError(
      f"{path} is not the file of which {FACTS} states the SHA-256: it is "
      f"damaged, or belongs to another export. Copy it again. {_AGAIN}"
    )
  return content


def _program(folder: pathlib.Path, facts: Mapping[str, Any]) -> export.Exported:
  """Reads the program, and checks that it is what model.json describes."""
  path = folder / STABLEHLO
  content = _content(folder, STABLEHLO, facts)
  try:
    exported = export.deserialize(bytearray(content))
    stablehlo.check(exported)
  except Exception as error:  # whatever JAX and MLIR raise
    reason = " ".join(str(error).split())[:200]
    raise CheckpointError(
      f"{path} was written by JAX {facts['versions'].get('jax', '?')} and "
      f"cannot be read by JAX {jax.__version__}: {reason}. JAX reads programs "
      f"for some months only. {_AGAIN} {ONNX} beside it does not expire."
    ) from error
  here = export.default_export_platform()
  if here not in exported.platforms:
    raise CheckpointError(
      f"{path} is for {', '.join(exported.platforms)} and JAX runs on {here} "
      f"here. Set JAX_PLATFORMS, use {ONNX}, or {_AGAIN[0].lower()}{_AGAIN[1:]}"
    )
  _check_signature(path, exported, facts)
  return exported


def _check_signature(
  path: pathlib.Path, exported: export.Exported, facts: Mapping[str, Any]
) -> None:
  """Checks types and shapes; the image's size is free."""
  masks, classes = len(facts["structures"]) or 1, len(facts["classes"])
  outputs: dict[str, tuple[str, ...]] = {OUTPUTS[0]: ("h", "w", str(masks))}
  if classes:
    outputs[OUTPUTS[1]] = (str(classes),)
  kind = np.dtype(grey_levels.dtype_of(facts["bits"]))
  wanted_tree = jax.tree.structure(dict.fromkeys(outputs, 0))
  found = [
    (tuple(map(str, one.shape)), one.dtype)
    for one in (*exported.in_avals, *exported.out_avals)
  ]
  shapes = [outputs[name] for name in sorted(outputs)]  # as a tree's leaves
  wanted = [(("h", "w"), kind), *((shape, np.float32) for shape in shapes)]
  if found != wanted or exported.out_tree != wanted_tree:
    raise CheckpointError(
      f"{path} does not compute what {FACTS} states: it maps "
      f"{', '.join(map(str, exported.in_avals))} to "
      f"{', '.join(map(str, exported.out_avals))}. {_AGAIN}"
    )
