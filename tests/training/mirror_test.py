"""A tracker gets the scalars; one that fails is left, and nothing else."""

import pytest

from apppau_jax.training import mirror, writer


class _Tracker:
  """Fails at a given call, counted from 0 for the start."""

  def __init__(self, fails_at):
    self.calls, self.fails_at, self.got = 0, fails_at, []

  def _count(self):
    self.calls += 1
    if self.calls - 1 == self.fails_at:
      raise ConnectionError("no such server")

  def start(self, name, config):
    self.name, self.config = name, config
    self._count()
    return self

  def log(self, values, *, step):
    self._count()
    self.got.append((step, values))

  def close(self):
    self._count()


@pytest.mark.parametrize("fails_at", [None, 0, 1, 2, 3])
def test_the_run_goes_on_whatever_the_tracker_does(
  tmp_path, monkeypatch, caplog, fails_at
):
  tracker = _Tracker(fails_at)
  monkeypatch.setitem(mirror.NAMES, "mlflow", tracker.start)
  copy = mirror.Mirror("mlflow", workdir=tmp_path / "run", config={"seed": 3})
  log = writer.Writer(tmp_path / "run", start_step=0, mirror=copy)
  for step in (1, 2):
    log.scalars("train", step=step, values={"loss": step / 2})
  log.close()
  assert len(writer.read_history(tmp_path / "run/metrics.jsonl")) == 2
  assert (tracker.name, tracker.config) == ("run", {"seed": 3})
  wanted = [(1, {"train/loss": 0.5}), (2, {"train/loss": 1.0})]
  kept = {None: 2, 0: 0, 1: 0, 2: 1, 3: 2}[fails_at]
  assert tracker.got == wanted[:kept]
  assert ("no such server" in caplog.text) == (fails_at is not None)


def test_a_tracker_that_is_not_installed_costs_a_warning(
  tmp_path, monkeypatch, caplog
):
  monkeypatch.setitem(__import__("sys").modules, "trackio", None)
  copy = mirror.Mirror("trackio", workdir=tmp_path, config={})
  copy.scalars("train", step=1, values={"loss": 1.0})
  copy.close()
  assert caplog.text.count("trackio") >= 1
