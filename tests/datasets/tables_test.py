"""Tables of the field's sets."""

import csv
import threading

from apppau_jax.datasets import tables


def test_threads_leave_the_limit_of_cells_as_it_was():
  """The second one enters while the first is within, and leaves after it."""
  before = csv.field_size_limit()
  entered, left = threading.Event(), threading.Event()

  def second():
    with tables.wide_cells():
      entered.set()
      left.wait(10)

  thread = threading.Thread(target=second)
  with tables.wide_cells():
    assert csv.field_size_limit() > before
    thread.start()
    entered.wait(0.2)
  left.set()
  thread.join(10)
  assert csv.field_size_limit() == before
