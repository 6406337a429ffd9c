"""The examples of step t, a pure function of (seed, t).

An epoch is a shuffle of all examples. The epochs are laid end to end and cut
into batches: a batch may straddle two epochs, and a set smaller than a batch
fills it several times. Nothing needs saving for an exact resume, and the order
is the same on any number of devices.
"""

import functools

import numpy as np


@functools.lru_cache(maxsize=64)
def _permutation(seed: int, stream: int, epoch: int, size: int) -> np.ndarray:
  # Sorting 64-bit words of a generator whose output is frozen: NumPy keeps
  # the right to change what `Generator.permutation` returns, not this.
  words = np.random.Philox(np.random.SeedSequence((seed, stream, epoch)))
  order = np.argsort(words.random_raw(size), kind="stable").astype(np.int32)
  order.setflags(write=False)  # shared by all callers through the cache
  return order


def epoch_permutation(
  *, seed: int, epoch: int, size: int, stream: int = 0
) -> np.ndarray:
  """Return the order of one epoch.

  Args:
    seed: the run's seed, >= 0.
    epoch: from 0.
    size: number of examples, >= 1.
    stream: tells apart independent orders of one run, >= 0 (the labelled
      images and the unlabelled ones).

  Returns:
    int32 `[size]`, read-only: each of 0..size-1 once.

  Raises:
    ValueError: a negative argument, or no examples.
  """
  if size < 1:
    raise ValueError(f"an order needs at least one example, not {size}")
  if min(seed, epoch, stream) < 0:
    raise ValueError(
      f"seed {seed}, epoch {epoch} and stream {stream} must not be negative"
    )
  return _permutation(seed, stream, epoch, size)


def batch_indices(
  *, seed: int, step: int, size: int, batch_size: int, stream: int = 0
) -> np.ndarray:
  """Return the examples of one step.

  Position p of the endless row of epochs is entry p % size of epoch p // size;
  step t takes positions t * batch_size to (t + 1) * batch_size - 1.

  Args:
    seed: the run's seed, >= 0.
    step: from 0.
    size: number of examples, >= 1; may be less than `batch_size`.
    batch_size: examples a step, over all devices, >= 1.
    stream: see `epoch_permutation`.

  Returns:
    int32 `[batch_size]`, each in 0..size-1.

  Raises:
    ValueError: a negative seed, step or stream, or an empty set or batch.
  """
  if batch_size < 1:
    raise ValueError(f"a batch needs at least one example, not {batch_size}")
  if size < 1:
    raise ValueError(f"an order needs at least one example, not {size}")
  start = step * batch_size
  stop = start + batch_size
  parts = []
  for epoch in range(start // size, (stop - 1) // size + 1):
    order = epoch_permutation(seed=seed, epoch=epoch, size=size, stream=stream)
    first = epoch * size
    parts.append(order[max(start - first, 0) : stop - first])
  return np.concatenate(parts)


def steps_per_epoch(size: int, batch_size: int) -> int:
  """Return the number of steps that use every example at least once."""
  return -(-size // batch_size)
