import hashlib
import json
import random
from collections import Counter
from itertools import chain

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apppau_jax.datasets import registry, split_protocols, splits
from apppau_jax.datasets.parts import Parts, read_splits
from apppau_jax.errors import ConfigError, DataError

COMPLETE = {
  "montgomery": (93, 10, 35),
  "shenzhen": (355, 40, 132),
  "jsrt": (166, 19, 62),
}
FILMS = (
  {"MCUCXR_0113_1", "MCUCXR_0117_1"},
  {"MCUCXR_0162_1", "MCUCXR_0166_1", "MCUCXR_0170_1"},
)


def make(name="paper", *, dataset="montgomery", ids=None, **which) -> Parts:
  ids = registry.spec(dataset).masked_ids if ids is None else ids
  which = {"labels": {}, "groups": {}, "seed": 0, **which}
  return splits.make_split(name, dataset=dataset, ids=ids, **which)


def three(split: Parts) -> tuple[set[str], set[str], set[str]]:
  train = {*split.train_labelled, *split.train_unlabelled}
  return train, set(split.validation), set(split.test)


def sick(ids) -> int:
  return sum(name.endswith("_1") or name.startswith("JPCLN") for name in ids)


def fingerprint(ids) -> str:
  return hashlib.sha256("\n".join(ids).encode()).hexdigest()[:16]


def folder(count: int) -> dict[str, int]:
  return {f"film {i:03d}": int(i % 3 == 0) for i in range(count)}


@pytest.mark.parametrize(
  ("dataset", "count", "with_finding"),
  [("montgomery", 138, 58), ("shenzhen", 566, 287), ("jsrt", 247, 154)],
)
def test_public_lists_have_their_published_counts(dataset, count, with_finding):
  spec = registry.spec(dataset)
  assert len(spec.masked_ids) == count
  assert sum(map(spec.label, spec.masked_ids)) == with_finding
  assert sick(spec.masked_ids) == with_finding


# The paper's split.


@pytest.mark.parametrize("dataset", COMPLETE)
@pytest.mark.parametrize("seed", [0, 1, 17])
def test_complete_sets_give_table_3_by_class(dataset, seed):
  parts = three(make(dataset=dataset, seed=seed))
  assert tuple(map(len, parts)) == COMPLETE[dataset]
  everyone = set(chain(*parts))
  for part in parts:
    quota = len(part) * sick(everyone) / len(everyone)
    assert abs(sick(part) - quota) <= 1


def test_shenzhen_drops_39_tuberculosis_images_the_same_for_every_seed():
  everyone = set(registry.spec("shenzhen").masked_ids)
  kept = {
    seed: set(chain(*three(make(dataset="shenzhen", seed=seed))))
    for seed in (0, 1)
  }
  assert kept[0] == kept[1]
  assert sick(kept[0]) == 248
  assert len(kept[0]) == 527
  by_hash = sorted(
    (name for name in everyone if name.endswith("_1")),
    key=lambda n: hashlib.sha256(f"shenzhen-527:{n}".encode()).digest(),
  )
  assert everyone - kept[0] == set(by_hash[248:])


@pytest.mark.parametrize(
  ("dataset", "train", "test"),
  [
    ("montgomery", "9e6c41c0231ed068", "c4d1b9e01c1f5ae1"),
    ("shenzhen", "38c36c4d85ae4b19", "2f43ce81b992f2cc"),
    ("jsrt", "5230d5ac2fdc894c", "10b9032d9d19227f"),
  ],
)
def test_the_split_of_seed_0_never_changes(dataset, train, test):
  split = make(dataset=dataset, label_fraction=0.1)
  assert fingerprint(split.train_labelled) == train
  assert fingerprint(split.test) == test


@pytest.mark.parametrize("name", ["paper", "fold-1-of-4"])
def test_phantoms_keep_their_parts_under_their_new_names(name):
  """Results on phantoms that were drawn earlier stay comparable."""
  old = [f"MCUCXR_{i:04d}_{int(i > 30)}" for i in range(1, 51)]
  new = [f"PHANTOM_{i:04d}_{'tb' if i > 30 else 'normal'}"
         for i in range(1, 51)]  # fmt: skip
  numbers = []
  for ids in (old, new):
    labels = {i: int(i[-1] in "1b") for i in ids}
    split = splits.make_split(
      name,
      dataset="phantom",
      ids=ids,
      labels=labels,
      groups={},
      seed=3,
      label_fraction=0.2,
    )
    parts = split.as_dict().values()
    numbers.append([[i.split("_")[1] for i in part] for part in parts])
  assert numbers[0] == numbers[1]


