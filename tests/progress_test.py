"""What the package shows: nothing by default, everything within `verbose`."""

import logging

import pytest

from apppau_jax import progress


def _work():
  progress.LOG.info("began")
  with progress.bar("drawing") as update:
    for done in range(1, 21):
      update(done, 20)


def test_the_library_is_silent(capfd):
  _work()
  assert capfd.readouterr() == ("", "")


def test_verbose_shows_messages_and_a_line_for_each_tenth(capfd):
  with progress.verbose():
    _work()
  out, err = capfd.readouterr()
  tenths = [f"drawing: {done}/20" for done in range(2, 21, 2)]
  assert out == ""
  assert err.splitlines() == ["began", *tenths]


def test_verbose_ends_with_its_block_whatever_happens(capfd):
  before = (
    progress.LOG.level,
    progress.LOG.propagate,
    progress.LOG.handlers[:],
  )
  with pytest.raises(KeyError), progress.verbose():
    raise KeyError
  after = (progress.LOG.level, progress.LOG.propagate, progress.LOG.handlers)
  assert after == before
  assert not progress.LOG.isEnabledFor(logging.DEBUG)
  _work()
  assert capfd.readouterr().err == ""
