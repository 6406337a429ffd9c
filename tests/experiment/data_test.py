"""Two budgets of labels, and minibatches that respect them."""

import collections

import jax
import numpy as np
import pytest

from apppau_jax.datasets import catalogue, published
from apppau_jax.experiment import assemble, data, input_pipeline
from configs import appau_phantom


def _catalogue(masked=60, unmasked=10):
  def entry(i):
    return catalogue.Entry(
      id=f"i{i:03d}",
      label=i % 2,
      has_mask=i < masked,
      patient=f"p{i:03d}",
      height=9,
      width=9,
      sex="",
      age="",
      finding="",
    )

  return catalogue.Catalogue(
    "phantom",
    128,
    ("normal", "tb"),
    tuple(entry(i) for i in range(masked + unmasked)),
  )


def _parts(**knobs):
  config = appau_phantom.get_config()
  config.data.class_fraction = 0.0
  config.data.update(knobs)
  return config, data.parts(config, _catalogue())


def test_classes_are_known_where_masks_are():
  _, chosen = _parts(label_fraction=0.2)
  assert chosen.classes == chosen.split.train_labelled
  assert chosen.labels()["masks"] == list(chosen.split.train_labelled)
  assert chosen.labels()["classes"] == list(chosen.classes)


@pytest.mark.parametrize(
  ("knobs", "masks", "classes"),
  [
    ({"label_count": 4, "class_fraction": 1.0}, 4, "all"),
    ({"label_count": 4, "class_count": 10}, 4, 10),
    ({"label_count": 10, "class_count": 4}, 10, 4),
  ],
)
def test_budgets_are_independent_and_nested(knobs, masks, classes):
  _, chosen = _parts(**knobs)
  train = {*chosen.split.train_labelled, *chosen.split.train_unlabelled}
  assert len(chosen.split.train_labelled) == masks
  assert len(chosen.classes) == (len(train) if classes == "all" else classes)
  small, large = sorted(
    (set(chosen.split.train_labelled), set(chosen.classes)), key=len
  )
  assert small < large <= train
  both = collections.Counter(int(i[1:]) % 2 for i in small)
  assert both[0] == both[1] == 2


def test_images_without_masks_join_the_unlabelled():
  _, without = _parts(label_count=4)
  _, chosen = _parts(label_count=4, unmasked_images=True)
  extra = {f"i{i:03d}" for i in range(60, 70)}
  assert set(chosen.split.train_unlabelled) == extra | set(
    without.split.train_unlabelled
  )
  assert not extra & {*chosen.classes, *chosen.split.test}
  assert chosen.split.validation == without.split.validation
  _, told = _parts(label_count=4, unmasked_images=True, class_fraction=1.0)
  assert extra < set(told.classes)


@pytest.mark.parametrize("split", ["idiap", "paper", "fold-0-of-5"])
def test_a_lost_mask_makes_no_test_image_a_training_image(split):
  """Five of Shenzhen's published test images whose masks are missing."""
  ids = published.published_ids("shenzhen")
  lost = published.idiap_lists("shenzhen")["test"][:5]
  never = "CHNCXR_0999_0"  # none of the list
  entries = tuple(
    catalogue.Entry(
      id=i,
      label=published.published_label(i),
      has_mask=i not in (*lost, never),
      patient=i,
      height=9,
      width=9,
      sex="",
      age="",
      finding="",
      source="shenzhen",
    )
    for i in (*ids, never)
  )
  config = appau_phantom.get_config()
  config.data.update(dataset="shenzhen", split=split, unmasked_images=True)
  known = catalogue.Catalogue("shenzhen", 128, ("normal", "tb"), entries)
  chosen = data.parts(config, known)
  training = {*chosen.split.train_labelled, *chosen.split.train_unlabelled}
  assert never in training
  assert not training & {*lost}
  assert not {*chosen.classes} & {*lost}


def test_minibatches_hold_labelled_rows_first_and_are_fresh():
  config, chosen = _parts(label_count=4)
  config.train.batch_size, config.train.unlabelled_in_batch = 8, 5
  order = input_pipeline.minibatches(config, chosen.split)
  count, total = 4, 4 + len(chosen.split.train_unlabelled)
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
  config, chosen = _parts(label_count=4)
  config.discriminator.enabled = False
  config.train.unlabelled_in_batch = 0
  rows = input_pipeline.minibatches(config, chosen.split)(3)
  assert rows.shape == (16,)
  assert rows.max() == 3


@pytest.mark.parametrize(
  ("backend", "knobs", "expected"),
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
  monkeypatch, backend, knobs, expected
):
  config, chosen = _parts()
  monkeypatch.setattr(jax, "default_backend", lambda: backend)
  config.update_from_flattened_dict(knobs)
  assert assemble.plan(config, chosen).steps_per_call == expected
