import hashlib
import pathlib
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apppau_jax.training import example_order

sizes = st.integers(1, 60)
seeds = st.integers(0, 2**40)


def stream_of(*, steps: int, **which) -> np.ndarray:
  return np.concatenate(
    [example_order.batch_indices(step=t, **which) for t in range(steps)]
  )


@settings(max_examples=60, deadline=None)
@given(seed=seeds, size=sizes, batch_size=st.integers(1, 40))
def test_each_epoch_visits_each_example_once(seed, size, batch_size):
  steps = -(-3 * size // batch_size)
  row = stream_of(steps=steps, seed=seed, size=size, batch_size=batch_size)
  for epoch in range(3):
    visited = row[epoch * size : (epoch + 1) * size]
    assert Counter(visited.tolist()) == Counter(range(size))


@settings(max_examples=60, deadline=None)
@given(
  seed=seeds, size=sizes, small=st.integers(1, 12), times=st.integers(1, 9)
)
def test_large_batches_are_small_ones_laid_end_to_end(seed, size, small, times):
  which = {"seed": seed, "size": size}
  row = stream_of(steps=2 * times, batch_size=small, **which)
  large = stream_of(steps=2, batch_size=small * times, **which)
  np.testing.assert_array_equal(large, row)


def test_nine_images_fill_a_batch_of_sixteen():
  batch = example_order.batch_indices(seed=3, step=0, size=9, batch_size=16)
  first = example_order.epoch_permutation(seed=3, epoch=0, size=9)
  second = example_order.epoch_permutation(seed=3, epoch=1, size=9)
  np.testing.assert_array_equal(batch, [*first, *second[:7]])
  assert batch.shape == (16,)
  assert batch.dtype == np.int32


def test_a_late_step_needs_no_history():
  which = {"seed": 5, "step": 123_457, "size": 355, "batch_size": 16}
  code = (
    "from apppau_jax.training import example_order as order; "
    f"print(order.batch_indices(**{which!r}).tolist())"
  )
  for step in range(3):  # a history that the other process does not have
    example_order.batch_indices(**{**which, "step": step})
  fresh = subprocess.run(
    [sys.executable, "-c", code],
    cwd=pathlib.Path(example_order.__file__).parents[2],
    capture_output=True,
    text=True,
    check=True,
  )
  assert fresh.stdout.strip() == str(
    example_order.batch_indices(**which).tolist()
  )


def test_the_order_never_changes_between_versions():
  assert example_order.batch_indices(
    seed=0, step=1, size=9, batch_size=8
  ).tolist() == [
    4,
    4,
    7,
    8,
    6,
    1,
    2,
    0,
  ]
  row = stream_of(steps=100, seed=7, size=93, batch_size=16, stream=1)
  assert hashlib.sha256(row.astype("<i4").tobytes()).hexdigest() == (
    "7e8fffb5ddb002425d8fffaf70c622df73c4ee404ce514cfc97940bbfad1779a"
  )


def test_the_generator_is_philox_keyed_by_seed_stream_epoch():
  generator = np.random.Philox(np.random.SeedSequence([11, 2, 4]))
  words = generator.random_raw(30).tolist()
  by_word = sorted(range(30), key=lambda i: words[i])
  assert (
    example_order.epoch_permutation(
      seed=11, stream=2, epoch=4, size=30
    ).tolist()
    == by_word
  )


@pytest.mark.parametrize("other", [{"seed": 1}, {"stream": 1}, {"epoch": 1}])
def test_seeds_streams_and_epochs_are_independent(other):
  which = {"seed": 0, "stream": 0, "epoch": 0, "size": 2000}
  a = example_order.epoch_permutation(**which).astype(float)
  b = example_order.epoch_permutation(**{**which, **other}).astype(float)
  # Rank correlation of independent orders has sd 1 / sqrt(n - 1) = 0.022.
  assert abs(np.corrcoef(a, b)[0, 1]) < 0.1
  assert abs(np.corrcoef(a, np.arange(2000))[0, 1]) < 0.1


def test_every_place_is_equally_likely():
  first = [
    example_order.epoch_permutation(seed=s, epoch=0, size=5)[0]
    for s in range(2000)
  ]
  counts = np.bincount(first, minlength=5)
  # chi-squared with 4 degrees of freedom: 23.5 has probability 1e-4.
  assert ((counts - 400) ** 2 / 400).sum() < 23.5


def test_a_caller_cannot_spoil_the_next_one():
  first = example_order.epoch_permutation(seed=0, epoch=0, size=8)
  with pytest.raises(ValueError, match="read-only"):
    first[0] = 99
  batch = example_order.batch_indices(seed=0, step=0, size=8, batch_size=8)
  batch[:] = 0
  again = example_order.batch_indices(seed=0, step=0, size=8, batch_size=8)
  assert sorted(again.tolist()) == list(range(8))


@pytest.mark.parametrize(
  ("size", "batch_size", "steps"),
  [(93, 16, 6), (96, 16, 6), (97, 16, 7), (9, 16, 1), (355, 16, 23)],
)
def test_steps_per_epoch(size, batch_size, steps):
  assert example_order.steps_per_epoch(size, batch_size) == steps


@pytest.mark.parametrize(
  "wrong",
  [
    {"size": 0},
    {"batch_size": 0},
    {"seed": -1},
    {"step": -1},
    {"stream": -1},
  ],
)
def test_impossible_orders_are_refused(wrong):
  which = {"seed": 0, "step": 0, "size": 4, "batch_size": 2, "stream": 0}
  with pytest.raises(ValueError, match=r"not|negative"):
    example_order.batch_indices(**{**which, **wrong})


def test_an_order_of_nothing_is_refused():
  with pytest.raises(ValueError, match="at least one example"):
    example_order.epoch_permutation(seed=0, epoch=0, size=0)
