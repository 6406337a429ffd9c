"""Phantoms: what a user, a network and a radiologist may rely on."""

import dataclasses

import numpy as np
import pytest
from scipy import ndimage

from apppau_jax import phantoms
from apppau_jax.errors import DataError

MASKS = (
  "left_lung",
  "right_lung",
  "heart",
  "left_clavicle",
  "right_clavicle",
)


def make(index, finding="normal", size=(96, 96), seed=1):
  return phantoms.make_phantom(
    seed=seed, index=index, finding=finding, size=size
  )


def lungs_of(p):
  return p.left_lung | p.right_lung


def dice(a, b):
  return 2 * (a & b).sum() / (a.sum() + b.sum())


def shrink(mask, factor):
  h, w = (n // factor for n in mask.shape)
  return mask.reshape(h, factor, w, factor).mean(axis=(1, 3))


@pytest.fixture(scope="module")
def people():
  """The same 30 people, healthy, with tuberculosis and with nodules."""
  return {
    finding: [make(i, finding) for i in range(30)]
    for finding in ("normal", "tb", "nodule")
  }


@pytest.mark.parametrize("finding", ["normal", "tb", "nodule"])
def test_same_arguments_same_phantom(finding):
  one, two = make(3, finding), make(3, finding)
  for name in ("image", *MASKS):
    np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


def test_seed_and_index_change_body_and_picture():
  base = make(3)
  for other in (make(4), make(3, seed=2)):
    assert not np.array_equal(base.image, other.image)
    assert not np.array_equal(base.left_lung, other.left_lung)


def test_fields():
  p = make(0, "tb", size=(80, 64))
  assert p.finding == "tb"
  assert p.image.shape == (80, 64)
  assert p.image.dtype == np.uint8
  for name in MASKS:
    assert getattr(p, name).shape == (80, 64)
    assert getattr(p, name).dtype == bool
    assert getattr(p, name).any()
  assert {f.name for f in dataclasses.fields(p)} == {"image", "finding", *MASKS}


@pytest.mark.parametrize("index", [0, 5, 9])
def test_one_chest_at_every_resolution(index):
  large, small = make(index, size=(256, 256)), make(index, size=(64, 64))
  for name in ("left_lung", "right_lung", "heart"):
    reduced = shrink(getattr(large, name), 4) >= 0.5
    assert dice(reduced, getattr(small, name)) > 0.97
  # The picture too: what is left is noise and the film's sharpness.
  difference = shrink(large.image, 4) - small.image
  assert np.abs(difference).mean() < 4


@pytest.mark.parametrize(
  "size", [(64, 64), (79, 65), (65, 79), (96, 48), (48, 96)]
)
def test_lungs_are_whole_and_of_plausible_size(size):
  for index in range(30):
    lungs = lungs_of(make(index, size=size, seed=7))
    assert 0.12 < lungs.mean() < 0.45
    assert not lungs[[0, -1]].any()
    assert not lungs[:, [0, -1]].any()


def test_anatomy(people):
  left_is_smaller = heart_is_left = 0
  for p in people["normal"]:
    assert not (p.left_lung & p.right_lung).any()
    assert not (p.heart & lungs_of(p)).any()
    for lung in (p.left_lung, p.right_lung):
      parts, count = ndimage.label(lung, np.ones((3, 3)))
      sizes = np.bincount(parts.ravel())[1:]
      assert count == 1 or sizes.max() > 0.99 * sizes.sum()
    left, right = (np.nonzero(m)[1] for m in (p.left_lung, p.right_lung))
    # Hung as usual: the patient's left is on the right of the picture.
    assert left.min() > right.max()
    middle = (left.min() + right.max()) / 2
    assert np.nonzero(p.left_clavicle)[1].mean() > middle
    assert np.nonzero(p.right_clavicle)[1].mean() < middle
    heart_is_left += np.nonzero(p.heart)[1].mean() > middle
    left_is_smaller += left.size < right.size
  assert heart_is_left >= 27
  assert left_is_smaller >= 24


def test_lungs_are_darker_than_heart_and_chest_wall(people):
  for p in people["normal"]:
    lungs = lungs_of(p)
    far = ndimage.distance_transform_edt(~lungs)
    around = p.image[(far > 2) & (far < 7)].mean()
    assert p.image[lungs].mean() < p.image[p.heart].mean() - 60
    assert p.image[lungs].mean() < around - 20


def test_no_threshold_finds_the_lungs(people):
  for p in people["normal"]:
    lungs = lungs_of(p)
    inside = np.bincount(p.image[lungs], minlength=256)
    total = np.bincount(p.image.ravel(), minlength=256)
    low, high = np.triu_indices(257, 1)
    hits, picked = (
      np.concatenate([[0], np.cumsum(n)]) for n in (inside, total)
    )
    found = picked[high] - picked[low]
    best = 2 * (hits[high] - hits[low]) / (found + lungs.sum())
    assert best[low == 0].max() < 0.85  # darker than a level
    assert best.max() < 0.95  # between any two levels
    assert best.max() > 0.3


@pytest.mark.parametrize("finding", ["tb", "nodule"])
def test_findings_show_in_the_lungs_and_nowhere_else(people, finding):
  for healthy, ill in zip(people["normal"], people[finding]):
    for name in MASKS:
      np.testing.assert_array_equal(getattr(healthy, name), getattr(ill, name))
    change = ill.image.astype(int) - healthy.image
    # Three pixels of unsharpness, 8 mm.
    margin = ndimage.distance_transform_edt(~lungs_of(healthy)) <= 3
    assert not change[~margin].any()
    assert change[margin].sum() > 0
    assert change.max() >= 5


def test_findings_are_denser_but_for_cavities(people):
  cavities = 0
  for healthy, tb, nodule in zip(*people.values()):
    assert (nodule.image >= healthy.image).all()
    darker = tb.image < healthy.image
    assert darker.mean() < 0.05
    cavities += darker.sum() > 10
  assert 3 <= cavities <= 24


def test_tuberculosis_varies_and_prefers_the_upper_lung(people):
  brighter, upper = [], 0
  for healthy, tb in zip(people["normal"], people["tb"]):
    lungs = lungs_of(healthy)
    change = np.where(lungs, tb.image.astype(float) - healthy.image, 0)
    brighter.append(change.sum() / lungs.sum())
    rows = np.nonzero(lungs.any(axis=1))[0]
    upper += change[: rows.mean().astype(int)].sum() > 0.5 * change.sum()
  assert upper >= 18
  assert min(brighter) < 2
  assert max(brighter) > 8


def test_nodules_are_round_and_5_to_30_mm():
  for index in range(8):
    size = (256, 256)
    healthy, ill = make(index, size=size), make(index, "nodule", size=size)
    columns = np.nonzero(lungs_of(healthy).any(axis=0))[0]
    millimetre = np.ptp(columns) / 284  # both lungs are about 284 mm wide
    change = ill.image.astype(int) - healthy.image
    parts, count = ndimage.label(change > 0.35 * change.max())
    assert 1 <= count <= 8
    rows, columns = ndimage.find_objects(parts)[
      np.bincount(parts.ravel())[1:].argmax()
    ]
    tall, wide = rows.stop - rows.start, columns.stop - columns.start
    assert 2.5 < max(tall, wide) / millimetre < 40


def test_the_picture_as_a_whole_gives_no_class_away(people):
  """Simple statistics of the whole picture must not separate the classes."""
  normal, tb = people["normal"][::2], people["tb"][1::2]
  for statistic in (np.mean, np.std, np.median):
    a, b = (np.array([statistic(p.image) for p in g]) for g in (normal, tb))
    order = (b[:, None] > a).mean()
    assert 0.2 < order < 0.8


def test_pictures_differ_in_exposure_and_borders(people):
  images = np.stack([p.image for p in people["normal"]])
  assert np.ptp(images.mean(axis=(1, 2))) > 40
  border = (images[:, :, 0] < 12).mean(axis=1) > 0.95
  assert 0 < border.sum() < 30


def test_large_pictures_keep_their_masks():
  large, small = make(2, size=(1500, 1200)), make(2, size=(125, 100))
  reduced = shrink(lungs_of(large), 12) >= 0.5
  assert dice(reduced, lungs_of(small)) > 0.97
  assert large.image.shape == (1500, 1200)


@pytest.mark.parametrize(
  "wrong",
  [
    {"finding": "flu"},
    {"size": (15, 20)},
    {"size": (64, 129)},
    {"seed": -1},
    {"index": -1},
  ],
)
def test_impossible_phantoms(wrong):
  arguments = {"seed": 0, "index": 0, "size": (64, 64), **wrong}
  with pytest.raises(DataError, match="phantom"):
    phantoms.make_phantom(**arguments)
