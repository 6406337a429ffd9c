import pytest

from apppau_jax.datasets import names as sets
from apppau_jax.datasets import prepare
from apppau_jax.errors import ConfigError


@pytest.mark.parametrize(
  ("dataset", "members", "classes"),
  [
    ("montgomery", ("montgomery",), ("normal", "tb")),
    ("jsrt", ("jsrt",), ("normal", "nodule")),
    ("ccx", ("montgomery", "shenzhen", "jsrt"), ("normal", "tb", "nodule")),
    ("shenzhen+montgomery", ("montgomery", "shenzhen"), ("normal", "tb")),
    (
      "phantom+ccx",
      ("montgomery", "shenzhen", "jsrt", "phantom"),
      ("normal", "tb", "nodule"),
    ),
    ("jsrt+shenzhen", ("shenzhen", "jsrt"), ("normal", "tb", "nodule")),
  ],
)
def test_members_and_classes(dataset, members, classes):
  assert sets.members(dataset) == members
  assert sets.class_names(dataset) == classes
  assert sets.is_combined(dataset) == (len(members) > 1)


def test_sets_of_the_users_own_come_last_and_have_no_classes_by_name():
  names = ("jsrt", "phantom", "folder", "folder:a-1", "folder:b")
  assert sets.members("folder:b+phantom+folder+jsrt+folder:a-1") == names
  assert [sets.kind(n) for n in names] == ["jsrt", "phantom"] + ["folder"] * 3
  with pytest.raises(ConfigError, match=r"classes of folder:b .* labels\.csv"):
    sets.class_names("jsrt+folder:b")
  assert sets.union([("a", "b"), (), ("c", "a")]) == ("a", "b", "c")


@pytest.mark.parametrize(
  ("dataset", "message"),
  [
    ("shenzen", "no dataset 'shenzen'; choose .* mean 'shenzhen'"),
    ("ccx+jsrt", "'ccx.jsrt', which names a set twice"),
    ("jsrt+", r"no dataset '' \(in 'jsrt\+'\)"),
    ("jsrt+jsrt", "'jsrt.jsrt', which names a set twice"),
    ("", "no dataset ''"),
    ("folder:", "no dataset 'folder:'"),
    ("folder:Clinic", "folder:NAME .NAME of small letters"),
    ("folder:../up", "no dataset"),
    ("folder:a+folder:a", "names a set twice"),
    ("foldr", "mean 'folder'"),
  ],
)
def test_names_of_nothing_are_refused(dataset, message):
  with pytest.raises(ConfigError, match=message):
    sets.members(dataset)


def test_every_builder_has_its_classes_here():
  assert prepare.BUILDERS.keys() == {*sets.CLASSES, sets.OWN}
  for name, classes in sets.CLASSES.items():
    assert prepare.builder_class(name).layout().class_names == classes
