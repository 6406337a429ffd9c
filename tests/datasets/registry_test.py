import pytest

from apppau_jax import datasets
from apppau_jax.datasets import registry
from apppau_jax.errors import ConfigError


@pytest.mark.parametrize(
  ("dataset", "members", "classes"),
  [
    ("jsrt", ("jsrt",), ("normal", "nodule")),
    ("ccx", ("montgomery", "shenzhen", "jsrt"), ("normal", "tb", "nodule")),
    ("shenzhen+montgomery", ("montgomery", "shenzhen"), ("normal", "tb")),
    (
      "phantom+ccx",
      ("montgomery", "shenzhen", "jsrt", "phantom"),
      ("normal", "tb", "nodule"),
    ),
  ],
)
def test_members_and_classes(dataset, members, classes):
  assert registry.members(dataset) == members
  assert registry.class_names(dataset) == classes
  assert registry.is_combined(dataset) == (len(members) > 1)


def test_sets_of_the_user_come_last_and_have_no_classes_by_name():
  names = ("jsrt", "phantom", "folder", "folder:a-1", "folder:b")
  assert registry.members("folder:b+phantom+folder+jsrt+folder:a-1") == names
  assert [registry.kind(n) for n in names] == [
    "jsrt", "phantom", "folder", "folder", "folder",
  ]  # fmt: skip
  with pytest.raises(ConfigError, match=r"folder:b .* labels\.csv"):
    registry.class_names("jsrt+folder:b")
  assert registry.union([("a", "b"), (), ("c", "a")]) == ("a", "b", "c")


@pytest.mark.parametrize(
  ("dataset", "message"),
  [
    ("shenzen", "'shenzen'; choose .* mean shenzhen"),
    ("ccx+jsrt", "'ccx.jsrt'.* twice"),
    ("jsrt+", r"'' \(in 'jsrt\+'\)"),
    ("", "no dataset ''"),
    ("folder:", "no dataset 'folder:'"),
    ("folder:Clinic", "folder:NAME .NAME of small letters"),
    ("folder:../up", "no dataset"),
    ("folder:a+folder:a", "twice"),
    ("foldr", "mean folder"),
  ],
)
def test_unknown_names_are_refused(dataset, message):
  with pytest.raises(ConfigError, match=message):
    registry.members(dataset)


@pytest.mark.parametrize("name", ["montgomery", "shenzhen", "jsrt"])
def test_the_facts_of_a_published_set_agree(name):
  """Ids, lists, labels, patients and pattern are written down separately."""
  spec = datasets.DATASETS[name]
  assert list(spec.ids) == sorted(set(spec.ids))
  assert all(map(spec.stem.fullmatch, spec.ids))
  assert sorted(i for part in spec.lists.values() for i in part) == list(
    spec.masked_ids
  )
  assert {spec.label(i) for i in spec.ids} == set(range(len(spec.class_names)))
  assert spec.patients.keys() <= {*spec.ids}
  assert spec.without_mask <= {*spec.ids}
  assert spec.citation
  assert spec.terms
