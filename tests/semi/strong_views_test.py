"""Strong views: the target follows the pixels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from apppau_jax.semi import strong_views
from apppau_jax.transforms.augment import Augmentation

OFF = Augmentation()
_strong_view = jax.jit(
  strong_views.strong_view,
  static_argnames=("intensity", "cutmix", "cutmix_with"),
)
_boxes = jax.jit(
  strong_views.boxes, static_argnums=1, static_argnames=("share", "sides")
)


@pytest.fixture(scope="module")
def image():
  return jax.random.uniform(jax.random.key(0), (6, 24, 20, 1))


def _is_rectangle(inside):
  rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
  box = inside[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
  return box.all() and box.sum() == inside.sum()


def test_a_box_holds_the_neighbour_image_and_target_alike(image):
  key = jax.random.key(3)
  seen, target = _strong_view(key, image, image, intensity=OFF, cutmix=1.0)
  np.testing.assert_array_equal(seen, target)
  own = np.asarray(seen == image).all(-1)
  neighbour = np.asarray(seen == jnp.roll(image, 1, axis=0)).all(-1)
  assert (own ^ neighbour).all()
  assert all(_is_rectangle(inside) for inside in neighbour)


def test_boxes_keep_their_sizes_and_share():
  many = np.asarray(
    _boxes(jax.random.key(1), (400, 40, 60), share=0.5, sides=(0.25, 0.6))[
      ..., 0
    ]
  )
  has = many.any(axis=(1, 2))
  assert 0.42 < has.mean() < 0.58
  heights = many.any(axis=2).sum(axis=1)[has] / 40
  widths = many.any(axis=1).sum(axis=1)[has] / 60
  for sides in (heights, widths):
    assert sides.min() >= 0.25 - 1 / 40
    assert sides.max() <= 0.6 + 1 / 40
    assert np.ptp(sides) > 0.25
  # Anywhere in the frame, up to its edges.
  covered = many.any(axis=0)
  assert covered[4:-4, 6:-6].all()
  assert covered.any(axis=1).all()
  assert covered.any(axis=0).all()


def test_values_change_and_targets_do_not(image):
  target = jnp.round(image)
  seen, same = _strong_view(
    jax.random.key(5),
    image,
    target,
    intensity=Augmentation(gamma=0.5, noise=0.2),
    cutmix=0.0,
  )
  np.testing.assert_array_equal(same, target)
  changed = np.abs(seen - image).max(axis=(1, 2, 3))
  assert (changed > 0.01).all()
  assert float(seen.min()) >= 0.0
  assert float(seen.max()) <= 1.0


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"intensity": Augmentation(shift=0.1)}, "must not move"),
    ({"intensity": OFF, "cutmix_with": "others"}, "'others'"),
    (
      {"intensity": OFF, "cutmix": 1.0, "cutmix_with": "labelled"},
      "needs labelled",
    ),
  ],
)
def test_impossible_views_are_refused(image, options, message):
  with pytest.raises(ValueError, match=message):
    _strong_view(jax.random.key(0), image, image, **options)


def test_every_structure_follows_the_box(image):
  target = jax.random.uniform(jax.random.key(4), (6, 24, 20, 3))
  seen, moved = _strong_view(
    jax.random.key(3), image, target, intensity=OFF, cutmix=1.0
  )
  inside = np.asarray(seen != image)
  assert inside.any()
  expected = np.where(inside, np.roll(target, 1, axis=0), target)
  np.testing.assert_array_equal(moved, expected)


def test_drawn_masks_are_mixed_in_as_often_inside_as_outside(image):
  known = jax.random.uniform(jax.random.key(7), (4, 24, 20, 1))
  own, drawn = jnp.tile(image, (10, 1, 1, 1)), (known > 0.5).astype(jnp.uint8)
  prob = jnp.full(own.shape, 0.3)
  seen, target = _strong_view(
    jax.random.key(3),
    own,
    prob,
    intensity=OFF,
    cutmix=1.0,
    cutmix_with="labelled",
    labelled=(known, drawn),
  )
  rows = np.arange(60) % 4
  other, mask = np.asarray(known)[rows], np.asarray(drawn)[rows]
  theirs = np.asarray(seen) == other
  np.testing.assert_array_equal(seen, np.where(theirs, other, own))
  np.testing.assert_array_equal(target, np.where(theirs, mask, np.float32(0.3)))
  assert target.dtype == prob.dtype
  # A box is a full rectangle, theirs or ours.
  boxed = [_is_rectangle(one) for one in theirs[..., 0]]
  around = [_is_rectangle(~one) for one in theirs[..., 0]]
  assert all(a or b for a, b in zip(boxed, around, strict=True))
  assert 18 <= sum(boxed) <= 42
  assert 0.4 < theirs.mean() < 0.6


def test_no_box_no_drawn_mask(image):
  known = (jnp.zeros((2, 24, 20, 1)), jnp.ones((2, 24, 20, 1)))
  seen, target = _strong_view(
    jax.random.key(3),
    image,
    image,
    intensity=OFF,
    cutmix=0.2,
    cutmix_with="labelled",
    labelled=known,
  )
  whole = (np.asarray(seen) == image).all(axis=(1, 2, 3))
  assert 0 < whole.sum() < 6
  np.testing.assert_array_equal(np.asarray(target)[whole], image[whole])


def test_what_is_mixed_in_is_disturbed_too(image):
  known = (jnp.full((6, 24, 20, 1), 0.5), jnp.zeros((6, 24, 20, 1)))
  seen, target = _strong_view(
    jax.random.key(3),
    image,
    jnp.ones_like(image),
    intensity=Augmentation(brightness=0.3),
    cutmix=1.0,
    cutmix_with="labelled",
    labelled=known,
  )
  for picture, true in zip(np.asarray(seen), np.asarray(target), strict=True):
    values = np.unique(picture[true == 0.0])
    assert len(values) == 1
    assert values[0] != 0.5
