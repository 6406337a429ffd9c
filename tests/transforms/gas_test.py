"""Bubbles lie where gas lies, spare every mask, and only darken."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage, special

from apppau_jax.semi import strong_views
from apppau_jax.transforms import augment, gas
from apppau_jax.transforms.augment import Augmentation

SIDE = 64
ADD = jax.jit(
  lambda image, mask, bubble: gas.add_bubble(image, mask, bubble=bubble)
)


def chest() -> tuple[np.ndarray, np.ndarray]:
  """Two rectangles of lung in a bright body, the right one a step lower."""
  mask = np.zeros((SIDE, SIDE, 1), np.float32)
  mask[10:40, 8:26] = 1.0
  mask[10:44, 38:56] = 1.0
  noise = np.random.default_rng(0).uniform(-0.05, 0.05, mask.shape)
  image = np.where(mask, 0.3, 0.8) + noise
  image[:, 58:] = 0.05  # beside the body, darker than lung
  return image.astype(np.float32), mask


def bubble(**changes) -> gas.Bubble:
  values = {
    "shown": 1.0,
    "column": 0.75,
    "depth": 0.05,
    "half_height": 0.08,
    "half_width": 0.1,
    "wall": 0.02,
    "grey": 1.0,
    "strength": 0.9,
  }
  return gas.Bubble(
    **{k: jnp.float32(v) for k, v in (values | changes).items()}
  )


def by_hand(image, mask, drawn: gas.Bubble) -> np.ndarray:
  """The same, pixel by pixel in double precision."""
  drawn = gas.Bubble(*(float(x) for x in drawn))
  h, w = mask.shape[:2]
  lung = mask.max(-1) >= 0.5
  ends = {
    x: np.flatnonzero(lung[:, x]).max() for x in range(w) if lung[:, x].any()
  }
  lowest = max(ends.values())
  base = [x for x, y in sorted(ends.items()) if y > lowest - 0.13 * h]
  left = [x for x in base if x >= np.mean(list(ends))]
  x0 = left[int(drawn.column * len(left))]
  y0 = ends[x0] + drawn.depth * h
  grey = drawn.grey * image[lung].mean()
  a, b = drawn.half_height * h, drawn.half_width * w
  out = image.astype(np.float64)
  for y in range(h):
    for x in range(w):
      if lung[y, x]:
        continue
      inside = (1 - np.hypot((y - y0) / a, (x - x0) / b)) * a
      top = ends[x] if x in base else ends[x0]
      below = y - top - drawn.wall * h
      share = special.expit(inside / (0.008 * h))
      share *= special.expit(below / (0.008 * h)) * drawn.strength
      out[y, x] -= share * np.maximum(out[y, x] - grey, 0.0)
  return out


@pytest.mark.parametrize(
  "changes",
  [
    {},
    {"column": 0.0, "depth": -0.02},
    {"column": 0.999, "half_width": 0.14, "half_height": 0.1},
    {"column": 0.49, "depth": 0.12, "grey": 1.4, "strength": 0.4},
  ],
)
def test_a_bubble_is_the_one_written_out_by_hand(changes):
  image, mask = chest()
  drawn = bubble(**changes)
  out = np.asarray(ADD(image, mask, drawn))
  np.testing.assert_allclose(out, by_hand(image, mask, drawn), atol=1e-5)
  assert (image - out).max() > 0.1


def test_it_lies_below_the_drawn_column_and_has_the_grey_of_lung():
  image, mask = chest()
  out = ADD(image, mask, bubble(column=0.5, strength=1.0))
  # Half of the 18 columns of the lung that is seen on the right.
  change = image - np.asarray(out)
  rows, columns = np.nonzero(change[..., 0] > 0.25)
  assert columns.mean() == pytest.approx(47, abs=0.5)
  assert rows.min() > 43  # its upper part is cut off by the diaphragm
  assert out[48, 47, 0] == pytest.approx(image[mask > 0].mean(), abs=0.01)


def test_masks_are_spared_and_nothing_brightens():
  image, mask = chest()
  found = []
  for i in range(50):
    key = jax.random.key(i)
    out = gas.add_gas(key, image, mask, probability=1.0)
    np.testing.assert_array_equal(out[mask > 0], image[mask > 0])
    assert np.all(out <= image)
    assert np.all(out >= 0.0)
    assert np.abs(out - image)[:, :26].max() < 0.05  # the liver
    found.append(ndimage.label(image - np.asarray(out) > 0.05)[1])
  assert set(found) == {1, 2}  # bubbles, overlapping or not


def test_the_apex_and_the_root_of_a_lung_get_none():
  image, mask = chest()
  mask[10:20, 26:30] = 1.0  # lung that ends high above the base
  drawn = [bubble(column=u) for u in np.linspace(0, 0.999, 20)]
  changed = [np.asarray(ADD(image, mask, one)) < image - 0.02 for one in drawn]
  rows, _, _ = np.nonzero(np.any(changed, axis=0))
  assert rows.min() >= 39


def test_an_image_without_a_mask_gets_none():
  image, mask = chest()
  out = ADD(image, np.zeros_like(mask), bubble())
  np.testing.assert_array_equal(out, image)


def test_a_bubble_is_there_as_often_as_asked_for():
  image, mask = chest()
  keys = jax.random.split(jax.random.key(0), 400)
  shown = jax.vmap(lambda k: gas.draw_bubble(k, probability=0.3))(keys)
  assert 0.2 < np.mean(shown.shown) < 0.4  # 4 standard deviations
  hidden = bubble(shown=0.0)
  np.testing.assert_array_equal(ADD(image, mask, hidden), image)
  # Each number from its own draw.
  table = np.stack(shown[1:])
  assert np.abs(np.corrcoef(table) - np.eye(len(table))).max() < 0.2


def test_augmentation_draws_it_after_the_warp_and_only_where_masks_are():
  image, mask = (np.stack([x] * 16) for x in chest())
  mask[8:] = 0.0
  spec = Augmentation(gas=1.0)
  out, same = augment.augment(jax.random.key(0), image, mask, spec=spec)
  np.testing.assert_array_equal(same, mask)
  changed = (image - np.asarray(out)).max(axis=(1, 2, 3))
  assert (changed[:8] > 0.05).all()
  np.testing.assert_array_equal(out[8:], image[8:])
  moved = Augmentation(gas=1.0, rotate_degrees=20.0, shift=0.2)
  still = Augmentation(rotate_degrees=20.0, shift=0.2)
  with_gas, where = augment.augment(jax.random.key(1), image, mask, spec=moved)
  without, _ = augment.augment(jax.random.key(1), image, mask, spec=still)
  np.testing.assert_array_equal(with_gas[where > 0], without[where > 0])
  assert (np.asarray(without - with_gas)[:8].max(axis=(1, 2, 3)) > 0.05).all()


def test_a_strong_view_has_it_below_what_the_teacher_calls_lung():
  image, mask = (np.stack([x] * 8) for x in chest())
  prob = np.where(mask > 0, 0.7, 0.2).astype(np.float32)
  seen, target = strong_views.strong_view(
    jax.random.key(2), image, prob, spec=Augmentation(gas=1.0), cutmix=0.0
  )
  np.testing.assert_array_equal(target, prob)
  np.testing.assert_array_equal(seen[mask > 0], image[mask > 0])
  assert ((image - np.asarray(seen)).max(axis=(1, 2, 3)) > 0.05).all()
