"""A trained model as one JAX program with its weights inside."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from apppau_jax.imaging import grey_levels
from apppau_jax.inference.member import Member
from apppau_jax.inference.model import Model
from apppau_jax.models import FeatureClassifier, blocks

# Names of the outputs, of a model without a classifier only the first.
OUTPUTS = ("probability", "class_probability")


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Core:
  """What an exported model computes at the network's resolution.

  Attributes:
    jaxpr: from grey levels `[1, r, r, 1]` to the mean probabilities
      `[1, r, r, k]` and, with a classifier, the classes' `[n]`.
    resolution: r.
    dtype: of the levels, uint8 or uint16.
    masks: k.
    classes: n, or 0.
  """

  jaxpr: core.ClosedJaxpr
  resolution: int
  dtype: np.dtype
  masks: int
  classes: int


def trace(model: Model) -> Core:
  """Traces the networks, views and averages of a model.

  The convolutions are XLA's own, in float32: an exported program calls no
  library, and means the same on every machine.

  Raises:
    ValueError: the model unites masks, see `Model.lungs_only`.
  """
  if model.united:
    raise ValueError("export the model itself and not its lungs_only()")
  members = [_portable(member) for member in model.members]

  def compute(levels: Any) -> tuple[Any, ...]:
    probs = [jax.nn.sigmoid(m.segment(levels).logits) for m in members]
    mean: Any = sum(probs) / len(members)
    if not model.class_names:
      return (mean,)
    logits = [m.classify(levels, mean) / m.temperature for m in members]
    of_classes = jax.nn.sigmoid if model.multi_label else jax.nn.softmax
    classes = [of_classes(one[0, :-1]) for one in logits]
    return mean, sum(classes) / len(members)

  dtype, side = np.dtype(grey_levels.dtype_of(model.bits)), model.resolution
  levels = jax.ShapeDtypeStruct((1, side, side, 1), dtype)
  jaxpr = jax.make_jaxpr(compute)(levels)
  return Core(
    jaxpr=jaxpr,
    resolution=side,
    dtype=dtype,
    masks=len(model.structures) or 1,
    classes=len(model.class_names),
  )


def _portable(member: Member) -> Member:
  plain = {"operations": blocks.XLA, "dtype": jnp.float32}
  segmentor = member.segmentor.clone(**plain, remat=False)
  classifier = member.discriminator
  if isinstance(classifier, FeatureClassifier):
    classifier = classifier.clone(segmentor=segmentor)
  elif classifier is not None:
    classifier = classifier.clone(**plain)
  return dataclasses.replace(
    member, segmentor=segmentor, discriminator=classifier
  )
