"""What a player minimises: its terms, by name."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from apppau_jax.losses import deep_supervision

LossFn = Callable[[jax.Array, jax.Array], jax.Array]


def masked_mean(values: jax.Array, valid: jax.Array) -> jax.Array:
  """Mean of `values` `[b]` where `valid` `[b]`; 0 where nothing is valid."""
  weight = valid.astype(values.dtype)
  return jnp.sum(values * weight) / jnp.maximum(jnp.sum(weight), 1.0)


def segmentation_objective(
  side_logits: Sequence[jax.Array],
  mask: jax.Array,
  *,
  has_mask: jax.Array,
  loss_fn: LossFn,
  weights: Sequence[float] | None = None,
  side_target: str = "hard",
) -> tuple[jax.Array, dict[str, jax.Array]]:
  """L_seg: eq. (1) over the labelled examples.

  Args:
    side_logits: S's outputs, each `[b, h_i, w_i, k]`, finest last.
    mask: `[b, h, w, k]` in {0, 1}.
    has_mask: `[b]` bool; the others contribute nothing, whatever `mask` holds.
    loss_fn: maps logits and mask `[b, h, w, k]` to one loss an example `[b]`.
    weights: w_i of eq. (1), coarse to fine; None takes 1, 2, 4, ... normalised.
    side_target: how the mask reaches the side resolutions, `hard` or `soft`.

  Returns:
    The scalar loss and its terms by name.
  """
  per_example = deep_supervision.deep_supervision_loss(
    side_logits,
    mask,
    loss_fn=loss_fn,
    weights=weights,
    side_target=side_target,
  )
  loss = masked_mean(per_example, has_mask)
  return loss, {"segmentation": loss}
