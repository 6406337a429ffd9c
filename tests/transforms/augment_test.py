"""Augmentation, against SciPy; its draws, fixed and even."""

import dataclasses
import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from scipy import ndimage, stats

from apppau_jax.transforms import augment
from apppau_jax.transforms.augment import Augmentation, Draw

HEIGHT, WIDTH = 48, 40
KEY = jax.random.key(0)
EVERYTHING = Augmentation(
  rotate_degrees=10.0,
  scale=0.1,
  shift=0.05,
  gamma=0.3,
  contrast=0.2,
  brightness=0.1,
  noise=0.05,
)
GEOMETRY = Augmentation(rotate_degrees=30.0, scale=0.2, shift=0.1)
INTENSITY = Augmentation(gamma=0.5, contrast=1.0, brightness=1.0, noise=0.5)
# Angle to noise of the first three examples, as commit a8cc4b2 drew them.
PINNED = [
  [0.0, 1.0, 0.0, 0.0, 0.83157098, 1.03325891, -0.05096951, 0.01061992],
  [0.02751769, 0.94565213, -0.03959366, -0.01593116, 1.22631931, 1.07634628,
   -0.05427969, 0.04363002],
  [-0.15049939, 0.94077933, -0.02501005, -0.00245019, 0.83380067, 0.87296289,
   0.0080282, 0.02547727],
]  # fmt: skip
BATCH = 8  # of most tests, so that they share a compilation


def images(batch: int = BATCH, *, seed: int = 0) -> np.ndarray:
  """Smooth, asymmetric pictures in [0.2, 0.8]."""
  noise = np.random.default_rng(seed).normal(size=(batch, HEIGHT, WIDTH))
  smooth = ndimage.gaussian_filter(noise, (0, 2, 2))
  low = smooth.min((1, 2), keepdims=True)
  high = smooth.max((1, 2), keepdims=True)
  scaled = 0.2 + 0.6 * (smooth - low) / (high - low)
  return scaled[..., None].astype(np.float32)


def discs(batch: int = BATCH, *, radius: float = 9.0) -> np.ndarray:
  y, x = np.mgrid[:HEIGHT, :WIDTH]
  inside = np.hypot(y - (HEIGHT - 1) / 2, x - (WIDTH - 1) / 2) < radius
  return np.tile(inside[None, :, :, None].astype(np.uint8), (batch, 1, 1, 1))


@functools.partial(jax.jit, static_argnames=("height", "width"))
def _coordinates(placed, *, height, width):
  return augment.source_coordinates(**placed, height=height, width=width)


def warp(plane, **changes):
  placed = {"angle": 0.0, "zoom": 1.0, "shift": jnp.zeros(2)} | changes
  placed = {k: jnp.float32(v) for k, v in placed.items()}
  h, w = plane.shape
  rows, columns = _coordinates(placed, height=h, width=w)
  return augment.read_bilinear(plane, rows=rows, columns=columns)


@functools.cache
def draws(spec: Augmentation) -> Draw:
  """The draws that `augment` makes for the first 1024 examples of a batch."""

  def one(i):
    key, _ = jax.random.split(jax.random.fold_in(KEY, i))
    return augment.draw(key, spec=spec)

  return jax.tree.map(np.asarray, jax.vmap(one)(jnp.arange(1024)))


@functools.cache
def compiled(spec: Augmentation):
  return jax.jit(functools.partial(augment.augment, spec=spec))


def oracle(plane, *, angle=0.0, zoom=1.0, shift=(0.0, 0.0)):
  """The forward map written down as matrices, inverted, done by SciPy."""
  # Column vectors (row, column); rows point down, so that turning left as
  # displayed takes (0, 1), pointing right, to (-1, 0), pointing up.
  cos, sin = np.cos(np.float64(angle)), np.sin(np.float64(angle))
  inverse = np.linalg.inv(np.array([[cos, -sin], [sin, cos]]) * float(zoom))
  size = np.array(plane.shape)
  centre = (size - 1) / 2
  moved = centre + np.asarray(shift, np.float64) * size
  return ndimage.affine_transform(
    plane.astype(np.float64),
    inverse,
    offset=centre - inverse @ moved,
    order=1,
    mode="nearest",
  )


