"""Measurements of phantoms against the millimetres that were drawn."""

import dataclasses
import io

import numpy as np
import pydicom
import pytest
from fixtures import dicom_files, drawn_chest
from fixtures.stub_member import StubMember
from pydicom import uid

from apppau_jax.imaging import resample
from apppau_jax.imaging.film import Spacing
from apppau_jax.inference import measurements
from apppau_jax.inference.model import Model
from apppau_jax.phantoms import make_phantom

NAMES = ("left_lung", "right_lung", "heart")
SIZE = (520, 480)
ERROR = 0.02  # relative


def _drawn(*, seed, index, size=SIZE):
  """What a phantom measures, by its outlines; and millimetres a pixel."""
  shapes, pixel = drawn_chest.outlines(seed=seed, index=index, size=size)
  left, right, heart = (shapes[name] for name in NAMES)
  both = np.concatenate([left, right])[:, 1]
  rows = np.linspace(both.min(), both.max(), 2000)
  lefts, rights = (drawn_chest.ends(shape, rows) for shape in (left, right))
  inner = lefts[:, 1] - rights[:, 0]
  # The mask of the heart ends where a lung begins.
  rows = np.linspace(heart[:, 1].min(), heart[:, 1].max(), 2000)[1:-1]
  lines = drawn_chest.ends(heart, rows)
  ends = np.fmin(lines[:, 1], drawn_chest.ends(left, rows)[:, 0])
  starts = np.fmax(lines[:, 0], drawn_chest.ends(right, rows)[:, 1])
  areas = [drawn_chest.area(shape) / 100 for shape in (left, right)]
  found = {
    "left_lung_area_cm2": areas[0],
    "right_lung_area_cm2": areas[1],
    "left_lung_share": areas[0] / sum(areas),
    "thorax_height_mm": np.ptp(both),
    "thorax_width_mm": np.nanmax(inner),
    "heart_width_mm": np.nanmax(ends) - np.nanmin(starts),
  }
  ratio = found["heart_width_mm"] / found["thorax_width_mm"]
  return found | {"cardiothoracic_ratio": ratio}, pixel


def _masks(phantom):
  return np.stack([getattr(phantom, name) for name in NAMES], axis=-1)


@pytest.mark.parametrize("index", range(8))
def test_phantoms_measure_what_was_drawn(index):
  drawn, pixel = _drawn(seed=3, index=index)
  masks = _masks(make_phantom(seed=3, index=index, size=SIZE))
  spacing = Spacing(pixel, pixel, "PixelSpacing")
  found = measurements.measure(masks, structures=NAMES, spacing=spacing)
  assert {*found} == {*measurements.names(NAMES)}
  assert {k: found[k] for k in drawn} == pytest.approx(drawn, rel=ERROR)
  assert found["left_lung_area_px"] == masks[..., 0].sum()
  millimetres = found["thorax_width_px"] * pixel
  assert millimetres == pytest.approx(found["thorax_width_mm"])
  lungs = masks[..., :2].any(axis=-1)
  of_one = measurements.measure(lungs, spacing=spacing)
  shared = {*of_one} & {*found}
  assert len(shared) == 9
  # A corner of the mask may touch the rest diagonally only.
  expected = {k: found[k] for k in shared}
  assert {k: of_one[k] for k in shared} == pytest.approx(expected, rel=1e-3)


def _member(masks, *, side):
  """Predicts the masks, whatever the image."""
  planes = [resample.resize_mask(m, (side, side)) for m in masks]
  logits = np.where(np.stack(planes, axis=-1), 9.0, -9.0).astype(np.float32)
  return StubMember(lambda image: np.repeat(logits[None], len(image), axis=0))


def _dicom(levels, *, spacing, is_compressed):
  content = dicom_files.make(
    levels.astype(np.uint16) * 16, PixelSpacing=[f"{x:.6f}" for x in spacing]
  )
  if not is_compressed:
    return content
  header = pydicom.dcmread(io.BytesIO(content))
  header.compress(uid.RLELossless, generate_instance_uid=False)
  file = io.BytesIO()
  header.save_as(file)
  return file.getvalue()


