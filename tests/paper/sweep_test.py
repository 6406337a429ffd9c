"""How long a sweep will take."""

import types

from apppau_jax.paper import sweep


def test_time_left_goes_by_steps_not_by_runs(monkeypatch):
  runs = [types.SimpleNamespace(name=name) for name in "abc"]
  steps = {"a": 0, "b": 10, "c": 30}  # of a: unknown until its data are there
  now = [100.0]
  monkeypatch.setattr(sweep, "_steps", lambda run, known: steps[run.name])
  monkeypatch.setattr(sweep.time, "monotonic", lambda: now[0])
  clock = sweep._Clock(runs)
  assert clock.eta() == "unknown"
  now[0] += 600.0
  steps["a"] = 10
  clock.advance()
  assert clock.eta() == "40 min"  # 10 steps took 10 minutes, 40 are left
  now[0] += 600.0
  clock.advance()
  assert clock.eta() == "30 min"
  clock.advance()
  assert (clock.left, clock.eta()) == ([], "0 min")
