import hashlib
from collections import Counter
from itertools import chain

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from apppau_jax.datasets import stratified_split
from apppau_jax.datasets.stratified_split import Unit

names = st.text(min_size=1, max_size=6)
id_sets = st.dictionaries(names, st.integers(-1, 3), min_size=1, max_size=40)


def singles(sizes: dict[int, int]) -> list[Unit]:
  return [
    Unit((f"{label}-{i:03d}",), label)
    for label, size in sizes.items()
    for i in range(size)
  ]


def classes(part) -> Counter:
  return Counter(int(name.split("-")[0]) for name in part)


def test_units_gather_patients_and_take_the_first_ids_class():
  gathered = stratified_split.units(
    ["d", "b", "a", "c"],
    labels={"a": 1, "b": 0, "d": 2},
    groups={"a": "p", "c": "p", "d": "q"},
  )
  assert gathered == [
    Unit(("a", "c"), 1),
    Unit(("b",), 0),
    Unit(("d",), 2),
  ]
  assert stratified_split.units(["z"], labels={}, groups={}) == [
    Unit(("z",), -1)
  ]


@given(
  total=st.integers(0, 500),
  weights=st.lists(st.integers(0, 99), min_size=1).filter(any),
)
def test_apportion_sums_and_stays_within_one_of_the_quota(total, weights):
  shares = stratified_split.apportion(total, weights=weights)
  assert sum(shares) == total
  quotas = np.array(weights) * total / sum(weights)
  assert (np.abs(shares - quotas) < 1 + 1e-9).all()


@settings(max_examples=25, deadline=None)
@given(
  sizes=st.lists(st.integers(0, 40), min_size=1, max_size=4).filter(any),
  cuts=st.tuples(st.floats(0, 1), st.floats(0, 1)),
  salt=st.integers(),
)
def test_single_images_are_divided_exactly_and_evenly(sizes, cuts, salt):
  members = singles(dict(enumerate(sizes)))
  total = len(members)
  low, high = (round(cut * total) for cut in sorted(cuts))
  counts = (low, high - low, total - high)
  parts = stratified_split.divide(members, counts=counts, salt=salt)
  assert [len(part) for part in parts] == list(counts)
  assert sorted(chain(*parts)) == sorted(u.ids[0] for u in members)
  for part, count in zip(parts, counts):
    for label, size in enumerate(sizes):
      quota = count * size / total
      # Two roundings at most meet in one cell.
      assert abs(classes(part)[label] - quota) < 2
      if len(sizes) == 2:
        assert abs(classes(part)[label] - quota) <= 1


@settings(max_examples=30, deadline=None)
@given(
  units=st.lists(
    st.tuples(st.integers(1, 5), st.integers(0, 2)), min_size=3, max_size=30
  ),
  salt=st.integers(),
)
def test_patients_stay_whole_and_no_part_is_empty(units, salt):
  members = [
    Unit(tuple(f"{i:02d}{j}" for j in range(size)), label)
    for i, (size, label) in enumerate(units)
  ]
  total = sum(size for size, _ in units)
  test = max(1, total // 4)
  parts = stratified_split.divide(
    members, counts=(total - test - 1, 1, test), salt=salt
  )
  assert sorted(chain(*parts)) == sorted(i for u in members for i in u.ids)
  assert all(parts)
  for unit in members:
    assert sum(not set(unit.ids).isdisjoint(part) for part in parts) == 1
  for part in stratified_split.deal(members, parts=3, salt=salt):
    assert part
    for unit in members:
      assert len(set(unit.ids).intersection(part)) in (0, len(unit.ids))


def test_patients_land_in_parts_as_often_as_these_are_large():
  test = 0
  for salt in range(400):
    members = [Unit(("pair-a", "pair-b"), 0), *singles({0: 38})]
    parts = stratified_split.divide(members, counts=(28, 2, 10), salt=salt)
    test += "pair-a" in parts[2]
  assert 70 < test < 130  # a quarter of 400, 3.5 standard deviations


@settings(max_examples=25, deadline=None)
@given(
  sizes=st.lists(st.integers(0, 30), min_size=1, max_size=4).filter(any),
  parts=st.integers(1, 8),
  salt=st.integers(),
)
def test_dealt_parts_differ_by_one_at_most(sizes, parts, salt):
  members = singles(dict(enumerate(sizes)))
  hands = stratified_split.deal(members, parts=parts, salt=salt)
  assert sorted(chain(*hands)) == sorted(u.ids[0] for u in members)
  assert np.ptp([len(hand) for hand in hands]) <= 1
  for label in range(len(sizes)):
    assert np.ptp([classes(hand)[label] for hand in hands]) <= 1


@settings(max_examples=25, deadline=None)
@given(labels=id_sets, salt=st.integers())
def test_every_beginning_holds_the_classes_in_proportion(labels, salt):
  order = stratified_split.even_order(labels.keys(), labels=labels, salt=salt)
  assert sorted(order) == sorted(labels)
  sizes = Counter(labels.values())
  assert len({labels[name] for name in order[: len(sizes)]}) == len(sizes)
  if len(sizes) == 2:
    for count in range(2, len(order)):
      held = Counter(labels[name] for name in order[:count])
      for label, size in sizes.items():
        low = count * size / len(order) - 1
        # One of each class comes first, however rare a class is.
        assert low <= held[label] <= max(1, low + 2)


def test_the_even_order_by_hand():
  labels = {"a": 0, "b": 0, "c": 0, "d": 0, "e": 1, "f": 1}
  order = stratified_split.even_order(labels, labels=labels, salt=0)
  # Claims 4/3 against 2/3, then 4/5 against 2/3, then 2/3 against 4/7.
  assert [labels[name] for name in order] == [0, 1, 0, 0, 1, 0]
  by_hash = sorted(
    "abcd", key=lambda n: hashlib.sha256(f"0:{n}".encode()).digest()
  )
  assert [name for name in order if labels[name] == 0] == by_hash
