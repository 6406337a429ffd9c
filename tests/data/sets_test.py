import pytest

from apppau_jax.data import prepare, sets
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


def test_labels_become_positions_among_all_classes():
  assert sets.label_map("jsrt", dataset="jsrt") == (0, 1)
  assert sets.label_map("jsrt", dataset="ccx") == (0, 2)
  assert sets.label_map("shenzhen", dataset="ccx") == (0, 1)


@pytest.mark.parametrize(
  ("dataset", "message"),
  [
    ("shenzen", "no dataset 'shenzen'; choose .* mean 'shenzhen'"),
    ("ccx+jsrt", "'ccx.jsrt', which names a set twice"),
    ("jsrt+", r"no dataset '' \(in 'jsrt\+'\)"),
    ("jsrt+jsrt", "'jsrt.jsrt', which names a set twice"),
    ("", "no dataset ''"),
  ],
)
def test_names_of_nothing_are_refused(dataset, message):
  with pytest.raises(ConfigError, match=message):
    sets.members(dataset)


def test_every_builder_has_its_classes_here():
  assert prepare.BUILDERS.keys() == sets.CLASSES.keys()
  for name, builder in prepare.BUILDERS.items():
    assert builder.layout().class_names == sets.CLASSES[name]
