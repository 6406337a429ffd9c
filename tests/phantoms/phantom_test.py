"""Phantoms: anatomy, findings and image statistics."""

import numpy as np
import pytest
from scipy import ndimage

from apppau_jax import phantoms

MASKS = ("left_lung", "right_lung", "heart", "left_clavicle", "right_clavicle")


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
  """The same 30 people, normal, with tuberculosis and with nodules."""
  return {
    finding: [make(i, finding) for i in range(30)]
    for finding in ("normal", "tb", "nodule")
  }


@pytest.mark.parametrize(
  ("finding", "index", "image_mean", "lung_share"),
  [
    ("normal", 0, 126.648, 0.32001),
    ("tb", 1, 125.587, 0.17023),
    ("nodule", 2, 102.299, 0.35889),
  ],
)
def test_the_images_of_this_drawing(finding, index, image_mean, lung_share):
  """If this fails on purpose, increase `draw_set.DRAWING`."""
  p = make(index, finding, size=(128, 128), seed=0)
  assert p.image.mean() == pytest.approx(image_mean, abs=0.02)
  assert lungs_of(p).mean() == pytest.approx(lung_share, abs=2e-4)


def test_arguments_determine_the_phantom(people):
  for finding, drawn in people.items():
    for name in ("image", *MASKS):
      expected = getattr(make(3, finding), name)
      np.testing.assert_array_equal(getattr(drawn[3], name), expected)
  base = people["normal"][3]
  for other in (people["normal"][4], make(3, seed=2)):
    assert not np.array_equal(base.image, other.image)
    assert not np.array_equal(base.left_lung, other.left_lung)


@pytest.mark.parametrize(
  ("size", "factor"), [((64, 64), 4), ((80, 64), 2), ((125, 100), 12)]
)
def test_one_chest_at_every_resolution(size, factor):
  small, large = (
    make(2, size=size),
    make(2, size=tuple(factor * n for n in size)),
  )
  for name in MASKS:
    mask = getattr(small, name)
    assert (mask.shape, mask.dtype) == (size, bool)
    if "clavicle" not in name:  # too thin
      assert dice(shrink(getattr(large, name), factor) >= 0.5, mask) > 0.97
  # Noise and sharpness differ.
  difference = shrink(large.image, factor) - small.image
  assert np.abs(difference).mean() < 4


@pytest.mark.parametrize(
  "size", [(64, 64), (79, 65), (65, 79), (96, 48), (48, 96)]
)
def test_lungs_are_whole_and_of_plausible_size(size):
  for index in range(15):
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
    # The patient's left lung is on the right of the image.
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


def test_no_threshold_segments_the_lungs(people):
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
def test_findings_change_the_lungs_only(people, finding):
  for normal, abnormal in zip(people["normal"], people[finding]):
    for name in MASKS:
      expected = getattr(normal, name)
      np.testing.assert_array_equal(getattr(abnormal, name), expected)
    change = abnormal.image.astype(int) - normal.image
    # Three pixels of unsharpness, 8 mm.
    margin = ndimage.distance_transform_edt(~lungs_of(normal)) <= 3
    assert not change[~margin].any()
    assert change[margin].sum() > 0
    assert change.max() >= 5


def test_findings_are_brighter_except_in_cavities(people):
  cavities = 0
  for normal, tb, nodule in zip(*people.values()):
    assert (nodule.image >= normal.image).all()
    darker = tb.image < normal.image
    assert darker.mean() < 0.05
    cavities += darker.sum() > 10
  assert 3 <= cavities <= 24


def test_tuberculosis_varies_and_prefers_the_upper_lung(people):
  brighter, upper = [], 0
  for normal, tb in zip(people["normal"], people["tb"]):
    lungs = lungs_of(normal)
    change = np.where(lungs, tb.image.astype(float) - normal.image, 0)
    brighter.append(change.sum() / lungs.sum())
    rows = np.nonzero(lungs.any(axis=1))[0]
    upper += change[: rows.mean().astype(int)].sum() > 0.5 * change.sum()
  assert upper >= 18
  assert min(brighter) < 2
  assert max(brighter) > 8


@pytest.mark.parametrize("index", range(5))
def test_nodules_are_round_and_5_to_30_mm(index):
  size = (256, 256)
  normal, nodule = make(index, size=size), make(index, "nodule", size=size)
  columns = np.nonzero(lungs_of(normal).any(axis=0))[0]
  millimetre = np.ptp(columns) / 284  # both lungs are about 284 mm wide
  change = nodule.image.astype(int) - normal.image
  parts, count = ndimage.label(change > 0.35 * change.max())
  assert 1 <= count <= 8
  largest = np.bincount(parts.ravel())[1:].argmax()
  rows, columns = ndimage.find_objects(parts)[largest]
  tall, wide = rows.stop - rows.start, columns.stop - columns.start
  assert 2.5 < max(tall, wide) / millimetre < 40


@pytest.mark.parametrize("statistic", [np.mean, np.std, np.median])
def test_statistics_of_the_image_do_not_separate_the_classes(people, statistic):
  normal, tb = people["normal"][::2], people["tb"][1::2]
  a, b = (np.array([statistic(p.image) for p in g]) for g in (normal, tb))
  assert 0.2 < (b[:, None] > a).mean() < 0.8


def test_images_differ_in_exposure_and_borders(people):
  images = np.stack([p.image for p in people["normal"]])
  assert np.ptp(images.mean(axis=(1, 2))) > 40
  border = (images[:, :, 0] < 12).mean(axis=1) > 0.95
  assert 0 < border.sum() < 30


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
def test_arguments_out_of_range(wrong):
  arguments = {"seed": 0, "index": 0, "size": (64, 64), **wrong}
  with pytest.raises(ValueError, match=next(iter(wrong))):
    phantoms.make_phantom(**arguments)
