"""Checks and measurements against what is worked out by hand."""

import dataclasses
import itertools
import json

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from apppau_jax.checks import (
  dataset_checks,
  duplicates,
  findings,
  leakage,
  radiograph,
  radiograph_checks,
)
from apppau_jax.checks.duplicates import Pair
from apppau_jax.datasets import registry, splits
from apppau_jax.datasets.parts import Parts
from apppau_jax.errors import DataError
from apppau_jax.imaging import resample

FACTS = {
  "source": "s", "label": "normal", "patient": "p", "part": "", "text": "",
  "path": "", "size": (128, 128),
}  # fmt: skip


def _film(image, mask=None, name="a", **facts):
  return radiograph.measure(image, mask, id=name, **{**FACTS, **facts})


def _noise(seed, shape=(128, 128)):
  rng = np.random.default_rng(seed)
  rough = ndimage.gaussian_filter(rng.normal(size=shape), 3)
  return np.interp(rough, [rough.min(), rough.max()], [0, 255]).astype(np.uint8)


# Measurements.


def test_grey_levels_are_numpys():
  image = _noise(0, (300, 200))
  made = _film(image)
  low, high = np.percentile(image, [1, 99], method="inverted_cdf")
  assert made.spread == high - low
  assert made.levels == len(np.unique(image))
  assert made.extreme == np.isin(image, [0, 255]).mean()
  assert made.sha256 == _film(image.copy()).sha256
  assert made.sha256 != _film(image.reshape(200, 300)).sha256


@pytest.mark.parametrize("shape", [(128, 128), (256, 512), (150, 131)])
def test_sketch_is_what_would_be_prepared(shape):
  image = _noise(1, shape)
  made = _film(image, image > 99)
  size = (128, 128)
  np.testing.assert_array_equal(made.sketch, resample.resize_area(image, size))
  mask = resample.resize_mask(image > 99, size)
  np.testing.assert_array_equal(made.outline, mask)


def test_hash_compares_neighbours_of_a_small_copy():
  image = _noise(2, (72, 72))
  small = image.reshape(8, 9, 9, 8).mean(axis=(1, 3))
  bits = [small[r, c + 1] > small[r, c] for r in range(8) for c in range(8)]
  np.testing.assert_array_equal(np.unpackbits(radiograph.dhash(image)), bits)
  assert not radiograph.dhash(np.full((128, 128), 77, np.uint8)).any()


def _two_lungs():
  mask = np.zeros((128, 128), bool)
  mask[20:110, 10:50] = mask[20:110, 70:118] = True
  return mask


def test_lungs_are_measured():
  mask = _two_lungs()
  image = np.where(mask, 40, 100).astype(np.uint8)
  image[5, 5] = 7
  lungs = _film(image, mask).lungs
  assert lungs.covered == (pytest.approx(90 * 88 / 128**2), 0)
  assert lungs.pieces == 2
  assert lungs.contrast == pytest.approx(60)
  assert lungs.upended < lungs.contrast
  assert lungs.mirrored < lungs.contrast
  # Gap from 49 to 70, chest from 10 to 117.
  assert lungs.heart == pytest.approx((59.5 - 63.5) / 107)
  mask[120, 60] = True  # one pixel is a slip of the pen
  assert _film(image, mask).lungs.pieces == 2
  assert _film(image, np.zeros_like(mask)).lungs is None


# Likeness.


def test_copies_are_found_and_strangers_are_not():
  originals = [_noise(seed) for seed in range(12)]
  films = [_film(x, name=f"{i}") for i, x in enumerate(originals)]
  small = Image.fromarray(originals[3]).resize((96, 96))
  copy = np.asarray(small.resize((128, 128)).point(lambda x: x * 0.8 + 30))
  films += [_film(copy, name="copy"), _film(originals[5], name="same")]
  found = {(p.first, p.second): p for p in duplicates.pairs(films)}
  assert set(found) == {("3", "copy"), ("5", "same")}
  assert found["5", "same"].equal
  assert found["5", "same"].alike == pytest.approx(1, abs=1e-3)
  assert not found["3", "copy"].equal


