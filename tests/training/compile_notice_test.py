"""A long compilation is announced once; short ones, and reads, never."""

import time

import pytest

from apppau_jax import progress
from apppau_jax.training import compile_notice


@pytest.fixture
def notice(monkeypatch):
  monkeypatch.setattr(compile_notice, "PATIENCE", 0.05)
  found = compile_notice._Notice()
  found.minutes = 3
  return found


def _compile(notice, seconds):
  notice.listen(compile_notice._BEFORE, 0.0)
  time.sleep(seconds)
  notice.listen(compile_notice._AFTER, seconds)


def test_a_long_compilation_is_announced_once(notice, capfd):
  with progress.verbose():
    for seconds in (0.0, 0.2, 0.2):
      _compile(notice, seconds)
  (line,) = capfd.readouterr().err.splitlines()
  assert "compiling" in line
  assert "3 minutes" in line


def test_the_library_and_short_compilations_are_silent(notice, capfd):
  _compile(notice, 0.2)
  with progress.verbose():
    _compile(notice, 0.0)
    time.sleep(0.1)
  assert capfd.readouterr().err == ""


def test_jax_reports_the_two_events():
  """They are names within JAX, which another version may change."""
  import jax

  seen = []
  jax.monitoring.register_event_duration_secs_listener(
    lambda event, seconds, **_: seen.append(event)
  )
  jax.jit(lambda x: x * 2.0 + 17.25)(3.0)
  order = [e for e in seen if "/compile/" in e]
  before, after = compile_notice._BEFORE, compile_notice._AFTER
  assert order.index(before) < order.index(after)