@pytest.mark.parametrize(
  "changes",
  [
    {"angle": 0.3},
    {"zoom": 1.2},
    {"zoom": 0.7},
    {"shift": (0.11, -0.07)},
    {"angle": -0.4, "zoom": 0.9, "shift": (-0.1, 0.05)},
  ],
)
def test_affine_warp_is_scipys(changes):
  plane = images(1)[0, :, :, 0]
  np.testing.assert_allclose(
    warp(plane, **changes), oracle(plane, **changes), atol=1e-5
  )


def test_reading_between_pixels_is_scipys_far_outside_too():
  plane = images(1)[0, :, :, 0]
  rng = np.random.default_rng(1)
  rows = rng.uniform(-9, HEIGHT + 9, (30, 50)).astype(np.float32)
  columns = rng.uniform(-1e9, 1e9, (30, 50)).astype(np.float32)
  columns[:25] = rng.uniform(-9, WIDTH + 9, (25, 50))
  expected = ndimage.map_coordinates(
    plane.astype(np.float64), (rows, columns), order=1, mode="nearest"
  )
  read = jax.jit(augment.read_bilinear)(plane, rows=rows, columns=columns)
  np.testing.assert_allclose(read, expected, atol=1e-5)


def test_positive_angles_turn_left_as_seen():
  square = images(1)[0, :WIDTH, :, 0]
  turned = warp(square, angle=np.pi / 2)
  np.testing.assert_allclose(turned, np.rot90(square), atol=1e-5)


def test_positive_shifts_move_down_and_right():
  plane = images(1)[0, :, :, 0]
  moved = warp(plane, shift=(3 / HEIGHT, 5 / WIDTH))
  # What came in from outside goes on from the edge.
  expected = np.pad(plane, ((3, 0), (5, 0)), mode="edge")[:HEIGHT, :WIDTH]
  np.testing.assert_allclose(moved, expected, atol=1e-5)


def test_a_batch_is_the_oracle_of_each_examples_own_draw():
  image, mask = images(), discs()
  out_image, out_mask = compiled(GEOMETRY)(KEY, image, mask)
  for i in range(BATCH):
    drawn = draws(GEOMETRY)
    mine = {k: getattr(drawn, k)[i] for k in ("angle", "zoom", "shift")}
    expected = oracle(image[i, :, :, 0], **mine)
    np.testing.assert_allclose(out_image[i, :, :, 0], expected, atol=1e-5)
    soft = oracle(mask[i, :, :, 0], **mine)
    clear = np.abs(soft - 0.5) > 1e-4
    np.testing.assert_array_equal(
      out_mask[i, :, :, 0][clear], (soft >= 0.5)[clear]
    )


@pytest.mark.parametrize("dtype", [np.float32, bool])
def test_mask_stays_binary_and_keeps_its_type(dtype):
  mask = discs().astype(dtype)
  _, out = compiled(GEOMETRY)(KEY, images(), mask)
  assert out.dtype == dtype
  assert set(np.unique(out).tolist()) == {0, 1}


def test_image_and_mask_move_together_in_every_channel():
  spec = Augmentation(rotate_degrees=20.0, shift=0.1)
  mask = (images(seed=3) > 0.5).astype(np.float32)
  mask = np.concatenate([mask, 1 - mask], axis=-1)
  out_image, out_mask = compiled(spec)(KEY, mask, mask)
  np.testing.assert_array_equal(out_mask, (out_image >= 0.5).astype(np.float32))
  assert (out_mask.sum(-1) < 1.5).all()


def test_intensity_changes_are_clipped_and_leave_the_mask_alone():
  mask = discs()
  out_image, out_mask = compiled(INTENSITY)(KEY, images(), mask)
  np.testing.assert_array_equal(out_mask, mask)
  assert np.min(out_image) == 0.0
  assert np.max(out_image) == 1.0


def test_area_changes_by_the_square_of_the_scale():
  mask = discs(radius=10.0)
  _, out = compiled(GEOMETRY)(KEY, images(), mask)
  ratio = out.sum((1, 2, 3), dtype=float) / mask[0].sum(dtype=float)
  zoom = draws(GEOMETRY).zoom[:BATCH]
  np.testing.assert_allclose(ratio, zoom**2, rtol=0.05)
  assert np.ptp(zoom) > 0.2


