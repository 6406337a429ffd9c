"""The networks in inference mode, compiled once for each module and options.

Compiled functions are cached by the module, which Flax compares by its fields:
the runs of a sweep that differ in seed, loss or data share one program. Without
a mesh the programs for single images are kept for other processes too.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from apppau_jax.inference import kept_programs
from apppau_jax.models.segmentor import SegmentorOutput
from apppau_jax.training import parallel
from apppau_jax.training.state import Variables
from apppau_jax.transforms import augment, normalize

# Rotation (degrees) and zoom of each view of test-time augmentation.
VIEWS = ((4.0, 1.05), (-4.0, 1.05), (4.0, 0.95), (-4.0, 0.95), (0.0, 1.1))
_CACHED = 64  # programs of one kind: those of a whole table
_LEAST = 1e-6  # of a probability before its logit is taken

# (variables, images [b, h, w, 1]) to the segmentor's outputs.
Segment = Callable[[Variables, Any], SegmentorOutput]
# (variables, images [b, h, w, 1], masks [b, h, w, k]) to logits [b, n + 1].
Classify = Callable[[Variables, Any, Any], jax.Array]


def shapes(step: Segment | Classify, *arguments: Any) -> Any:
  """Returns what a step would return, as `jax.eval_shape` does."""
  if isinstance(step, kept_programs.Kept):
    return step.shapes(*arguments)
  return jax.eval_shape(step, *arguments)


@functools.lru_cache(maxsize=_CACHED)
def segment_step(
  segmentor: nn.Module,
  *,
  normalization: str = "minmax",
  views: tuple[tuple[float, float], ...] = (),
  mesh: parallel.Mesh | None = None,
) -> Segment:
  """Compiles the segmentor in inference mode.

  Args:
    segmentor: the network.
    normalization: of the images, a method of `transforms.normalize`.
    views: test-time augmentation, (degrees, zoom) of each view. `logits` is
      then the logit of the mean probability over the image and its views,
      which are `samples`; side outputs and attention are those of the image.
    mesh: devices over which batches are split; None for JAX's default device.
  """

  @jax.jit  # so that the network is traced once for all views
  def apply(variables: Variables, image: jax.Array) -> Any:
    return segmentor.apply(variables, image, train=False)

  def segment(variables: Variables, image: jax.Array) -> SegmentorOutput:
    image = normalize.normalize(image, method=normalization)
    output = apply(variables, image)
    if not views:
      return output
    samples = [jax.nn.sigmoid(output.logits)]
    for degrees, zoom in views:
      view = augment.turn(image, degrees=degrees, zoom=zoom)
      probs = jax.nn.sigmoid(apply(variables, view).logits)
      samples.append(augment.turn(probs, degrees=-degrees, zoom=1.0 / zoom))
    mean = jnp.clip(sum(samples) / len(samples), _LEAST, 1.0 - _LEAST)
    logits = jnp.log(mean) - jnp.log1p(-mean)
    return dataclasses.replace(output, logits=logits, samples=tuple(samples))

  if mesh is not None:
    return parallel.compile_predict(segment, mesh)
  return kept_programs.Kept(
    lambda variables, image: vars(segment(variables, image)),
    of=("segment", segmentor, normalization, views),
    finish=lambda outputs: SegmentorOutput(**outputs),
  )


@functools.lru_cache(maxsize=_CACHED)
def classify_step(
  discriminator: nn.Module,
  *,
  normalization: str = "minmax",
  mesh: parallel.Mesh | None = None,
) -> Classify:
  """Compiles the discriminator in inference mode; arguments as above.

  An image is classified with S(x) as its mask; with the reference mask the
  logits are a diagnostic only. Test-time views are not averaged here: they
  help the segmentor, and lowered the AUROC (results/archive/appau.md).
  """

  def classify(variables: Variables, image: jax.Array, mask: jax.Array):
    image = normalize.normalize(image, method=normalization)
    output: Any = discriminator.apply(variables, image, mask, train=False)
    return output.logits

  if mesh is not None:
    return parallel.compile_predict(classify, mesh)
  return kept_programs.Kept(
    classify, of=("classify", discriminator, normalization)
  )
