import io

import numpy as np
import pytest
from PIL import Image

from apppau_jax.errors import DataError
from apppau_jax.imaging import masks

GREY = np.random.default_rng(0).integers(0, 256, (9, 7), dtype=np.uint8)


@pytest.mark.parametrize("high", [1, 255, 65535])
def test_masks_of_either_scale(encoded, high):
  inside = GREY > 100
  kind = np.uint16 if high > 255 else np.uint8
  image = Image.fromarray(inside.astype(kind) * kind(high))
  read = masks.read_mask(encoded(image))
  assert read.dtype == bool
  np.testing.assert_array_equal(read, inside)


def test_one_bit_mask(encoded):
  read = masks.read_mask(encoded(Image.fromarray(GREY > 100)))
  np.testing.assert_array_equal(read, GREY > 100)


def test_mask_with_edge_values_is_refused_with_its_histogram(encoded):
  mask = np.repeat(np.array([[0, 127, 255, 255]], np.uint8), 2, axis=0)
  with pytest.raises(DataError, match=r"m\.png.*3 different.*255: 4.*127: 2"):
    masks.read_mask(encoded(Image.fromarray(mask)), name="m.png")
  with pytest.raises(DataError, match="2 different"):
    masks.read_mask(encoded(Image.fromarray(np.minimum(mask, 127))))


def test_a_gif_keeps_the_level_that_it_calls_transparent(encoded):
  mask = np.zeros((6, 7), np.uint8)
  mask[2:4, 1:5] = 255
  content = encoded(Image.fromarray(mask), "GIF", transparency=0)
  assert "transparency" in Image.open(io.BytesIO(content)).info
  np.testing.assert_array_equal(masks.read_mask(content), mask > 0)


def _mask(fraction: float) -> np.ndarray:
  mask = np.zeros((102, 102), bool)
  inner = np.zeros(10_000, bool)
  inner[: round(fraction * 102 * 102)] = True
  mask[1:101, 1:101] = inner.reshape(100, 100)
  return mask


def test_lungs_pass_and_unusual_ones_are_remarked_on():
  assert masks.check_lungs(_mask(0.25), name="a") == ""
  assert "8.4%" in masks.check_lungs(_mask(0.084), name="a")
  assert "55.0%" in masks.check_lungs(_mask(0.55), name="a")


@pytest.mark.parametrize(
  "mask", [_mask(0.0), _mask(0.03), _mask(0.7), ~_mask(0.45)]
)
def test_what_lungs_do_not_cover_is_refused(mask):
  """The last one is inverted, and has a plausible area."""
  with pytest.raises(DataError, match="CHN1"):
    masks.check_lungs(mask, name="CHN1")


@pytest.mark.parametrize(
  ("mask", "scaled", "fits"),
  [
    ((40, 48), False, True),
    ((20, 24), False, False),
    ((20, 24), True, True),
    ((80, 96), True, True),
    ((20, 48), True, False),
    ((60, 72), True, False),
  ],
)
def test_a_mask_shows_the_frame_of_its_image(mask, scaled, fits):
  if fits:
    masks.check_frame(mask, (40, 48), name="m", scaled=scaled)
    return
  with pytest.raises(masks.FrameError, match=f"{mask[1]}x{mask[0]}"):
    masks.check_frame(mask, (40, 48), name="m", scaled=scaled)
