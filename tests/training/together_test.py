"""Runs that train together end as each would alone, and resume."""

import dataclasses
import os
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from apppau_jax.errors import Interrupted, NumericError
from apppau_jax.training import checkpoints, loop, parallel, plan, together

SEEDS = (3, 8)


class World:
  """Runs of 12 steps that differ in seed, first state and examples."""

  def __init__(self, tiny, resident):
    self.tiny, self.mesh = tiny, tiny.mesh()
    self.data = parallel.replicate(resident, self.mesh)
    self.alone = parallel.compile_train_step(tiny.step(), self.mesh)
    self.both = parallel.compile_train_step(
      tiny.step(), self.mesh, members=len(SEEDS)
    )

  def first(self, seed):
    return jax.tree.map(
      lambda x: x * (1.0 + seed / 10) if x.dtype == np.float32 else x,
      self.tiny.state(),
    )

  def run(self, folder, seed, *, steps=12):
    def order(step):
      return (np.arange(4, dtype=np.int32) * seed + step) % 8

    lengths = plan.Plan(
      steps=steps, steps_per_epoch=2, log_every=1, eval_every=4
    )
    folder = folder / f"seed-{seed}"

    def evaluate_fn(state):
      bias = float(state.averages["segmentor"]["params"]["Conv_1"]["bias"][0])
      return {"dice": bias}, {}

    key = parallel.replicate(np.uint32(seed), self.mesh)
    return loop.Run(
      plan=lengths,
      train_step=lambda *call: self.alone(*call, seed=key),
      feed=lambda start: (
        (self.data, parallel.replicate(order(t), self.mesh))
        for t in range(start, steps)
      ),
      order=order,
      ids=tuple("abcdefgh"),
      evaluate_fn=evaluate_fn,
      select_by="dice",
      learning_rate=self.tiny.rate,
      latest=checkpoints.Store(folder / "latest"),
      best=checkpoints.Store(folder / "best"),
      meta={"config": {"seed": seed}},
      workdir=folder,
    )

  def train(self, folder, *, spy=lambda step: None, poison_at=None):
    """Trains both together; `spy` is told each step before it is made."""
    runs = [self.run(folder, seed) for seed in SEEDS]
    keys = parallel.replicate(np.array(SEEDS, np.uint32), self.mesh)

    def step(states, examples, rows):
      number = int(states[0].step) + 1
      spy(number)
      states, metrics = self.both(states, examples, rows, seed=keys)
      if number == poison_at:
        metrics = ({**metrics[0], "loss": jnp.nan}, metrics[1])
      return states, metrics

    states = [self.first(seed) for seed in SEEDS]
    return runs, jax.device_get(together.run(runs, states, step=step))


@pytest.fixture(scope="module")
def world(make_tiny, resident):
  return World(make_tiny(), resident)


@pytest.fixture(scope="module")
def whole(world, tmp_path_factory):
  """Both runs together, without interruption."""
  return world.train(tmp_path_factory.mktemp("together"))


def test_each_run_is_the_run_alone(world, whole, tmp_path):
  """Within rounding: another program. Each keeps its own log."""
  runs, found = whole
  for one, state, seed in zip(runs, found, SEEDS):
    alone = world.run(tmp_path, seed)
    expected = jax.device_get(loop.run(alone, world.first(seed)))
    jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
      state,
      expected,
    )
    assert one.latest.steps() == alone.latest.steps() == [8, 12]
    assert one.best.steps() == alone.best.steps()
    lines = [
      (r.workdir / "metrics.jsonl").read_text().count("\n")
      for r in (one, alone)
    ]
    assert lines[0] == lines[1] > 12
  losses = [
    float(jax.tree.leaves(state.players)[0].ravel()[0]) for state in found
  ]
  assert losses[0] != losses[1]


def test_a_signal_saves_all_and_the_rest_is_bitwise(
  world, whole, tmp_path, assert_same
):
  def ask_to_stop(step):
    if step == 6:
      os.kill(os.getpid(), signal.SIGTERM)

  with pytest.raises(Interrupted):
    world.train(tmp_path, spy=ask_to_stop)
  made = []
  runs, found = world.train(tmp_path, spy=made.append)
  assert made[0] == 7
  for state, expected in zip(found, whole[1]):
    assert_same(state, expected)
  assert [one.latest.steps() for one in runs] == [[8, 12]] * 2


def test_a_loss_that_is_not_finite_names_its_run(world, tmp_path):
  with pytest.raises(NumericError, match=f"seed-{SEEDS[0]}"):
    world.train(tmp_path, poison_at=6)
  other = world.run(tmp_path, SEEDS[1])
  assert other.latest.steps() == [4]


def test_runs_of_other_lengths_are_refused(world, tmp_path):
  runs = [world.run(tmp_path, 3), world.run(tmp_path, 8, steps=10)]
  states = [world.first(seed) for seed in SEEDS]
  with pytest.raises(ValueError, match="differ in their length"):
    together.run(runs, states, step=world.both)
  # Of the same length, and one has begun.
  runs[1] = dataclasses.replace(world.run(tmp_path, 8), plan=runs[0].plan)
  loop.run(runs[1], world.first(8))
  with pytest.raises(ValueError, match="steps done"):
    together.run(runs, states, step=world.both)