@pytest.mark.parametrize("is_compressed", [False, True])
def test_the_spacing_of_a_file_reaches_its_measurements(
  tmp_path, is_compressed
):
  """Rows lie twice as far apart; compressed files are read elsewhere."""
  drawn, pixel = _drawn(seed=3, index=1)
  film = make_phantom(seed=3, index=1, size=SIZE)
  member = _member(np.moveaxis(_masks(film), -1, 0), side=256)
  model = Model([member], resolution=256, structures=NAMES)
  spacing = (2 * pixel, pixel)
  (tmp_path / "film").write_bytes(
    _dicom(film.image[::2], spacing=spacing, is_compressed=is_compressed)
  )
  found = model.predict(tmp_path / "film")
  assert found.mask.shape == (SIZE[0] // 2, SIZE[1], 3)
  assert found.spacing[:2] == pytest.approx(spacing, abs=1e-6)
  assert found.spacing.element == "PixelSpacing"
  values = {name: found.measurements[name].value for name in drawn}
  assert values == pytest.approx(drawn, rel=ERROR)


def test_without_a_spacing_there_are_pixels_alone():
  drawn, _ = _drawn(seed=3, index=1)
  film = make_phantom(seed=3, index=1, size=SIZE)
  member = _member(np.moveaxis(_masks(film), -1, 0), side=256)
  model = Model([member], resolution=256, structures=NAMES)
  found = model.predict(film.image)
  assert found.spacing is None
  names = {
    n for n in measurements.names(NAMES) if not n.endswith(("mm", "cm2"))
  }
  assert found.measurements.keys() == names
  for name in ("cardiothoracic_ratio", "left_lung_share"):
    value, spread = found.measurements[name]
    assert value == pytest.approx(drawn[name], rel=ERROR)
    assert spread is None


def _pair(*, width=8, shape=(40, 60)):
  """A left and a right lung of 20 rows each, and a heart between them."""
  masks = np.zeros((3, *shape), bool)
  masks[0, 10:30, 40 : 40 + width] = True
  masks[1, 12:32, 10:18] = True
  masks[2, 24:30, 22:34] = True
  return masks


def test_the_spread_is_that_of_the_members():
  """Three members, whose left lungs are 6, 8 and 13 pixels wide."""
  widths, sides = (6, 8, 13), 60
  shape = (sides, sides)
  members = [_member(_pair(width=w, shape=shape), side=sides) for w in widths]
  model = Model(members, resolution=sides, structures=NAMES)
  assert model.has_samples
  assert not Model(members[:1], resolution=sides).has_samples
  image = np.arange(sides * sides).reshape(shape)
  found = model.predict(image).measurements
  widest = np.array([40 + w - 10 for w in widths])
  width = found["thorax_width_px"]
  assert width.value == widest[1]  # most members agree on it
  assert width.spread == pytest.approx(widest.std(ddof=1))
  ratio = found["cardiothoracic_ratio"]
  assert ratio.spread == pytest.approx((12 / widest).std(ddof=1))
  assert found["right_lung_area_px"] == (160, 0.0)
  # Some members that find no heart: the others' spread would mislead.
  blank = _pair(shape=shape)
  blank[2] = False
  members[2] = _member(blank, side=sides)
  found = dataclasses.replace(model, members=members).predict(image)
  assert found.measurements["heart_width_px"] == (12, None)


def test_views_at_another_size_count_in_pixels_of_the_image():
  masks = np.moveaxis(_pair(), 0, -1)
  twice = masks.repeat(2, axis=0).repeat(3, axis=1)
  spacing = Spacing(0.5, 0.25, "PixelSpacing")
  small = measurements.measure(
    masks, structures=NAMES, size=(80, 180), spacing=spacing
  )
  assert small == measurements.measure(twice, structures=NAMES, spacing=spacing)
  assert small["thorax_height_mm"] == 22 * 2 * 0.5
  assert small["heart_width_mm"] == 12 * 3 * 0.25
  assert small["heart_area_cm2"] == 72 * 6 * 0.125 / 100


@pytest.mark.parametrize(
  ("change", "absent"),
  [
    (lambda m: m[2].fill(False), {"heart_width_px", "cardiothoracic_ratio"}),
    (
      lambda m: m[0].fill(False),
      {"thorax_height_px", "thorax_width_px", "cardiothoracic_ratio"},
    ),
    (
      lambda m: m.fill(False),
      {
        *("thorax_height_px", "thorax_width_px", "cardiothoracic_ratio"),
        *("heart_width_px", "left_lung_share"),
      },
    ),
  ],
)
def test_what_cannot_be_measured_is_absent(change, absent):
  masks = _pair()
  change(masks)
  found = measurements.measure(np.moveaxis(masks, 0, -1), structures=NAMES)
  whole = measurements.measure(np.moveaxis(_pair(), 0, -1), structures=NAMES)
  assert whole.keys() - found.keys() == absent
  areas = {f"{n}_area_px": m.sum() for n, m in zip(NAMES, masks)}
  assert {k: found[k] for k in areas} == areas


def test_specks_count_as_area_and_not_as_length():
  masks = _pair()
  masks[:, 1, 1] = masks[:, 38, 58] = True
  found = measurements.measure(np.moveaxis(masks, 0, -1), structures=NAMES)
  assert found["heart_width_px"] == 12
  assert found["thorax_width_px"] == 38
  assert found["thorax_height_px"] == 22
  assert found["heart_area_px"] == 72 + 2


def test_one_mask_of_both_lungs_has_sides_only_if_they_can_be_told():
  left, right, _ = _pair()
  found = measurements.measure(left | right)
  assert found["left_lung_area_px"] == found["right_lung_area_px"] == 160
  assert found["lungs_area_px"] == 320
  mirrored = measurements.measure(_pair(width=9)[:2].any(axis=0)[:, ::-1])
  assert mirrored["right_lung_area_px"] == 180
  joined, speck, above = left | right, left.copy(), left | left[:, ::-1]
  joined[20, 10:50] = True
  speck[0, 0] = True
  above = np.zeros((40, 60), bool)
  above[2:15, 20:40] = above[20:35, 22:44] = True
  for mask in (joined, speck, above, left, left & right):
    found = measurements.measure(mask)
    assert found == {"lungs_area_px": mask.sum()}


def test_the_number_of_masks_is_that_of_the_structures():
  for mask, names in [(_pair(), NAMES), (_pair()[0], NAMES), (_pair(), ())]:
    with pytest.raises(ValueError, match="structures"):
      measurements.measure(mask, structures=names)
