"""Budgets of masks and classes, and the expected number of training images."""

import collections
import dataclasses

import pytest

from apppau_jax import phantoms
from apppau_jax.datasets import label_budget, phantom, registry, splits
from apppau_jax.datasets.entry import Entry
from apppau_jax.errors import ConfigError, DataError


def _entry(name, *, label=0, has_mask=True, patient="", **more):
  return Entry(name, label, has_mask, patient or name, 9, 9, **more)


def _entries(masked=60, unmasked=10):
  return [
    _entry(f"i{i:03d}", label=i % 2, has_mask=i < masked)
    for i in range(masked + unmasked)
  ]


def _parts(**options):
  return label_budget.split_entries(_entries(), dataset="phantom", **options)


def _train(parts):
  return {*parts.train_labelled, *parts.train_unlabelled}


def test_classes_are_used_where_masks_are():
  parts = _parts(label_fraction=0.2)
  assert parts.classes == parts.train_labelled
  assert parts.labels() == {
    "masks": list(parts.train_labelled),
    "classes": list(parts.classes),
  }


@pytest.mark.parametrize(
  ("options", "masks", "classes"),
  [
    ({"label_count": 4, "class_fraction": 1.0}, 4, "all"),
    ({"label_count": 4, "class_count": 10}, 4, 10),
    ({"label_count": 10, "class_count": 4}, 10, 4),
  ],
)
def test_budgets_are_independent_and_nested(options, masks, classes):
  parts = _parts(**options)
  train = _train(parts)
  assert len(parts.train_labelled) == masks
  assert len(parts.classes) == (len(train) if classes == "all" else classes)
  small, large = sorted(
    (set(parts.train_labelled), set(parts.classes)), key=len
  )
  assert small < large <= train
  both = collections.Counter(int(i[1:]) % 2 for i in small)
  assert both[0] == both[1] == 2


def test_masks_of_named_images_alone_are_used():
  whole = _parts()
  chosen = whole.train_labelled[3:5]
  parts = _parts(labelled_ids=chosen[::-1])
  assert parts.train_labelled == parts.classes == chosen
  assert _train(parts) == _train(whole)
  assert (parts.validation, parts.test) == (whole.validation, whole.test)
  for bad in ("nobody", whole.test[0]):
    with pytest.raises(ConfigError, match=f"labelled_ids.*{bad}"):
      _parts(labelled_ids=(*chosen, bad))


def test_images_without_masks_join_the_unlabelled():
  without = _parts(label_count=4)
  parts = _parts(label_count=4, unmasked_images=True)
  extra = {f"i{i:03d}" for i in range(60, 70)}
  assert set(parts.train_unlabelled) == extra | set(without.train_unlabelled)
  assert not extra & {*parts.classes, *parts.test}
  assert parts.validation == without.validation
  known = _parts(label_count=4, unmasked_images=True, class_fraction=1.0)
  assert extra < set(known.classes)


@pytest.mark.parametrize("split", ["idiap", "paper", "fold-0-of-5"])
def test_a_lost_mask_makes_no_test_image_a_training_image(split):
  """Five of Shenzhen's published test images whose masks are missing."""
  spec = registry.DATASETS["shenzhen"]
  lost, never = spec.lists["test"][:5], "CHNCXR_0999_0"
  entries = [
    _entry(i, has_mask=i not in (*lost, never), source="shenzhen")
    for i in (*spec.masked_ids, never)
  ]
  parts = label_budget.split_entries(
    entries, split, dataset="shenzhen", unmasked_images=True
  )
  assert never in _train(parts)
  assert not _train(parts) & {*lost}
  assert not {*parts.classes} & {*lost}


def test_unmasked_images_keep_to_the_given_split_and_their_patients():
  names = ("train", "validation", "test")
  entries = [
    *[_entry(p, details={"split": p}) for p in names],
    *[
      _entry(f"no {p}", has_mask=False, details={"split": p})
      for p in (*names, "")
    ],
    _entry("friend", has_mask=False, patient="test"),
  ]

  def split(name):
    return label_budget.split_entries(
      entries, name, dataset="folder", unmasked_images=True
    )

  given = split("given")
  assert (given.validation, given.test) == (("validation",), ("test",))
  assert given.train_labelled == ("train",)
  assert given.train_unlabelled == ("no ", "no train")
  extra = set(split("paper").train_unlabelled)
  assert {"no ", "no train", "no validation", "no test"} <= extra


def test_two_sets_may_give_two_patients_the_same_name():
  part = {"a0": "train", "a1": "validation", "a2": "test",
          "b0": "test", "b1": "validation", "b2": "train"}  # fmt: skip
  entries = [
    _entry(i, patient=f"p{i[1]}", source=f"folder:{i[0]}", details={"split": p})
    for i, p in part.items()
  ]
  parts = label_budget.split_entries(
    entries, "given", dataset="folder:a+folder:b"
  )
  assert parts.test == ("a2", "b0")


def test_images_without_all_structures_are_unlabelled():
  entries = [
    dataclasses.replace(e, structures=("heart",) if i % 3 else ())
    for i, e in enumerate(_entries(unmasked=0))
  ]
  whole = {e.id for e in entries if e.structures}
  lungs = _parts()
  parts = label_budget.split_entries(
    entries, dataset="phantom", structures=("heart",)
  )
  assert set(parts.train_labelled) == set(lungs.train_labelled) & whole
  assert set(parts.train_unlabelled) == set(lungs.train_labelled) - whole
  assert set(parts.test) == set(lungs.test) & whole
  with pytest.raises(DataError, match="heart"):
    label_budget.split_entries(
      _entries(), dataset="phantom", structures=("heart",)
    )


# The expected number of training images.


@pytest.mark.parametrize(
  ("dataset", "options", "count"),
  [
    ("montgomery", {}, 93),
    ("ccx", {}, 615),
    ("shenzhen", {"split": "idiap"}, 396),
    ("shenzhen", {"unmasked_images": True}, 355 + 96),
    ("phantom", {"split": "auto"}, 135),
  ],
)
def test_training_images_of_complete_sets(dataset, options, count):
  assert label_budget.training_count(dataset, **options) == count


def test_the_default_phantoms_are_those_that_are_drawn(monkeypatch, tmp_path):
  from apppau_jax.phantoms import jobs

  drawn = []
  monkeypatch.setattr(jobs, "run", lambda made, **_: drawn.extend(made))
  phantoms.write_montgomery(tmp_path, count=phantom.COUNT)
  kinds = ("normal", "tb")
  ids = [f"PHANTOM_{job.number:04d}_{kinds[job.abnormal]}" for job in drawn]
  assert tuple(ids) == phantom.DEFAULT_IDS
  parts = splits.make_split(
    "paper", dataset="phantom", ids=ids, seed=0, groups={},
    labels={i: int(i.endswith("tb")) for i in ids},
  )  # fmt: skip
  assert len(_train(parts)) == label_budget.training_count("phantom")


def test_the_images_of_a_user_are_not_public():
  with pytest.raises(ConfigError, match=r"folder:mine.*--images"):
    label_budget.training_count("folder:mine+jsrt")
