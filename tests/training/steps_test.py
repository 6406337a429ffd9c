"""The step: what it changes, what it depends on, on one device and two."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from apppau_jax.training import parallel
from apppau_jax.training import state as state_lib

INDICES = np.array([5, 0, 3, 6], np.int32)


def test_step_follows_the_gradient_of_the_objective(tiny, resident):
  """Parameters after a step equal a gradient computed by finite difference."""
  state = tiny.state()
  batch = resident.take(INDICES)
  step = tiny.step(seed=3)
  after, metrics = jax.jit(step)(state, batch)

  prepared = tiny.prepare(tiny.prepare_key(seed=3, step=0), batch)
  before = state.players["segmentor"]

  @jax.jit
  def loss(params):
    output, _ = tiny.module.apply(
      {**before.variables, "params": params},
      prepared.image,
      train=True,
      mutable=["batch_stats"],
    )
    return tiny.objective(
      output.side_logits, prepared.mask, has_mask=prepared.has_mask
    )[0]

  params = before.params
  assert float(metrics["loss"]) == pytest.approx(float(loss(params)), rel=1e-5)
  # Adam's first step is -rate * sign(gradient) wherever that is not tiny.
  bias = params["Conv_1"]["bias"]
  h = 1e-2
  up = loss({**params, "Conv_1": {**params["Conv_1"], "bias": bias + h}})
  down = loss({**params, "Conv_1": {**params["Conv_1"], "bias": bias - h}})
  slope = float(up - down) / (2 * h)
  new = after.players["segmentor"].params
  moved = float((new["Conv_1"]["bias"] - bias)[0])
  assert abs(slope) > 1e-3
  assert moved == pytest.approx(-0.05 * np.sign(slope), rel=1e-3)
  assert int(after.step) == 1


def test_randomness_is_a_function_of_seed_and_step(tiny, resident):
  state = tiny.state()
  batch = resident.take(INDICES)

  runs = {seed: jax.jit(tiny.step(seed=seed)) for seed in (0, 1)}

  def loss(seed, at):
    moved = state.replace(step=jnp.int32(at))
    return float(runs[seed](moved, batch)[1]["loss"])

  assert loss(0, 4) == loss(0, 4)
  assert len({loss(0, 4), loss(0, 5), loss(1, 4)}) == 3


def test_unlabelled_masks_do_not_matter(tiny, resident):
  state = tiny.state()
  batch = resident.take(INDICES)
  has_mask = jnp.array([True, False, True, False])
  noise = jnp.where(has_mask[:, None, None, None], batch.mask, 1 - batch.mask)
  step = jax.jit(tiny.step())
  a, _ = step(state, batch.replace(has_mask=has_mask))
  b, _ = step(state, batch.replace(has_mask=has_mask, mask=noise))
  c, _ = step(state, batch.replace(mask=noise))
  same = jax.tree.map(lambda x, y: bool(np.all(x == y)), a, b)
  assert all(jax.tree.leaves(same))
  differs = jax.tree.map(lambda x, y: bool(np.any(x != y)), a, c)
  assert any(jax.tree.leaves(differs))


@pytest.fixture(scope="module")
def run_on_one(make_tiny):
  tiny = make_tiny()
  return parallel.compile_train_step(tiny.step(), tiny.mesh())


def test_one_device_and_two_agree(tiny, resident, run_on_one):
  """Global BatchNorm statistics, the same draws, after five steps."""
  states = []
  for count in (1, 2):
    mesh = tiny.mesh(count)
    run = run_on_one
    if count == 2:
      run = parallel.compile_train_step(tiny.step(), mesh)
    state = tiny.state(count)
    data = parallel.replicate(resident, mesh)
    for t in range(5):
      state, metrics = run(state, data, (INDICES + t) % 8)
    assert len(metrics["loss"].sharding.device_set) == count
    states.append(jax.device_get(state))
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5), *states
  )


def test_second_trace_is_an_error(tiny, resident):
  mesh = tiny.mesh()
  run = parallel.compile_train_step(tiny.step(), mesh)
  state, _ = run(tiny.state(), resident, INDICES)
  with pytest.raises(RuntimeError, match="traced twice"):
    run(state, resident, INDICES[:2])


def test_batch_must_divide_over_devices():
  with pytest.raises(ValueError, match=r"batch_size=3.*2 devices"):
    parallel.make_mesh(batch_size=3, devices=jax.devices()[:2])


def test_ema_in_closed_form():
  ema = {"w": jnp.array(1.0)}
  for t, value in enumerate([2.0, 4.0]):
    ema = state_lib.update_ema(
      ema, {"w": jnp.array(value)}, step=jnp.int32(t), decay=0.15
    )
  # rates min(.15, 1/10) and min(.15, 2/11)
  first = 0.1 * 1 + 0.9 * 2
  assert float(ema["w"]) == pytest.approx(0.15 * first + 0.85 * 4)
  off = state_lib.update_ema(
    {"w": jnp.array(1.0)}, {"w": jnp.array(9.0)}, step=jnp.int32(7), decay=0.0
  )
  assert float(off["w"]) == 9.0


def test_parameter_count_and_optimizer_moments(tiny):
  player = jax.jit(tiny.init)().players["segmentor"]
  assert state_lib.parameter_count(player.params) == 36 + 8 + 5
  mu = optax.tree_utils.tree_get(player.opt_state, "mu")
  assert state_lib.parameter_count(mu) == 49


def test_one_program_serves_every_seed(tiny, resident, assert_same):
  shared = parallel.compile_train_step(tiny.step(seed=9), tiny.mesh())
  after = {}
  for seed in (0, 5):
    own = parallel.compile_train_step(tiny.step(seed=seed), tiny.mesh())
    expected = own(tiny.state(), resident, INDICES)
    after[seed] = shared(tiny.state(), resident, INDICES, seed=np.uint32(seed))
    assert_same(after[seed], expected)
  assert float(after[0][1]["loss"]) != float(after[5][1]["loss"])


def test_several_steps_a_call_are_the_steps(tiny, resident, run_on_one):
  """Within rounding: another program, other kernels."""
  mesh = tiny.mesh()
  rows = np.arange(24, dtype=np.int32).reshape(6, 4) % 8
  data = parallel.replicate(resident, mesh)
  state, losses = tiny.state(), []
  for row in rows:
    state, metrics = run_on_one(state, data, row)
    losses.append(float(metrics["loss"]))
  run = parallel.compile_train_step(tiny.step(), mesh, steps_per_call=4)
  again, found = tiny.state(), []
  for call in (rows[:4], rows[4:]):  # the second, shorter, is a new program
    again, metrics = run(again, resident, call)
    found.extend(np.asarray(metrics["loss"]))
  np.testing.assert_allclose(found, losses, rtol=1e-5)
  assert int(again.step) == int(state.step) == 6
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5), again, state
  )
  with pytest.raises(RuntimeError, match="traced twice"):
    run(again, resident, rows[:4, :2])


@pytest.mark.parametrize("per_call", [1, 3])
def test_members_of_a_program_are_the_runs_alone(tiny, resident, per_call):
  """Two runs of other states, examples and seeds; within rounding."""
  mesh = tiny.mesh()
  data = parallel.replicate(resident, mesh)
  seeds = np.array([4, 9], np.uint32)
  rng = np.random.default_rng(0)
  rows = rng.integers(0, 8, (3, 2, 4)).astype(np.int32)  # step, member, row
  moved = jax.tree.map(
    lambda x: x * 1.25 if x.dtype == np.float32 else x, tiny.state()
  )
  starts = [tiny.state(), moved]
  alone = parallel.compile_train_step(tiny.step(), mesh)
  expected, losses = [], []
  for i, state in enumerate(starts):
    state = jax.tree.map(jnp.copy, state)
    for row in rows:
      state, metrics = alone(state, data, row[i], seed=seeds[i])
    expected.append(state)
    losses.append(float(metrics["loss"]))
  run = parallel.compile_train_step(
    tiny.step(), mesh, steps_per_call=per_call, members=2
  )
  states = tuple(starts)
  for call in rows if per_call == 1 else [rows.swapaxes(0, 1)]:
    states, made = run(states, (data, data), tuple(call), seed=seeds)
  found = [float(np.ravel(metrics["loss"])[-1]) for metrics in made]
  np.testing.assert_allclose(found, losses, rtol=1e-5)
  assert abs(found[0] - found[1]) > 1e-3
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5),
    list(states),
    expected,
  )
