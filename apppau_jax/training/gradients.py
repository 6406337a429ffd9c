"""The gradient of a loss over a minibatch, whole or in parts."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from apppau_jax.training.state import Player, Tree

# Maps parameters, BatchNorm's statistics, examples and a key to the loss, its
# terms and the new statistics.
LossFn = Callable[[Tree, Tree, Any, jax.Array], tuple[jax.Array, Any]]


def gradient(
  loss_fn: LossFn,
  player: Player,
  examples: Any,
  key: jax.Array,
  *,
  accumulate: int,
) -> tuple[tuple[jax.Array, tuple[dict, Tree]], Tree]:
  """Loss, terms and statistics, and the loss's gradient.

  In parts, only one part's activations are in memory at a time. Loss, terms
  and gradient are the parts' means: those of the whole minibatch wherever the
  loss is a mean over examples and every part holds as many that count.
  BatchNorm sees a part at a time, and moves its running statistics with each:
  with it the parts are smaller batches, as in any accumulation.

  Args:
    loss_fn: see `LossFn`; the terms and statistics are its auxiliary output.
    player: whose parameters, and statistics at the start.
    examples: a tree of arrays `[b, ...]`, lengths that `accumulate` divides.
    key: randomness inside the loss; each part has its own.
    accumulate: number of parts; row i is in part i % accumulate.
  """
  slope = jax.value_and_grad(loss_fn, has_aux=True)
  if accumulate == 1:
    return slope(player.params, player.batch_stats, examples, key)

  def add(carry, part):
    stats, so_far = carry
    index, rows = part
    # What the part starts from must wait for the part before it.
    params, so_far = jax.lax.optimization_barrier((player.params, so_far))
    own = jax.random.fold_in(key, index)
    (loss, (terms, stats)), grads = slope(params, stats, rows, own)
    return (stats, jax.tree.map(jnp.add, so_far, (loss, terms, grads))), None

  rows = jax.tree.map(lambda x: _parts(x, accumulate), examples)
  first = jax.tree.map(lambda x: x[0], rows)
  (loss, (terms, _)), grads = jax.eval_shape(
    slope, player.params, player.batch_stats, first, key
  )
  nothing = jax.tree.map(
    lambda x: jnp.zeros(x.shape, x.dtype), (loss, terms, grads)
  )
  (stats, total), _ = jax.lax.scan(
    add,
    (player.batch_stats, nothing),
    (jnp.arange(accumulate), rows),
    # XLA:CPU runs a convolution inside a loop an order of magnitude slower.
    unroll=jax.default_backend() == "cpu",
  )
  loss, terms, grads = jax.tree.map(lambda x: x / accumulate, total)
  return (loss, (terms, stats)), grads


def _parts(x: jax.Array, count: int) -> jax.Array:
  """`[b, ...]` to `[count, b / count, ...]`, rows dealt out in turn."""
  return x.reshape(len(x) // count, count, *x.shape[1:]).swapaxes(0, 1)
