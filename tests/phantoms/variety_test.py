"""Wide phantoms: they differ more, and their masks stay exact."""

import numpy as np
import pytest

from apppau_jax import phantoms
from apppau_jax.phantoms import processing, variety
from apppau_jax.phantoms.exposure import draw_exposure

MASKS = ("left_lung", "right_lung", "heart", "left_clavicle", "right_clavicle")


def make(index, *, wide=True, finding="normal", size=(96, 96)):
  return phantoms.make_phantom(
    seed=5, index=index, finding=finding, size=size, wide=wide
  )


@pytest.fixture(scope="module")
def people():
  return {
    wide: [make(i, wide=wide, finding=("normal", "tb")[i % 2])
           for i in range(40)]
    for wide in (False, True)
  }  # fmt: skip


def lungs_of(p):
  return p.left_lung | p.right_lung


def test_arguments_determine_a_wide_phantom():
  first, second = make(3), make(3)
  for name in ("image", *MASKS):
    np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
  assert (make(4).image != first.image).any()


def test_every_wide_phantom_has_its_structures_within_the_image(people):
  for p in people[True]:
    lungs = lungs_of(p)
    assert 0.08 < lungs.mean() < 0.5
    assert not lungs[[0, -1]].any()
    assert not lungs[:, [0, -1]].any()
    assert not (p.left_lung & p.right_lung).any()
    assert all(getattr(p, name).any() for name in MASKS)


@pytest.mark.parametrize(
  "measure",
  [
    lambda p: lungs_of(p).mean(),
    lambda p: (
      np.log(np.ptp(np.nonzero(lungs_of(p)), axis=1) @ [1, 0])
      - np.log(np.ptp(np.nonzero(lungs_of(p)), axis=1) @ [0, 1])
    ),
    lambda p: p.image[lungs_of(p)].mean(),
    lambda p: p.image[lungs_of(p)].mean() - p.image[p.heart].mean(),
  ],
  ids=["area", "shape", "level", "contrast"],
)
def test_wide_phantoms_differ_more(people, measure):
  plain, wide = (np.std([measure(p) for p in people[w]]) for w in (0, 1))
  assert wide > 1.1 * plain


def test_a_bend_moves_neighbours_alike_and_the_default_moves_nothing():
  points = np.random.default_rng(0).uniform(-140, 140, (50, 2))
  np.testing.assert_array_equal(variety.PLAIN.bend(points), points)
  for seed in range(20):
    drawn = variety.draw_variety(np.random.default_rng(seed))
    moved, beside = drawn.bend(points), drawn.bend(points + np.array([0.01, 0]))
    assert np.abs(moved - points).max() < 40
    # The width grows everywhere: no outline crosses itself.
    assert (beside - moved)[:, 0].min() > 0


def test_processing_never_covers_the_lungs():
  lungs = (0.3, 0.25, 0.7, 0.75)
  rows, columns = slice(64, 192), slice(77, 179)
  for seed in range(60):
    rng = np.random.default_rng(seed)
    grey = np.full((256, 256), 0.5, np.float32)
    grey[rows, columns] = np.linspace(0.3, 0.6, 102, dtype=np.float32)
    found = processing.process(grey, rng, lungs=lungs)
    assert found.dtype == np.float32
    assert found.min() >= 0
    assert found.max() <= 1
    inside = found[rows, columns].mean(axis=0)
    # Grey levels stay ordered: nothing but a monotone curve reaches the lungs.
    assert np.corrcoef(inside, np.linspace(0, 1, 102))[0, 1] > 0.8


def test_a_wide_exposure_changes_values_and_keeps_the_borders():
  first = draw_exposure(np.random.default_rng(1))
  second = processing.widen(first, np.random.default_rng(2))
  assert second.width != first.width
  assert 0 <= second.equalise <= 0.7
  np.testing.assert_array_equal(second.border, first.border)
  assert second.marker == first.marker


def test_gas_lies_outside_the_lungs(monkeypatch):
  square = np.array([[-400, -400], [400, -400], [400, 400], [-400, 400.0]])
  everywhere = ((square[None], np.array([0.2])),)
  without = variety.Variety()
  within = variety.Variety(gas=everywhere)
  pictures = []
  for drawn in (without, within):
    monkeypatch.setattr(
      phantoms.phantom, "draw_variety", lambda rng, drawn=drawn: drawn
    )
    monkeypatch.setattr(processing, "process", lambda grey, rng, lungs: grey)
    pictures.append(make(0, size=(128, 128)))
  plain, gassy = pictures
  core = lungs_of(plain)
  for _ in range(4):
    core = (
      core
      & np.roll(core, 1, 0)
      & np.roll(core, -1, 0)
      & np.roll(core, 1, 1)
      & np.roll(core, -1, 1)
    )
  np.testing.assert_array_equal(plain.image[core], gassy.image[core])
  darker = plain.image.astype(int) - gassy.image
  assert darker[~lungs_of(plain)].max() > 10