def test_gamma_is_one_power_an_image():
  image = images()
  out, _ = compiled(Augmentation(gamma=0.5))(KEY, image, discs())
  power = np.log(out) / np.log(image)
  exponent = power.mean((1, 2, 3), keepdims=True)
  np.testing.assert_allclose(
    power, exponent.repeat(HEIGHT, 1).repeat(WIDTH, 2), rtol=1e-4
  )
  assert np.abs(np.log(exponent)).max() <= 0.5
  assert np.log(exponent).std() > 0.1


def test_contrast_stretches_about_the_images_own_mean():
  image = 0.35 + 0.3 * images()  # far from the clip
  out, _ = compiled(Augmentation(contrast=0.4))(KEY, image, discs())
  mean = image.mean((1, 2, 3), keepdims=True)
  factor = np.std(out, axis=(1, 2, 3)) / np.std(image, axis=(1, 2, 3))
  expected = mean + factor[:, None, None, None] * (image - mean)
  np.testing.assert_allclose(out, expected, atol=1e-5)
  assert np.abs(factor - 1).max() <= 0.4
  assert factor.std() > 0.1


def test_brightness_adds_one_number_an_image():
  image = images()
  out, _ = compiled(Augmentation(brightness=0.15))(KEY, image, discs())
  added = np.asarray(out) - image
  assert np.ptp(added, axis=(1, 2, 3)).max() < 1e-6
  assert np.abs(added).max() <= 0.15
  assert added.mean((1, 2, 3)).std() > 0.05


def test_noise_is_gaussian_and_fresh_in_every_pixel_and_example():
  image = np.full((BATCH, HEIGHT, WIDTH, 1), 0.5, np.float32)
  out, _ = compiled(Augmentation(noise=0.08))(KEY, image, discs())
  added = (np.asarray(out) - image).reshape(BATCH, -1)
  sd = added.std(axis=1)
  expected = draws(Augmentation(noise=0.08)).noise[:BATCH]
  np.testing.assert_allclose(sd, expected, rtol=0.06)
  standard = added / sd[:, None]
  assert stats.kstest(standard.ravel(), "norm").pvalue > 1e-3
  assert np.abs(np.corrcoef(standard) - np.eye(BATCH)).max() < 0.1
  neighbours = standard.reshape(BATCH, HEIGHT, WIDTH)
  assert abs((neighbours[:, 1:] * neighbours[:, :-1]).mean()) < 0.05


def test_no_augmentation_returns_its_very_inputs():
  image, mask = jnp.asarray(images(2)), jnp.asarray(discs(2))
  out = augment.augment(KEY, image, mask, spec=Augmentation())
  assert out[0] is image
  assert out[1] is mask


@pytest.mark.slow
def test_compiled_and_interpreted_agree():
  image, mask = images(), discs()
  ours = augment.augment(KEY, image, mask, spec=GEOMETRY)
  theirs = compiled(GEOMETRY)(KEY, image, mask)
  np.testing.assert_allclose(ours[0], theirs[0], atol=2e-5)
  assert np.sum(np.asarray(ours[1]) != np.asarray(theirs[1])) <= 1


def test_same_key_same_result_other_key_other_result():
  run = compiled(EVERYTHING)
  image, mask = images(), discs()
  first, again = run(KEY, image, mask), run(KEY, image, mask)
  np.testing.assert_array_equal(first[0], again[0])
  np.testing.assert_array_equal(first[1], again[1])
  other, _ = run(jax.random.key(1), image, mask)
  assert np.abs(other - first[0]).max() > 0.1


def test_examples_differ_and_do_not_depend_on_the_batch_size():
  run = compiled(EVERYTHING)
  image, mask = images(1).repeat(BATCH, axis=0), discs()
  out, out_mask = run(KEY, image, mask)
  for i in range(1, BATCH):
    assert np.abs(out[i] - out[0]).max() > 0.1
  few, few_mask = run(KEY, image[:2], mask[:2])
  np.testing.assert_allclose(few, out[:2], atol=1e-5)
  assert np.sum(np.asarray(few_mask) != np.asarray(out_mask[:2])) <= 1


