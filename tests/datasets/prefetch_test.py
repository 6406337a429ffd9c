"""In order, ahead, but never far ahead; ended when closed."""

import sys
import threading
import time

import pytest

from apppau_jax.datasets import prefetch
from apppau_jax.errors import ConfigError, DataError


def test_elements_come_in_order_from_any_start():
  def make(index):
    time.sleep(0.002 * (index % 3))  # later ones are ready earlier
    return index * 10

  assert [*prefetch.ahead(make, stop=20)] == [*range(0, 200, 10)]
  assert [*prefetch.ahead(make, start=17, stop=20)] == [170, 180, 190]
  assert [*prefetch.ahead(make, start=20, stop=20)] == []


def test_a_bounded_number_is_made_ahead_in_other_threads():
  made, threads = [], set()

  def make(index):
    made.append(index)
    threads.add(threading.get_ident())
    return index

  elements = prefetch.ahead(make, stop=1000)
  assert next(elements) == 0
  deadline = time.monotonic() + 5
  while len(made) < 3 and time.monotonic() < deadline:
    time.sleep(0.01)
  time.sleep(0.1)
  assert 3 <= len(made) <= 20
  assert threading.get_ident() not in threads
  elements.close()
  count = len(made)
  time.sleep(0.1)
  assert len(made) == count


def test_what_goes_wrong_is_raised_where_it_is_used():
  def make(index):
    if index == 2:
      raise DataError("the shard is gone")
    return index

  elements = prefetch.ahead(make, stop=5)
  assert next(elements) == 0
  with pytest.raises(DataError, match="gone"):
    list(elements)


def test_without_grain_the_message_says_what_to_install(monkeypatch):
  monkeypatch.setitem(sys.modules, "grain", None)
  with pytest.raises(ConfigError, match=r"-e '\.\[streaming\]'"):
    next(prefetch.ahead(lambda i: i, stop=1))
