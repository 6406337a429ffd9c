"""The loop's laws, on a network of 49 parameters."""

import dataclasses
import json
import math
import os
import shutil
import signal
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from apppau_jax.errors import Interrupted, NumericError
from apppau_jax.training import checkpoints, loop, parallel


class Killed(BaseException):
  """Stands for a process that is gone: nothing may catch it."""


@pytest.fixture(scope="module")
def compiled(make_tiny):
  """The program that every process compiles alike."""
  tiny = make_tiny()
  return parallel.compile_train_step(tiny.step(), tiny.mesh())


@pytest.fixture(scope="module")
def make_run_in(make_tiny, resident, compiled):
  """Returns a function that builds a fresh process's run of 12 steps."""
  tiny = make_tiny()

  def make(folder, *, spy=lambda step: None, poison_at=None, dice=None):
    mesh = tiny.mesh()

    def train_step(state, resident, indices):
      step = int(state.step) + 1
      spy(step)
      state, metrics = compiled(state, resident, indices)
      if step == poison_at:
        metrics = {**metrics, "segmentation": jax.device_put(np.nan)}
        metrics["loss"] = metrics["segmentation"]
      return state, metrics

    def evaluate_fn(state):
      bias = float(state.averages["segmentor"]["params"]["Conv_1"]["bias"][0])
      value = dice[int(state.step)] if dice else bias
      return {"dice": value}, {"picture": np.zeros((4, 4, 3), np.uint8)}

    def order(step):
      return (np.arange(4, dtype=np.int32) + step) % 8

    on_device = parallel.replicate(resident, mesh)
    return loop.Run(
      plan=loop.Plan(steps=12, steps_per_epoch=2, log_every=1, eval_every=4),
      train_step=train_step,
      feed=lambda start: (
        (on_device, parallel.replicate(order(t), mesh))
        for t in range(start, 12)
      ),
      order=order,
      ids=tuple("abcdefgh"),
      evaluate_fn=evaluate_fn,
      select_by="dice",
      learning_rate=tiny.rate,
      latest=checkpoints.Store(folder / "latest"),
      best=checkpoints.Store(folder / "best"),
      meta={"config": {"name": "tiny"}},
      workdir=folder,
    )

  return make


@pytest.fixture
def make_run(make_run_in, tmp_path):
  return lambda name="run", **more: make_run_in(tmp_path / name, **more)


@pytest.fixture(scope="module")
def whole(make_run_in, make_tiny, tmp_path_factory):
  """A run that nothing stopped, and its last state."""
  run = make_run_in(tmp_path_factory.mktemp("loop") / "whole")
  return run, jax.device_get(loop.run(run, make_tiny().state()))


def _lines(run):
  text = (run.workdir / "metrics.jsonl").read_text()
  return [json.loads(line) for line in text.splitlines()]


