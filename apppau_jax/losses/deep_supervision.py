"""Deep supervision, eq. (1): one loss for every side output, added up.

  loss = sum over i of  w_i loss_fn(side_logits_i, target_i)

The m side outputs come coarse to fine, the finest last. Output i is judged at
its own resolution against the mask averaged over the area of its pixels and,
for `side_target="hard"`, cut at >= 0.5; `soft` keeps the fraction of lung. At
the mask's own resolution the target is the mask itself, under either name.
Averaging, not striding: a strided mask drops whatever falls between its points.

Default weights double with the resolution and sum to one, 1, 2, 4, 8 over 15
for the paper's four outputs, whose weights it does not print; nnU-Net halves
likewise. Given weights are used as they are, without normalisation.

Shapes: m times `[b, h_i, w_i, c]` and a mask `[b, h, w, c]` in, `[b]` out.
Range and value on an empty mask: those of `loss_fn`, for weights that sum to
one; the area average of an empty mask is empty. One output: the plain loss.

Reference: Imran and Terzopoulos 2019, arXiv:1908.03693, eq. (1); Lee et al.
2015, Deeply-supervised nets, arXiv:1409.5185.
"""

import math
from collections.abc import Callable, Sequence

import chex
import jax
import jax.numpy as jnp

from apppau_jax import errors
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
  """Weighted sum of the losses of all side outputs of each example, eq. (1).

  Args:
    side_logits: m outputs `[b, h_i, w_i, c]`, coarse to fine, finest last.
    mask: `[b, h, w, c]` in [0, 1]; each h_i divides h, each w_i divides w.
    loss_fn: Maps logits and mask of one resolution to `[b]`.
    weights: m numbers w_i, coarse to fine, used as they are; None stands for
      `default_weights(m)`.
    side_target: `hard` or `soft`; see `side_targets`.

  Returns:
    `[b]`.

  Raises:
    ValueError: If there is no output, the outputs are not coarse to fine, or a
      resolution does not divide the mask's.
    ConfigError: If `weights` do not suit m outputs, or `side_target` is
      neither of the two.
    AssertionError: If batch or structures disagree with the mask.
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
  """Returns 1, 2, 4, ... for `count` outputs, coarse to fine, summing to 1."""
  return tuple(2**level / (2**count - 1) for level in range(count))


def side_targets(
  mask: pixels.Array,
  sizes: Sequence[tuple[int, int]],
  *,
  side_target: str = "hard",
) -> list[jax.Array]:
  """The mask as it is seen at each of the side resolutions.

  Args:
    mask: `[b, h, w, c]` in [0, 1].
    sizes: (height, width) of each side output; they divide (h, w).
    side_target: `hard` cuts the area average at >= 0.5, `soft` keeps it. The
      mask at its own size is never cut.

  Returns:
    One float array `[b, height, width, c]` in [0, 1] for each size.

  Raises:
    ValueError: If a size does not divide the mask's.
    ConfigError: If `side_target` is neither of the two.
  """
  if side_target not in ("hard", "soft"):
    raise errors.ConfigError(
      f"side_target={side_target!r} is not a way to shrink a mask: choose "
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
      "divide those of the mask, so that each of its pixels covers whole mask "
      "pixels. Choose a resolution that the network's poolings divide."
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
    raise errors.ConfigError(
      f"weights={tuple(weights)} cannot weigh {count} side output(s): give one "
      "finite weight of at least 0 for each, coarse to fine, not all of them "
      f"0, or None for {default_weights(count)}."
    )
  return tuple(weights)