def test_folds_of_seed_0_never_change():
  split = make("fold-2-of-5")
  assert fingerprint(split.validation) == "339f7535ae278b17"
  assert fingerprint(split.test) == "6afe1352c2a304d1"


@pytest.mark.parametrize("name", ["paper", "fold-0-of-5", "fold-4-of-5"])
@pytest.mark.parametrize("seed", range(3))
def test_films_of_one_person_stay_together(name, seed):
  parts = three(make(name, seed=seed))
  for films in FILMS:
    assert sum(not films.isdisjoint(part) for part in parts) == 1


@pytest.mark.parametrize("name", ["paper", "idiap", "fold-1-of-5"])
@pytest.mark.parametrize("dataset", ["montgomery", "shenzhen"])
@settings(max_examples=4, deadline=None)
@given(data=st.data())
def test_missing_files_move_no_other_image(name, dataset, data):
  complete = make(name, dataset=dataset, label_fraction=0.3)
  ids = list(registry.spec(dataset).masked_ids)
  chosen = random.Random(data.draw(st.integers())).sample(ids, len(ids) // 2)
  partial = make(name, dataset=dataset, ids=chosen, label_fraction=0.3)
  here = set(chosen)
  for part, names in complete.as_dict().items():
    assert getattr(partial, part) == tuple(n for n in names if n in here)


def test_a_count_is_of_the_available_images():
  """Three masks are three, whichever files are missing, in the same order."""
  complete = make("fold-0-of-3", label_fraction=6)
  ids = list(registry.spec("montgomery").masked_ids)
  missing = complete.train_labelled[:2]
  rest = [i for i in ids if i not in missing]
  partial = make("fold-0-of-3", ids=rest, label_fraction=6)
  assert len(partial.train_labelled) == 6
  assert {*complete.train_labelled[2:]} < {*partial.train_labelled}


@pytest.mark.parametrize(
  ("count", "expected"),
  [
    (138, (93, 10, 35)),
    (16, (11, 1, 4)),  # quotas 10.8, 1.2, 4.1
    (7, (4, 1, 2)),
    (3, (1, 1, 1)),
  ],
)
def test_other_sets_get_the_papers_proportions(count, expected):
  ids = folder(count)
  split = make(dataset="phantom", ids=list(ids), labels=ids)
  assert tuple(map(len, three(split))) == expected


@settings(max_examples=20, deadline=None)
@given(
  ids=st.dictionaries(
    st.text(max_size=8),
    st.tuples(st.integers(-1, 2), st.integers(0, 30)),
    min_size=12,
    max_size=50,
  ),
  name=st.sampled_from(["paper", "fold-0-of-3", "fold-2-of-3"]),
  seed=st.integers(0, 99),
)
def test_any_set_is_divided_completely_by_patient(ids, name, seed):
  groups = {i: f"patient {person}" for i, (_, person) in ids.items()}
  if len(set(groups.values())) < 8:
    groups = {}
  labels = {i: label for i, (label, _) in ids.items()}
  split = make(
    name,
    dataset="folder",
    ids=list(ids),
    labels=labels,
    groups=groups,
    seed=seed,
    label_fraction=0.5,
  )
  parts = three(split)
  assert Counter(chain(*parts)) == Counter(ids.keys())
  assert all(parts)
  people = [{groups.get(i, i) for i in part} for part in parts]
  assert sum(map(len, people)) == len(set.union(*people))


# Folds.


@pytest.mark.parametrize(
  ("dataset", "folds"), [("montgomery", 5), ("shenzhen", 3)]
)
def test_folds_test_every_image_once(dataset, folds):
  made = [make(f"fold-{k}-of-{folds}", dataset=dataset) for k in range(folds)]
  ids = registry.spec(dataset).masked_ids
  assert sorted(chain(*(split.test for split in made))) == list(ids)
  assert np.ptp([len(split.test) for split in made]) <= 1
  assert np.ptp([sick(split.test) for split in made]) <= 1
  for split in made:
    train, validation, test = three(split)
    others = len(ids) - len(test)
    assert len(train) + len(validation) == others
    assert abs(len(validation) - others / 10) <= 0.5
    quota = len(validation) * (sick(ids) - sick(test)) / others
    assert abs(sick(validation) - quota) <= 1
  overlap = set(made[0].validation).intersection(made[1].validation)
  assert len(overlap) < len(made[0].validation) / 2


# Idiap's lists.


def test_idiap_lists_are_the_published_ones_whatever_the_seed():
  split = make("idiap", seed=5)
  assert split == make("idiap", seed=6)
  assert tuple(map(len, three(split))) == (96, 14, 28)
  assert split.validation[:3] == (
    "MCUCXR_0003_0",
    "MCUCXR_0006_0",
    "MCUCXR_0020_0",
  )
  assert tuple(map(len, three(make("idiap", dataset="shenzhen")))) == (
    396,
    56,
    114,
  )


def test_idiap_keeps_its_shared_patients_but_others_are_checked():
  groups = {name: min(films) for films in FILMS for name in films}
  split = make("idiap", groups=groups)
  with pytest.raises(DataError, match="MCUCXR_0113_1"):
    split.check(groups=groups)
  make("paper", groups=groups)
  one = dict.fromkeys(registry.spec("montgomery").masked_ids, "everybody")
  with pytest.raises(DataError, match="'everybody' is in two parts"):
    make("paper", groups=one)


# Which of the training images are labelled.


@pytest.mark.parametrize(
  ("dataset", "count"), [("montgomery", 9), ("shenzhen", 36), ("jsrt", 17)]
)
def test_a_tenth_is_the_papers_count_by_class(dataset, count):
  split = make(dataset=dataset, label_fraction=0.1)
  train = three(split)[0]
  assert len(split.train_labelled) == count
  assert abs(sick(split.train_labelled) - count * sick(train) / len(train)) <= 1


def test_the_labelled_choice_leaves_the_parts_alone_and_is_nested():
  everything = make()
  before: set[str] = set()
  for wanted in (1, 2, 5, 0.1, 0.2, 40, 0.5, 93, 1.0):
    split = make(label_fraction=wanted, label_seed=3)
    assert three(split) == three(everything)
    assert before <= set(split.train_labelled)
    before = set(split.train_labelled)
  assert before == set(everything.train_labelled)
  assert everything.train_unlabelled == ()


@pytest.mark.parametrize(
  ("wanted", "count"),
  [(1, 1), (2, 2), (9, 9), (9.0, 9), (1.0, 93), (0.001, 2), (0.5, 47)],
)
def test_counts_and_fractions(wanted, count):
  split = make(label_fraction=wanted)
  assert len(split.train_labelled) == count
  if count > 1:
    assert 0 < sick(split.train_labelled) < count


def test_fractions_are_the_decimals_they_are_written_as():
  # 0.3 of 355 is 106.5, but the double nearest to 0.3 lies below it.
  split = make(dataset="shenzhen", label_fraction=0.3)
  assert len(split.train_labelled) == 107


@pytest.mark.parametrize(
  "wanted", [0, 0.0, -1, -0.5, 1.5, 94, float("nan"), float("inf")]
)
def test_impossible_label_fractions_are_refused(wanted):
  with pytest.raises(ConfigError, match=r"label_fraction.*from 1 to the 93"):
    make(label_fraction=wanted)


# What cannot be divided.


@pytest.mark.parametrize(
  ("name", "hint"),
  [
    ("papre", r"paper, idiap, given, .*fold-K-of-N.* mean paper"),
    ("Idiap", "mean idiap"),
    ("fold_1_of_4", "mean fold-1-of-4"),
    ("fold-5-of-5", "counted from 0"),
    ("fold-0-of-1", "N from 2 to 134"),
    ("fold-0-of-135", "N from 2 to 134"),
    ("random", r"\(fold-0-of-5 to fold-4-of-5\)\.$"),
    ("", "fold-K-of-N"),
  ],
)
def test_unknown_splits_are_refused_with_a_hint(name, hint):
  with pytest.raises(ConfigError, match=hint):
    make(name)


@pytest.mark.parametrize(
  ("ids", "message"),
  [
    (["a", "b", "c", "a"], "1 ids of folder .* first 'a'"),
    (["a", "b"], "masks of 2 patients"),
    ([], "masks of 0 patients"),
  ],
)
def test_sets_that_cannot_be_divided_are_refused(ids, message):
  with pytest.raises(DataError, match=message):
    make(dataset="folder", ids=ids)


def test_one_patient_cannot_train_and_validate():
  groups = {"a": "p", "b": "p", "c": "p"}
  with pytest.raises(ConfigError, match="leaves one patient"):
    make(
      "fold-1-of-2",
      dataset="folder",
      ids=list("abcdef"),
      groups={**groups, "d": "q", "e": "r", "f": "r"},
    )


def test_nothing_labelled_at_hand_is_refused():
  test_only = make().test
  with pytest.raises(DataError, match="None of the 93 labelled"):
    make(ids=test_only)


# Checks and files.


def test_check_finds_an_image_in_two_parts():
  split = Parts(("a", "b"), (), ("c",), ("b",))
  with pytest.raises(DataError, match="first 'b'"):
    split.check()


def test_check_finds_a_patient_in_two_parts():
  split = Parts(("a",), ("b",), ("c",), ("d",))
  split.check(groups={"a": "p", "b": "p", "c": "q", "d": "r"})
  with pytest.raises(DataError, match=r"'p' .* b in train, d in test"):
    split.check(groups={"b": "p", "d": "p"})
  with pytest.raises(DataError, match="'q'"):
    split.check(groups={"c": "q", "d": "q"})


GOOD = {
  "train_labelled": ["b", "a"],
  "train_unlabelled": [],
  "validation": ["é"],
  "test": ["<c>"],
}


def test_lists_by_hand_are_read_in_any_order(tmp_path):
  path = tmp_path / "mine.json"
  path.write_text(json.dumps(GOOD), encoding="utf-8")
  read = read_splits(path)
  assert read == Parts(("a", "b"), (), ("é",), ("<c>",))
  path.write_text(json.dumps(read.as_dict()), encoding="utf-8")
  assert read_splits(path) == read


def test_images_that_a_run_used_before_it_is_measured():
  split = Parts(("a",), ("b",), ("c",), ("d",))
  assert split.used_before("validation") == {"a", "b"}
  assert split.used_before("test") == {"a", "b", "c"}


@pytest.mark.parametrize(
  ("content", "message"),
  [
    ("{", "cannot be read"),
    ("[]", "it is not an object"),
    (json.dumps({**GOOD, "extra": []}), "is not a split"),
    (json.dumps({k: v for k, v in GOOD.items() if k != "test"}), "no 'test'"),
    (json.dumps({**GOOD, "test": "abc"}), "test is not a list"),
    (json.dumps({**GOOD, "test": [1]}), "test.0 is not text"),
    (json.dumps({**GOOD, "test": ["a"]}), "more than once"),
    (json.dumps({**GOOD, "test": ["d", "d"]}), "more than once"),
  ],
)
def test_damaged_files_are_refused(tmp_path, content, message):
  path = tmp_path / "splits.json"
  path.write_text(content, encoding="utf-8")
  with pytest.raises(DataError, match=message):
    read_splits(path)


@pytest.mark.parametrize("name", ["montgomery", "shenzhen"])
def test_the_classification_split_has_the_proportions_of_mednet(name):
  spec = registry.spec(name)
  ids = spec.masked_ids
  parts = splits.make_split(
    "classification",
    dataset=name,
    ids=ids,
    labels={i: spec.label(i) for i in ids},
    groups=spec.patients,
    seed=0,
  )
  sizes = [len(parts.train_labelled), len(parts.validation), len(parts.test)]
  stated = {"montgomery": (88, 22, 28), "shenzhen": (422, 107, 133)}[name]
  assert sum(sizes) == len(ids)
  share = len(ids) / sum(stated)
  for size, count in zip(sizes, stated):
    assert abs(size - share * count) <= 1
  sick = sum(map(spec.label, ids)) / len(ids)
  for part in (parts.train_labelled, parts.validation, parts.test):
    assert abs(sum(map(spec.label, part)) - sick * len(part)) < 2
  with pytest.raises(ConfigError, match="montgomery and shenzhen, not jsrt"):
    split_protocols.divide_by(
      "classification", dataset="jsrt", members=[], seed=0, given={}
    )