def test_sharding_changes_nothing_and_needs_no_communication():
  assert len(jax.devices()) > 1
  mesh = Mesh(np.array(jax.devices()), ("data",))
  by_example = NamedSharding(mesh, PartitionSpec("data"))
  everywhere = NamedSharding(mesh, PartitionSpec())
  run = jax.jit(
    functools.partial(augment.augment, spec=EVERYTHING),
    in_shardings=(everywhere, by_example, by_example),
    out_shardings=(by_example, by_example),
  )
  batch = (KEY, images(), discs())
  executable = run.lower(*batch).compile()
  program = executable.as_text()
  assert "num_partitions=2" in program
  assert not re.search(r"all-gather|all-reduce|permute\(|all-to-all", program)
  whole = compiled(EVERYTHING)(*batch)
  for ours, theirs in zip(executable(*batch), whole, strict=True):
    np.testing.assert_allclose(
      np.asarray(ours, float), np.asarray(theirs, float), atol=1e-5
    )


def test_draws_fill_their_ranges_evenly():
  drawn = draws(EVERYTHING)
  uniform = {
    "angle": (drawn.angle, np.radians(10.0)),
    "zoom": (np.log(drawn.zoom), 0.1),
    "down": (drawn.shift[:, 0], 0.05),
    "right": (drawn.shift[:, 1], 0.05),
    "exponent": (np.log(drawn.exponent), 0.3),
    "contrast": (drawn.contrast - 1, 0.2),
    "brightness": (drawn.brightness, 0.1),
    "noise": (2 * drawn.noise - 0.05, 0.05),
  }
  scaled = np.stack([values / width for values, width in uniform.values()])
  assert np.abs(scaled).max() <= 1 + 1e-5
  for values in scaled:
    assert stats.kstest(values, stats.uniform(-1, 2).cdf).pvalue > 1e-4
  # No two parameters share a draw: 4 sd of an estimated zero correlation.
  assert np.abs(np.corrcoef(scaled) - np.eye(len(scaled))).max() < 0.125


def test_draws_are_pinned():
  """Of a key they stay what they were: results depend on them."""
  spec = dataclasses.replace(
    EVERYTHING, gamma=0.3, contrast=0.2, geometry_probability=0.6
  )
  drawn = draws(spec)
  found = [
    (d.angle, d.zoom, *d.shift, d.exponent, d.contrast, d.brightness, d.noise)
    for d in (jax.tree.map(lambda x, i=i: x[i], drawn) for i in range(3))
  ]
  np.testing.assert_allclose(found, PINNED, rtol=1e-6)


def test_one_change_does_not_change_the_draws_of_another():
  alone = draws(Augmentation(rotate_degrees=10.0))
  np.testing.assert_array_equal(alone.angle, draws(EVERYTHING).angle)


def test_only_a_share_of_the_examples_is_moved_the_others_stay_sharp():
  spec = Augmentation(rotate_degrees=10.0, scale=0.1, geometry_probability=0.3)
  drawn = draws(spec)
  moved = drawn.angle != 0
  assert 0.24 < moved.mean() < 0.36  # 4 standard deviations about 0.3
  np.testing.assert_array_equal(moved, drawn.zoom != 1)
  always = draws(Augmentation(rotate_degrees=10.0, scale=0.1))
  np.testing.assert_array_equal(drawn.angle[moved], always.angle[moved])
  image = images()
  out, _ = compiled(spec)(KEY, image, discs())
  same = [np.array_equal(o, i) for o, i in zip(out, image)]
  assert same == (~moved[:BATCH]).tolist()
  assert 0 < sum(same) < BATCH


def test_turn_is_scipys_for_every_plane():
  planes = images(2)
  turned = augment.turn(planes, degrees=12.0, zoom=1.1)
  for plane, result in zip(planes, turned):
    expected = oracle(plane[..., 0], angle=np.radians(12.0), zoom=1.1)
    np.testing.assert_allclose(result[..., 0], expected, atol=1e-5)


@pytest.mark.parametrize(
  ("name", "value"),
  [
    ("geometry_probability", 1.01),
    ("rotate_degrees", 181.0),
    ("rotate_degrees", -1.0),
    ("scale", float("nan")),
    ("shift", 1.5),
    ("gamma", float("inf")),
    ("noise", "0.1"),
    ("contrast", True),
  ],
)
def test_impossible_ranges_are_refused_by_name(name, value):
  with pytest.raises(ValueError, match=rf"augment\.{name} is .*between 0"):
    Augmentation(**{name: value})
