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


INSIDE = np.zeros((60, 50), bool)
INSIDE[10:50, 5:20] = INSIDE[12:48, 28:46] = True
LEFT = INSIDE & (np.arange(50) < 25)
RIGHT = INSIDE & ~LEFT


def _palette(colours):
  image = Image.fromarray(INSIDE.astype(np.uint8)).convert("P")
  image.putpalette([*np.ravel(colours), *[0] * (768 - 3 * len(colours))])
  return image


def _read(image, kind="PNG", **options):
  content = io.BytesIO()
  image.save(content, kind, **options)
  return masks.read_mask(content.getvalue(), name="m.png")


def _colours(colour, *, alpha=False):
  pixels = np.zeros((*INSIDE.shape, 4), np.uint8)
  pixels[..., 3] = 255
  if alpha:
    pixels[..., :3], pixels[..., 3] = colour, INSIDE * 255
  else:
    pixels[INSIDE, :3] = colour
  return Image.fromarray(pixels if alpha else pixels[..., :3])


@pytest.mark.parametrize(
  "image",
  [
    _palette([(0, 0, 0), (128, 0, 0)]),
    _palette([(0, 0, 0), (200, 200, 200)]),
    _palette([(0, 0, 0), (1, 1, 1)]),
    _palette([(255, 255, 255), (0, 128, 0)]),
    _colours((255, 0, 0)),
    _colours((1, 1, 1)),
    _colours((255, 255, 255), alpha=True),
    _colours((0, 9, 200), alpha=True),
    Image.fromarray(INSIDE.astype(np.uint16) * np.uint16(255)),
    Image.fromarray(INSIDE.astype(np.uint16)),
  ],
)
def test_two_values_are_outside_and_inside(image):
  np.testing.assert_array_equal(_read(image), INSIDE)


def test_black_is_outside_wherever_it_is_in_the_palette():
  read = _read(_palette([(255, 255, 255), (0, 0, 0)]))
  np.testing.assert_array_equal(read, ~INSIDE)


@pytest.mark.parametrize("deep", [False, True])
def test_tiff_as_imagej_writes_it(deep):
  """White is zero, and 255 is inside: stored levels, not those displayed."""
  kind, high = (np.uint16, 65535) if deep else (np.uint8, 255)
  content = io.BytesIO()
  tifffile = pytest.importorskip("tifffile")
  tifffile.imwrite(
    content, INSIDE.astype(kind) * kind(high), photometric="miniswhite"
  )
  np.testing.assert_array_equal(masks.read_mask(content.getvalue()), INSIDE)


@pytest.mark.parametrize("quality", [50, 75, 95])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_jpeg_near_black_and_white(quality, mode):
  large = np.kron(INSIDE, np.ones((8, 8), bool))
  image = Image.fromarray(large.astype(np.uint8) * 255).convert(mode)
  read = _read(image, "JPEG", quality=quality)
  np.testing.assert_array_equal(read, large)


def test_a_jpeg_with_grey_levels_is_refused():
  soft = Image.fromarray(INSIDE.astype(np.uint8) * 255).resize((25, 30), 2)
  with pytest.raises(DataError, match="different values"):
    _read(soft, "JPEG", quality=95)
  with pytest.raises(DataError, match="different values"):
    _read(Image.fromarray(INSIDE.astype(np.uint8) * 90), "JPEG")


@pytest.mark.parametrize(
  ("one", "other"), [(1, 2), (2, 1), (85, 170), (128, 255), (255, 127)]
)
def test_a_value_for_each_lung(one, other):
  levels = LEFT.astype(np.uint8) * one + RIGHT.astype(np.uint8) * other
  np.testing.assert_array_equal(_read(Image.fromarray(levels)), INSIDE)


HEART = np.zeros_like(INSIDE)
HEART[30:50, 18:32] = True
TOP = INSIDE & (np.arange(60) < 30)[:, None]
FAR_BELOW = INSIDE & (np.arange(60) > 35)[:, None]
EDGE = INSIDE & (np.arange(50) < 12)
APART = np.zeros_like(INSIDE)
APART[20:50, 21:27] = True
CORE = np.zeros_like(INSIDE)
CORE[12:48, 7:18] = CORE[14:46, 30:44] = True
DOT = np.zeros_like(INSIDE)
DOT[5:8, 40:44] = True


@pytest.mark.parametrize(
  ("one", "other"),
  [
    (INSIDE & ~HEART, HEART),  # lungs and heart
    (INSIDE, APART),  # lungs, and a heart that does not touch them
    (TOP, INSIDE & ~TOP),  # upper and lower half
    (TOP, FAR_BELOW),  # the same with a gap
    (EDGE, INSIDE & ~EDGE),  # a part of one lung
    (INSIDE & ~CORE, CORE),  # a smoothed edge
    (LEFT, DOT),  # a lung and a speck
  ],
)
def test_two_values_that_are_not_the_lungs_are_refused(one, other):
  levels = one.astype(np.uint8) + 2 * other.astype(np.uint8)
  with pytest.raises(DataError, match=r"m\.png holds 3 different values \(0:"):
    _read(Image.fromarray(levels))


def test_a_third_value_is_refused_with_the_histogram():
  levels = LEFT.astype(np.uint8) + 2 * RIGHT.astype(np.uint8) + 3 * DOT
  with pytest.raises(DataError, match=r"4 different values .*3: 12"):
    _read(Image.fromarray(levels.astype(np.uint8)))


def test_several_colours_are_refused():
  pixels = np.zeros((*INSIDE.shape, 3), np.uint8)
  pixels[LEFT], pixels[RIGHT] = (255, 0, 0), (0, 255, 0)
  with pytest.raises(DataError, match=r"m\.png has several colours"):
    _read(Image.fromarray(pixels))


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