def test_pairs_are_those_of_all_against_all(monkeypatch):
  monkeypatch.setattr(duplicates, "_ROWS", 3)
  films = [_film(_noise(i // 2), name=f"{i}") for i in range(8)]
  found = [(p.first, p.second) for p in duplicates.pairs(films)]
  assert sorted(found) == [("0", "1"), ("2", "3"), ("4", "5"), ("6", "7")]
  black = [_film(np.zeros((128, 128), np.uint8), name=n) for n in "ab"]
  assert duplicates.pairs(black) == []


# Parts.

PART = {"a": "train", "b": "train", "c": "validation", "d": "test"}


def test_a_patient_in_two_parts_is_an_error():
  groups = {"a": "x", "b": "x", "c": "y", "d": "y"}
  (found,) = leakage.patients(PART, groups=groups, split="paper")
  assert (found.level, found.check) == ("error", "patients")
  assert found.ids == ("c", "d")
  assert "c in validation, d in test" in found.what


def test_the_public_lists_are_used_as_published():
  """0113_1 trains and 0117_1 validates in Idiap's list of Montgomery."""
  spec = registry.spec("montgomery")
  ids, groups = spec.ids, {i: spec.patients.get(i, i) for i in spec.ids}
  made = {
    name: splits.make_split(
      name, dataset="montgomery", ids=ids, labels={}, groups=groups, seed=0
    )
    for name in ("idiap", "paper")
  }
  found = leakage.all_findings(
    [], splits=made, groups=groups, labels={}, names={}
  )
  assert {(f.level, f.check) for f in found} == {("warning", "patients")}
  assert any(f.ids == ("MCUCXR_0113_1", "MCUCXR_0117_1") for f in found)
  part = made["idiap"].roles()
  again = leakage.patients(part, groups=groups, split="mine")
  assert {f.level for f in again} == {"error"}


@pytest.mark.parametrize(
  ("pair", "labels", "level"),
  [
    ("ab", "00", "warning"),
    ("ab", "01", "error"),
    ("ac", "00", "error"),
    ("cd", "00", "error"),
    ("ae", "00", "warning"),  # e is in no part
  ],
)
def test_twins_matter_across_parts_and_classes(pair, labels, level):
  (found,) = leakage.twins(
    [Pair(*pair, alike=0.95, equal=False)],
    parts={"s": PART},
    labels=dict(zip(pair, labels)),
    names={i: i for i in pair},
  )
  assert (found.level, found.check, found.ids) == (level, "twins", tuple(pair))


@pytest.mark.parametrize(
  ("dataset", "trained_on", "part", "expected"),
  [
    ("jsrt", "ccx", "test", ["a", "b", "c"]),
    ("jsrt", "jsrt", "validation", ["a", "b"]),
    ("montgomery", "phantom", "test", []),  # phantoms bear its ids
  ],
)
def test_images_that_a_run_has_used(
  tmp_path, dataset, trained_on, part, expected
):
  path = tmp_path / "splits.json"
  split = Parts(("a",), ("b",), ("c",), ("d",))
  path.write_text(json.dumps(split.as_dict()))
  used = leakage.used_images(
    "dcba", part=part, dataset=dataset, trained_on=trained_on, splits=path
  )
  assert used == expected


def test_a_model_file_is_not_measured_on_its_own_set(tmp_path):
  """It has no splits.json; any other set is measured."""
  file = tmp_path / "model.safetensors"
  file.write_bytes(b"")
  facts = {"trained_on": "phantom", "splits": file / "splits.json"}
  assert not leakage.used_images("ab", part="test", dataset="jsrt", **facts)
  with pytest.raises(DataError, match="model file"):
    leakage.used_images("ab", part="test", dataset="phantom", **facts)


def test_an_id_of_two_sets_is_an_error():
  (found,) = leakage.shared_ids([("a", "x"), ("b", "x"), ("a", "y")])
  assert (found.level, found.ids) == ("error", ("a",))


# Sets.


def test_counts_name_the_ids_that_differ():
  spec = registry.spec("shenzhen")
  ids, masked = spec.ids, spec.masked_ids
  (found,) = dataset_checks.counts(ids, masked=masked, spec=spec)
  assert (found.level, len(found.ids)) == ("note", 96)
  found = dataset_checks.counts(ids[2:], masked=masked[3:], spec=spec)
  assert [f.level for f in found] == ["warning", "warning", "note"]
  assert found[0].ids == ids[:2]
  assert "2 of 662" in found[0].what
  assert found[1].ids == (masked[2],)
  free = dataclasses.replace(spec, ids=None)
  assert dataset_checks.counts(["x"], masked=[], spec=free) == []


def test_all_classes_of_text():
  films = [
    _film(_noise(0), name=f"{i}", label=label, text=text)
    for i, (label, text) in enumerate(
      itertools.product(("normal", "tb", ""), ("Normal.", "scars", ""))
    )
  ]
  found = {f.ids[0]: f.level for f in dataset_checks.texts(films)}
  assert found == {"1": "warning", "3": "error"}


def test_a_heart_far_to_the_right_of_the_patient_is_remarked_on():
  mask = _two_lungs()
  mask[:, 30:50] = False
  image = np.where(mask, 40, 100).astype(np.uint8)
  (found,) = radiograph_checks.sides(_film(image, mask))
  assert (found.level, found.check) == ("warning", "sides")
  assert "may be mirrored" in found.what


# Findings.


def test_findings_are_accepted_by_check_or_by_image():
  found = findings.error("twins", "what", "a", "b")
  for accept, expected in (
    ((), False),
    (("twins",), True),
    (("twins:b",), True),
    (("twins:c", "patients"), False),
  ):
    assert findings.accepted(found, accept) == expected
  assert findings.Finding.from_dict(found.as_dict()) == found


def test_order_is_worst_first_and_nothing_twice():
  a, b = findings.note("twins", "x"), findings.warning("size", "x")
  c = findings.error("twins", "x")
  assert findings.worst_first([a, b, c, a]) == [c, b, a]
  assert findings.counts([a, b, c, a]) == {"error": 1, "warning": 1, "note": 2}
