"""Images with a class and without a mask measure the diagnosis."""

import collections

import pytest

from apppau_jax.datasets import (
  class_parts,
  label_budget,
  registry,
  split_protocols,
)
from apppau_jax.datasets.entry import Entry
from apppau_jax.errors import ConfigError


def _entry(name, *, label, has_mask, patient="", **more):
  return Entry(name, label, has_mask, patient or name, 9, 9, **more)


def _entries(masked=20, unmasked=100):
  """Two images a patient; every sixth patient is of the other class."""
  return [
    _entry(
      f"i{i:03d}",
      label=int(i // 2 % 6 == 0),
      has_mask=i < masked,
      patient=f"p{i // 2}",
      source="folder",
    )
    for i in range(masked + unmasked)
  ]


def _split(entries, name="paper", *, dataset="folder", **options):
  return label_budget.split_entries(
    entries, name, dataset=dataset, classes_without_masks=True, **options
  )


@pytest.mark.parametrize("name", ["paper", "fold-1-of-4"])
def test_masks_are_divided_as_without_it(name):
  entries = _entries()
  before = label_budget.split_entries(entries, name, dataset="folder")
  after = _split(entries, name)
  assert after.as_dict().items() >= before.as_dict().items()
  assert before.validation_classes == before.test_classes == ()
  assert 0 < len(after.validation_classes) < len(after.test_classes)


def test_all_images_of_shenzhen_have_the_sizes_of_the_published_lists():
  spec = registry.DATASETS["shenzhen"]
  entries = [
    _entry(
      name,
      label=spec.label(name),
      has_mask=name not in spec.without_mask,
      source="shenzhen",
    )
    for name in spec.ids
  ]
  parts = _split(
    entries, "classification", dataset="shenzhen", unmasked_images=True
  )
  training = len(parts.train_labelled) + len(parts.train_unlabelled)
  assert (
    training,
    len(parts.validation) + len(parts.validation_classes),
    len(parts.test) + len(parts.test_classes),
  ) == split_protocols.CLASSIFICATION["shenzhen"]


def test_every_image_is_tested_in_one_fold_with_all_of_its_patient():
  entries = _entries()
  tested = collections.Counter()
  for fold in range(4):
    parts = _split(entries, f"fold-{fold}-of-4", unmasked_images=True)
    roles = parts.roles()
    assert roles.keys() == {e.id for e in entries}
    assert all(
      roles[a.id] == roles[b.id] for a, b in zip(entries[::2], entries[1::2])
    )
    tested.update([*parts.test, *parts.test_classes])
  assert tested == {e.id: 1 for e in entries}


def test_an_image_goes_where_the_masks_of_its_patient_are():
  entries = _entries()
  roles = label_budget.split_entries(entries, dataset="folder").roles()
  friends = [
    _entry(
      f"friend of {i}", label=0, has_mask=False, patient=p, source="folder"
    )
    for i, p in {e.id: e.patient for e in entries[:20:2]}.items()
  ]
  found = _split([*entries, *friends], unmasked_images=True).roles()
  for friend in friends:
    assert found[friend.id] == roles[friend.id.removeprefix("friend of ")]


def test_the_given_split_is_kept_and_images_without_a_class_train():
  parts = ("train", "validation", "test")
  common = {"label": 0, "source": "folder"}
  entries = [
    *[_entry(p, has_mask=True, details={"split": p}, **common) for p in parts],
    *[
      _entry(f"no {p}", has_mask=False, details={"split": p}, **common)
      for p in parts
    ],
    _entry("unknown", label=-1, has_mask=False, source="folder"),
  ]
  found = _split(entries, "given", unmasked_images=True)
  assert found.validation_classes == ("no validation",)
  assert found.test_classes == ("no test",)
  assert found.train_unlabelled == ("no train", "unknown")


def test_few_patients_all_train_and_a_list_of_masks_is_refused():
  entries = _entries(masked=20, unmasked=4)
  assert not _split(entries, "fold-0-of-4").test_classes
  with pytest.raises(ConfigError, match=r"classes_without_masks.*idiap"):
    class_parts.divide(
      "idiap", dataset="shenzhen", labels={"a": 0}, groups={"a": "a"}, roles={},
      seed=0, given={},
    )  # fmt: skip
