"""Minibatches under budgets of labels, and how many steps make a call."""

import jax
import numpy as np
import pytest

from apppau_jax.datasets.entry import Entry
from apppau_jax.datasets.label_budget import split_entries
from apppau_jax.experiment import assemble, input_pipeline
from configs import appau_phantom

ENTRIES = [
  Entry(f"i{i:03d}", i % 2, True, f"p{i:03d}", 9, 9) for i in range(60)
]


def _parts(**options):
  return split_entries(ENTRIES, dataset="phantom", **options)


def test_minibatches_hold_labelled_rows_first_and_are_fresh():
  config, chosen = appau_phantom.get_config(), _parts(label_count=4)
  config.train.batch_size, config.train.unlabelled_in_batch = 8, 5
  order = input_pipeline.minibatches(config, chosen)
  count, total = 4, 4 + len(chosen.train_unlabelled)
  rows = np.concatenate([order(t) for t in range(40)])
  assert order(0).shape == (2, 8)
  assert rows[:, :3].max() == count - 1
  assert rows[:, 3:].min() == count
  assert rows[:, 3:].max() == total - 1
  # D's and S's minibatches follow each other in one endless order.
  epochs = rows[:, 3:].ravel()[: 10 * (total - count)]
  for epoch in epochs.reshape(10, -1):
    assert sorted(epoch) == list(range(count, total))
  np.testing.assert_array_equal(order(7), order(7))


def test_one_player_takes_one_minibatch():
  config = appau_phantom.get_config()
  config.discriminator.enabled = False
  config.train.unlabelled_in_batch = 0
  rows = input_pipeline.minibatches(config, _parts(label_count=4))(3)
  assert rows.shape == (16,)
  assert rows.max() == 3


@pytest.mark.parametrize(
  ("backend", "options", "expected"),
  [
    ("cpu", {}, 1),
    ("gpu", {"train.eval_every_epochs": 53}, 50),
    ("gpu", {"train.eval_every_epochs": 53, "train.batch_size": 1}, 41),
    ("gpu", {"train.eval_every_epochs": 15}, 45),
    ("gpu", {"train.eval_every_epochs": 1}, 50),
    ("gpu", {"data.streaming": True}, 1),
    ("gpu", {"train.steps_per_call": 7}, 7),
    ("cpu", {"train.steps_per_call": 7}, 7),
  ],
)
def test_an_accelerator_makes_several_steps_a_call(
  monkeypatch, backend, options, expected
):
  config = appau_phantom.get_config()
  monkeypatch.setattr(jax, "default_backend", lambda: backend)
  config.update_from_flattened_dict(options)
  assert assemble.plan(config, _parts()).steps_per_call == expected
