"""Deep supervision, eq. (1): the weighted sum of one loss per side output.

  loss = sum over i of  w_i loss_fn(side_logits_i, target_i)

The m side outputs are ordered coarse to fine, the finest last. Output i is
compared, at its own resolution, with the mask averaged over the area of each of
its pixels. `side_target="hard"` thresholds this average at >= 0.5; `soft` keeps
the fraction of lung. At the mask's own resolution both targets are the mask
itself. The mask is averaged, not strided, because striding drops whatever lies
between the sampled points.

The default weights double with the resolution and sum to one: 1, 2, 4, 8 over
15 for the paper's four outputs. The paper does not print its weights; nnU-Net
also halves them per level. Weights that are passed in are used without
normalisation.

Range and value for an empty mask: those of `loss_fn`, if the weights sum to
one. The area average of an empty mask is empty. One output gives the plain
loss.

Reference: Imran and Terzopoulos 2019, arXiv:1908.03693, eq. (1); Lee et al.
2015, Deeply-supervised nets, arXiv:1409.5185.
"""

import math
from collections.abc import Callable, Sequence

import chex
import jax
import jax.numpy as jnp

from apppau_jax.losses import pixels

LossFn = Callable[[jax.Array, jax.Array], jax.Array]


def deep_supervision_loss(
  side_logits: Sequence[pixels.Array],
  mask: pixels.Array,
  *,
  loss_fn: LossFn,
  weights: Sequence[float] | None = None,
  side_target: str = "hard",
) -> jax.Array:
  """Compute the weighted sum of the losses of all side outputs per example.

  Eq. (1) of Imran and Terzopoulos 2019, arXiv:1908.03693.

  Args:
    side_logits: m outputs `[b, h_i, w_i, c]`, coarse to fine, finest last.
    mask: `[b, h, w, c]` in [0, 1]; each h_i divides h, each w_i divides w.
    loss_fn: Maps logits and mask of one resolution to `[b]`.
    weights: m numbers w_i, at least 0, coarse to fine, used without
      normalisation; None means `default_weights(m)`.
    side_target: `hard` or `soft`; see `side_targets`.

  Returns:
    `[b]`.

  Raises:
    ValueError: There is no output, the outputs are not coarse to fine, a
      resolution does not divide the mask's, `weights` do not suit m outputs,
      or `side_target` is neither `hard` nor `soft`.
    AssertionError: Batch size or structures differ from the mask's.

  Example:
    >>> import numpy as np
    >>> from apppau_jax import losses
    >>> mask = np.zeros((1, 4, 4, 1), np.float32)
    >>> side_logits = [np.zeros((1, 2, 2, 1)), np.zeros((1, 4, 4, 1))]
    >>> loss = losses.deep_supervision_loss(
    ...   side_logits, mask, loss_fn=losses.cross_entropy_loss
    ... )
    >>> round(float(loss[0]), 3)  # (1/3 + 2/3) ln 2
    0.693
  """
  chex.assert_rank([*side_logits, mask], 4)
  sizes = [(logits.shape[1], logits.shape[2]) for logits in side_logits]
  _check_order(sizes)
  weights = _checked_weights(weights, count=len(sizes))
  targets = side_targets(mask, sizes, side_target=side_target)
  terms = []
  for weight, logits, target in zip(weights, side_logits, targets, strict=True):
    chex.assert_equal_shape((logits, target))
    loss = loss_fn(jnp.asarray(logits), target)
    chex.assert_shape(loss, (mask.shape[0],))
    terms.append(weight * loss)
  return jnp.sum(jnp.stack(terms), axis=0)


def default_weights(count: int) -> tuple[float, ...]:
  """Return weights 1, 2, 4, ... for `count` outputs, scaled to a sum of 1."""
  return tuple(2**level / (2**count - 1) for level in range(count))


def side_targets(
  mask: pixels.Array,
  sizes: Sequence[tuple[int, int]],
  *,
  side_target: str = "hard",
) -> list[jax.Array]:
  """Resample the mask to the resolution of each side output.

  Args:
    mask: `[b, h, w, c]` in [0, 1].
    sizes: (height, width) of each side output; they divide (h, w).
    side_target: `hard` thresholds the area average at >= 0.5, `soft` keeps
      it. The mask at its own size is never thresholded.

  Returns:
    One float array `[b, height, width, c]` in [0, 1] for each size.

  Raises:
    ValueError: A size does not divide the mask's, or `side_target` is neither
      `hard` nor `soft`.
  """
  if side_target not in ("hard", "soft"):
    raise ValueError(
      f"side_target={side_target!r} is not a way to resample a mask: choose "
      "'hard' (area average, then >= 0.5) or 'soft' (the area average itself)."
    )
  mask = jnp.asarray(mask)
  mask = mask.astype(jnp.promote_types(mask.dtype, jnp.float32))
  targets = []
  for size in sizes:
    target = _area_average(mask, size)
    if side_target == "hard" and size != mask.shape[1:3]:
      target = (target >= 0.5).astype(mask.dtype)
    targets.append(target)
  return targets


def _area_average(mask: jax.Array, size: tuple[int, int]) -> jax.Array:
  b, h, w, c = mask.shape
  height, width = size
  if h % height or w % width:
    raise ValueError(
      f"A side output of {height} x {width} pixels cannot be compared with a "
      f"mask of {h} x {w}: the height and the width of every side output must "
      "divide those of the mask. Choose a resolution that is a multiple of the "
      "network's total pooling factor."
    )
  blocks = mask.reshape(b, height, h // height, width, w // width, c)
  return jnp.mean(blocks, axis=(2, 4))


def _check_order(sizes: Sequence[tuple[int, int]]) -> None:
  if not sizes:
    raise ValueError("Deep supervision needs at least one side output.")
  areas = [height * width for height, width in sizes]
  if areas != sorted(areas):
    raise ValueError(
      f"The side outputs have sizes {list(sizes)}, but must come coarse to "
      "fine, the finest last: their weights follow that order."
    )


def _checked_weights(
  weights: Sequence[float] | None, *, count: int
) -> tuple[float, ...]:
  if weights is None:
    return default_weights(count)
  usable = all(0 <= weight < math.inf for weight in weights)
  if len(weights) != count or not usable or not sum(weights) > 0:
    raise ValueError(
      f"weights={tuple(weights)} do not suit {count} side output(s): give one "
      "finite weight of at least 0 for each, coarse to fine, not all of them "
      f"0, or None for {default_weights(count)}."
    )
  return tuple(weights)
