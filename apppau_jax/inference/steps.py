"""The networks in inference mode; who compiles it is `parallel`'s business."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from apppau_jax.models.segmentor import SegmentorOutput
from apppau_jax.training.state import Variables
from apppau_jax.transforms import augment

# Turns (degrees) and zooms at which test-time augmentation looks again.
VIEWS = ((4.0, 1.05), (-4.0, 1.05), (4.0, 0.95), (-4.0, 0.95), (0.0, 1.1))


def make_predict_step(
  segmentor: nn.Module,
  *,
  prepare: Callable[[jax.Array], jax.Array],
  views: Sequence[tuple[float, float]] = (),
) -> Callable[[Variables, jax.Array], SegmentorOutput]:
  """Returns `predict(variables, image)`: S in inference mode.

  Args:
    segmentor: the network.
    prepare: normalises images `[b, h, w, 1]` to float32.
    views: test-time augmentation: the probabilities are the mean over the
      image as it is and turned and zoomed so; `logits` is that mean's logit,
      side outputs and attention are those of the image as it is.
  """

  def predict(variables, image: jax.Array) -> SegmentorOutput:
    image = prepare(image)
    output: Any = segmentor.apply(variables, image, train=False)
    if not views:
      return output
    total = jax.nn.sigmoid(output.logits)
    for degrees, zoom in views:
      view = augment.turn(image, degrees=degrees, zoom=zoom)
      seen: Any = segmentor.apply(variables, view, train=False)
      probs = jax.nn.sigmoid(seen.logits)
      total += augment.turn(probs, degrees=-degrees, zoom=1.0 / zoom)
    mean = jnp.clip(total / (1 + len(views)), 1e-6, 1.0 - 1e-6)
    logits = jnp.log(mean) - jnp.log1p(-mean)
    return dataclasses.replace(output, logits=logits)

  return predict


def make_diagnose_step(
  discriminator: nn.Module, *, prepare: Callable[[jax.Array], jax.Array]
) -> Callable[[Variables, jax.Array, jax.Array], jax.Array]:
  """Returns `diagnose(variables, image, mask)`: D's logits `[b, n + 1]`.

  The diagnosis takes S(x) for the mask; with the true mask it tells only what
  a perfect segmentor would be worth. D judges the image as it is: the mean over
  turned and zoomed views, which helps S, cost AUROC (results/archive/appau.md).

  Args:
    discriminator: the network.
    prepare: normalises images `[b, h, w, 1]` to float32.
  """

  def diagnose(variables, image: jax.Array, mask: jax.Array) -> jax.Array:
    output: Any = discriminator.apply(
      variables, prepare(image), mask, train=False
    )
    return output.logits

  return diagnose
