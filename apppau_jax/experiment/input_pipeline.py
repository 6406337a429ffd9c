"""The inputs of the training step: which examples, from memory or disk."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Generator
from typing import Any

import numpy as np

from apppau_jax.batch import Batch
from apppau_jax.datasets import examples as stored
from apppau_jax.datasets import prefetch
from apppau_jax.datasets.parts import Parts
from apppau_jax.errors import ConfigError
from apppau_jax.experiment.networks import Config
from apppau_jax.experiment.step import labelled_rows
from apppau_jax.training import example_order as order
from apppau_jax.training import loop, parallel


def to_batch(loaded: stored.Examples) -> Batch:
  """Return examples as a batch, in the memory of this process."""
  names = (field.name for field in dataclasses.fields(Batch))
  arrays: dict[str, Any] = {name: getattr(loaded, name) for name in names}
  return Batch(**arrays).check()


def feed(
  source: stored.Source,
  *,
  order: Callable[[int], np.ndarray],
  mesh: parallel.Mesh,
  plan: loop.Plan,
) -> loop.Feed:
  """Return the inputs of the training step, from any step on.

  Args:
    source: the training examples. Those in memory are copied to every device
      once, and step t gathers rows `order(t)`. Of those on disk each process
      reads its own rows ahead of their step, and nothing is gathered.
    order: maps a step to rows of `source`.
    mesh: the devices.
    plan: lengths of the run.

  Raises:
    ConfigError: examples on disk, and several steps a call.
  """
  if isinstance(source, stored.Examples):
    resident = parallel.replicate(to_batch(source), mesh)
    return lambda start: (
      (resident, parallel.replicate(plan.rows(order, made), mesh))
      for made in plan.calls(start)
    )
  if plan.steps_per_call > 1:
    raise ConfigError(
      "config.data.streaming reads the examples of one step at a time, and "
      f"config.train.steps_per_call={plan.steps_per_call}; set it to 1."
    )

  def read(step: int) -> tuple[stored.Examples, np.ndarray]:
    rows = order(step)
    own = parallel.own_rows(rows, mesh)
    return source.take(own.ravel()), rows

  def stream(start: int) -> Generator[tuple[Batch, None], None, None]:
    ready = prefetch.ahead(read, start=start, stop=plan.steps)
    with contextlib.closing(ready):
      for part, rows in ready:
        yield parallel.spread(to_batch(part), rows, mesh), None

  return stream


def minibatches(config: Config, split: Parts) -> Callable[[int], np.ndarray]:
  """Return a function from a step to the rows that it learns from.

  Labelled rows come first, then unlabelled ones, each kind in its own endless
  order. With a discriminator a step takes two successive minibatches, `[2, b]`:
  that of D, then that of S.
  """
  with_masks = labelled_rows(config)
  without = config.train.unlabelled_in_batch
  count = len(split.train_labelled)

  def rows(turn: int) -> np.ndarray:
    take = functools.partial(order.batch_indices, seed=config.seed, step=turn)
    labelled = take(size=count, batch_size=with_masks)
    if not without:
      return labelled
    unlabelled = take(
      size=len(split.train_unlabelled), batch_size=without, stream=1
    )
    return np.concatenate([labelled, count + unlabelled])

  if not config.discriminator.enabled:
    return rows
  return lambda step: np.stack([rows(2 * step), rows(2 * step + 1)])