def test_killed_anywhere_resumes_bitwise(make_run, tiny, whole, assert_same):
  whole, expected = whole
  assert int(expected.step) == 12

  for kill_at in (1, 4, 5, 9):

    def die(step, at=kill_at):
      if step == at:
        raise Killed

    name = f"killed-{kill_at}"
    with pytest.raises(Killed):
      loop.run(make_run(name, spy=die), tiny.state())
    seen = []
    again = make_run(name, spy=seen.append)
    got = loop.run(again, tiny.state())
    assert_same(got, expected)
    assert seen[0] == 4 * ((kill_at - 1) // 4) + 1
    assert _lines(again) == _lines(whole)


def test_a_finished_run_does_nothing_more(make_run, tiny):
  loop.run(make_run(), tiny.state())
  seen = []
  loop.run(make_run(spy=seen.append), tiny.state())
  assert seen == []


def test_first_non_finite_term_stops_the_run(make_run, tiny):
  run = make_run(poison_at=6)
  with pytest.raises(NumericError, match=r"step 6: .*segmentation") as error:
    loop.run(run, tiny.state())
  assert "step 4" in str(error.value)  # the last good checkpoint
  assert error.value.exit_code == 5
  assert run.latest.steps() == [4]
  dump = json.loads((run.workdir / "nonfinite.json").read_text())
  assert dump["step"] == 6
  assert dump["ids"] == ["f", "g", "h", "a"]
  assert math.isnan(float(dump["metrics"]["segmentation"]))
  assert [v["step"] for v in _lines(run) if v["kind"] == "train"] == [
    *range(1, 6)
  ]


def test_poison_at_a_checkpoint_is_not_saved(make_run, tiny):
  run = make_run(poison_at=8)
  with pytest.raises(NumericError, match="step 8"):
    loop.run(run, tiny.state())
  assert run.latest.steps() == [4]


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_signal_saves_and_stops(make_run, tiny, whole, assert_same, signum):
  def send(step):
    if step == 6:
      os.kill(os.getpid(), signum)

  _, expected = whole
  run = make_run("stopped", spy=send)
  with pytest.raises(Interrupted, match="step 6 of 12") as error:
    loop.run(run, tiny.state())
  assert error.value.exit_code == 128 + signum
  assert run.latest.steps()[-1] == 6
  got = loop.run(make_run("stopped"), tiny.state())
  assert_same(got, expected)
  assert signal.getsignal(signum) not in (None, loop.StopRequest)


def test_a_signal_at_the_very_end_is_heard(make_run, tiny, whole, assert_same):
  """During the last step, or while its state is validated: nothing is lost,
  and whoever called does not go on as if nobody had asked it to stop."""

  def last_step(step):
    if step == 12:
      os.kill(os.getpid(), signal.SIGTERM)

  _, expected = whole
  stepping = make_run("stepping", spy=last_step)
  validating = make_run("validating")

  def evaluate(state):
    if int(state.step) == 12:
      os.kill(os.getpid(), signal.SIGINT)
    return make_run("unused").evaluate_fn(state)

  validating = dataclasses.replace(validating, evaluate_fn=evaluate)
  for run in (stepping, validating):
    with pytest.raises(Interrupted, match="step 12 of 12"):
      loop.run(run, tiny.state())
    assert run.latest.steps()[-1] == 12
    got = loop.run(make_run(run.workdir.name), tiny.state())
    assert_same(got, expected)


def test_a_second_signal_of_either_kind_ends_at_once(make_run, tiny):
  def send(step):
    if step == 6:
      os.kill(os.getpid(), signal.SIGTERM)
      time.sleep(0.01)  # two at the same moment are one to Python
      os.kill(os.getpid(), signal.SIGINT)

  # A worker of pytest-xdist is deaf to the keyboard; a user's process is not.
  before = signal.signal(signal.SIGINT, signal.default_int_handler)
  try:
    with pytest.raises(KeyboardInterrupt):
      loop.run(make_run(spy=send), tiny.state())
  finally:
    signal.signal(signal.SIGINT, before)


def test_best_is_the_best_by_validation(make_run, tiny):
  run = make_run(dice={4: 0.5, 8: 0.9, 12: 0.7})
  final = loop.run(run, tiny.state())
  best, meta, step = run.best.restore(final.averages)
  assert (step, meta["best"]) == (8, 0.9)
  assert meta["config"] == {"name": "tiny"}
  assert not np.array_equal(
    best["segmentor"]["params"]["Conv_1"]["bias"],
    final.averages["segmentor"]["params"]["Conv_1"]["bias"],
  )


def test_best_survives_a_resume(make_run, tiny):
  """A run killed after its best validation does not forget it."""

  def die(step):
    if step == 10:
      raise Killed

  dice = {4: 0.5, 8: 0.9, 12: 0.7}
  with pytest.raises(Killed):
    loop.run(make_run(dice=dice, spy=die), tiny.state())
  run = make_run(dice=dice)
  loop.run(run, tiny.state())
  assert run.best.steps()[-1] == 8


def test_metrics_tell_step_epoch_and_rate(make_run, tiny):
  run = make_run()
  loop.run(run, tiny.state())
  train = [v for v in _lines(run) if v["kind"] == "train"]
  assert [v["step"] for v in train] == list(range(1, 13))
  assert train[4]["epoch"] == 2.5
  assert [v["learning_rate"] for v in train] == pytest.approx([0.05] * 12)
  validation = [v for v in _lines(run) if v["kind"] == "validation"]
  assert [v["step"] for v in validation] == [4, 8, 12]
  assert list((run.workdir / "tensorboard").iterdir())


def test_a_best_from_after_the_restored_step_is_made_anew(make_run, tiny):
  """Killed once the best was on disk but before the state of its step was."""
  first = {4: 0.5, 8: 0.9, 12: 0.7}
  run = make_run(dice=first)
  loop.run(run, tiny.state())
  for step in (8, 12):
    shutil.rmtree(run.latest.folder / str(step))
  again = make_run(dice={4: 0.5, 8: 0.6, 12: 0.55})
  final = loop.run(again, tiny.state())
  _, meta, step = again.best.restore(final.averages)
  assert (step, meta["best"]) == (8, 0.6)


def test_calls_end_at_evaluations():
  plan = loop.Plan(
    steps=11, steps_per_epoch=2, log_every=1, eval_every=4, steps_per_call=3
  )
  calls, step = [], 0
  while step < plan.steps:
    calls.append(plan.call(step))
    step = calls[-1].stop
  assert [list(c) for c in calls] == [
    [0, 1, 2],
    [3],
    [4, 5, 6],
    [7],
    [8, 9, 10],
  ]


def test_several_steps_a_call_log_save_and_stop_alike(
  make_run, tiny, whole, assert_same
):
  """The same lines and checkpoints; a bad term still names its own step."""
  one, expected = whole

  def several(name, *, poison_at=None):
    run = make_run(name)
    compiled = run.train_step

    def train_step(state, resident, rows):
      metrics = []
      for row in jax.device_get(rows):  # a call that makes its steps in turn
        row = parallel.replicate(row, tiny.mesh())
        state, values = compiled(state, resident, row)
        if int(state.step) == poison_at:
          values = {**values, "grad_norm": jax.device_put(np.inf)}
        metrics.append(values)
      table = {k: jnp.stack([m[k] for m in metrics]) for k in metrics[0]}
      return state, table

    plan = dataclasses.replace(run.plan, steps_per_call=3)
    examples, _ = next(run.feed(0))
    return dataclasses.replace(
      run,
      plan=plan,
      train_step=train_step,
      feed=lambda start: (
        (examples, jax.device_put(plan.rows(run.order, made)))
        for made in plan.calls(start)
      ),
    )

  run = several("several")
  assert_same(loop.run(run, tiny.state()), expected)
  assert _lines(run) == _lines(one)
  assert run.latest.steps() == one.latest.steps()
  with pytest.raises(NumericError, match=r"step 6: grad_norm not finite"):
    loop.run(several("bad", poison_at=6), tiny.state())


def test_a_step_that_waits_for_the_host_is_an_error(make_run, tiny):
  run = make_run()
  feed = run.feed
  late = dataclasses.replace(
    run,
    # Its own program: the other is for rows that are on the device.
    train_step=parallel.compile_train_step(tiny.step(), tiny.mesh()),
    feed=lambda start: ((x, np.asarray(i)) for x, i in feed(start)),
  )
  with pytest.raises(jax.errors.JaxRuntimeError, match="host-to-device"):
    loop.run(late, tiny.state())
