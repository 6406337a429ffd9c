import io
import struct
import zlib

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage import measure

from apppau_jax.errors import DataError
from apppau_jax.imaging import reading

GREY = np.random.default_rng(0).integers(0, 256, (9, 7), dtype=np.uint8)


def test_grey_png_comes_back_unchanged(encoded):
  np.testing.assert_array_equal(
    reading.read_grey(encoded(Image.fromarray(GREY))), GREY
  )


def test_palette_is_applied_not_the_indices(encoded):
  image = Image.fromarray(GREY, "L").convert("P")
  inverted = [level for i in range(256) for level in [255 - i] * 3]
  image.putdata(GREY.ravel().tolist())
  image.putpalette(inverted)
  np.testing.assert_array_equal(reading.read_grey(encoded(image)), 255 - GREY)


def test_coloured_palette_is_refused(encoded):
  image = Image.fromarray(GREY).convert("P")
  image.putpalette([level for i in range(256) for level in (i, 0, i)])
  with pytest.raises(DataError, match="is in colour"):
    reading.read_grey(encoded(image))
  image.putpalette([level for i in range(256) for level in (i, i, i)])
  with pytest.raises(DataError, match="transparent"):
    reading.read_grey(encoded(image, transparency=int(image.getpixel((0, 0)))))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_equal_channels_are_grey(encoded, mode):
  image = Image.fromarray(GREY).convert(mode)
  np.testing.assert_array_equal(reading.read_grey(encoded(image)), GREY)


def test_unequal_channels_are_refused_by_name(encoded):
  pixels = np.repeat(GREY[..., None], 3, axis=2)
  pixels[4, 4, 2] ^= 1
  with pytest.raises(DataError, match=r"overlay\.png is in colour"):
    reading.read_grey(encoded(Image.fromarray(pixels)), name="overlay.png")


def test_transparent_pixels_are_refused(encoded):
  image = Image.fromarray(GREY).convert("RGBA")
  image.putpixel((0, 0), (1, 1, 1, 254))
  with pytest.raises(DataError, match="transparent"):
    reading.read_grey(encoded(image))


def _png16(pixels, colour_type):
  """A PNG of 16 bits a channel, by the specification: Pillow writes none."""
  height, width = pixels.shape[:2]

  def chunk(kind, content):
    checksum = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + checksum

  rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
  header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
  return (
    b"\x89PNG\r\n\x1a\n"
    + chunk(b"IHDR", header)
    + chunk(b"IDAT", zlib.compress(rows))
    + chunk(b"IEND", b"")
  )


@pytest.mark.parametrize("kind", ["rgb", "la", "tiff"])
def test_sixteen_bits_in_several_channels_are_not_cut_to_eight(kind):
  deep = np.linspace(0, 4095, 64).reshape(8, 8).astype(np.uint16)
  assert len(np.unique(reading.read_grey(_png16(deep, 0), bits=16))) == 64
  if kind == "rgb":
    content = _png16(np.stack([deep] * 3, axis=-1), 2)
  elif kind == "la":
    full = np.full_like(deep, 65535)
    content = _png16(np.stack([deep, full], axis=-1), 4)
  else:
    file = io.BytesIO()
    tifffile.imwrite(file, np.stack([deep] * 3, axis=-1), photometric="rgb")
    content = file.getvalue()
  with pytest.raises(DataError, match="16 bits in each of several channels"):
    reading.read_grey(content, name="x.png")


def test_a_grey_level_called_transparent_is_refused_where_it_occurs(encoded):
  grey = np.arange(16, dtype=np.uint8).reshape(4, 4)
  unused = encoded(Image.fromarray(grey), "PNG", transparency=99)
  np.testing.assert_array_equal(reading.read_grey(unused), grey)
  for pixels in (grey, grey.astype(np.uint16) * 256, np.dstack([grey] * 3)):
    level = int(pixels.flat[5]) if pixels.ndim == 2 else (3, 3, 3)
    content = encoded(Image.fromarray(pixels), "PNG", transparency=level)
    with pytest.raises(DataError, match="transparent pixels"):
      reading.read_grey(content)


def test_one_bit_image_is_black_and_white(encoded):
  bits = GREY > 127
  read = reading.read_grey(encoded(Image.fromarray(bits)))
  np.testing.assert_array_equal(read, np.where(bits, 255, 0))


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_are_stretched_from_lowest_to_highest(encoded, kind):
  # 12 bits from 100 to 3925, which is 15 * 255 levels: 15 to a grey level.
  deep = np.array([[100, 107, 108], [115, 2012, 3925]], np.uint16)
  read = reading.read_grey(encoded(Image.fromarray(deep), kind))
  np.testing.assert_array_equal(read, [[0, 0, 1], [1, 127, 255]])
  flat = Image.fromarray(np.full((4, 5), 4095, np.uint16))
  assert reading.read_grey(encoded(flat, kind)).max() == 0


@pytest.mark.parametrize("bits", [8, 16])
def test_tiff_whose_white_is_zero_is_turned_round(bits):
  kind = np.dtype(f"uint{bits}")
  values = np.linspace(0, np.iinfo(kind).max, 12).astype(kind).reshape(3, 4)
  buffer = io.BytesIO()
  tifffile.imwrite(buffer, values, photometric="miniswhite")
  read = reading.read_grey(buffer.getvalue())
  expected = 255 - np.round(np.linspace(0, 255, 12)).reshape(3, 4)
  assert np.abs(read - expected).max() <= 1


def test_a_file_too_large_is_not_read_to_its_end(tmp_path, monkeypatch):
  monkeypatch.setattr(reading, "MAX_BYTES", 10)
  (tmp_path / "film.dcm").write_bytes(bytes(11))
  with pytest.raises(DataError, match=r"film\.dcm is larger than 10 bytes"):
    reading.read_grey(tmp_path / "film.dcm")


def test_grey_jpeg_is_read_and_its_rotation_refused(encoded):
  image = Image.fromarray(np.full((8, 8), 77, np.uint8))
  assert np.ptp(reading.read_grey(encoded(image, "JPEG"))) <= 1
  assert reading.read_grey(encoded(image.convert("RGB"), "JPEG")).max() == 77
  tag = Image.Exif()
  tag[0x0112] = 6
  with pytest.raises(DataError, match="EXIF rotation"):
    reading.read_grey(encoded(image, "JPEG", exif=tag))


def test_cmyk_and_frames_are_refused(encoded):
  image = Image.fromarray(GREY)
  with pytest.raises(DataError, match="pixel mode CMYK"):
    reading.read_grey(encoded(image.convert("CMYK"), "JPEG"))
  other = Image.fromarray(255 - GREY)
  with pytest.raises(DataError, match="2 frames"):
    reading.read_grey(
      encoded(image, "GIF", save_all=True, append_images=[other])
    )


def test_truncated_png_is_refused_wherever_it_is_cut(encoded):
  whole = encoded(Image.fromarray(GREY))
  for kept in range(0, len(whole) - 4, 5):  # the last 4 bytes: IEND's checksum
    with pytest.raises(DataError, match="cut short"):
      reading.read_grey(whole[:kept], name="a.png")


def test_flipped_byte_in_the_pixels_is_refused(encoded):
  damaged = bytearray(encoded(Image.fromarray(GREY)))
  damaged[damaged.index(b"IDAT") + 12] ^= 0x01
  with pytest.raises(DataError, match="damaged"):
    reading.read_grey(bytes(damaged))


def test_bomb_is_refused_from_its_header():
  for width, height in ((60_000, 60_000), (10_000, 10_000), (40_000, 1)):
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n"
    for kind, body in ((b"IHDR", header), (b"IDAT", b""), (b"IEND", b"")):
      check = zlib.crc32(kind + body)
      data += struct.pack(">I", len(body)) + kind + body
      data += struct.pack(">I", check)
    with pytest.raises(DataError, match="pixels"):
      reading.read_grey(data)


def test_other_formats_are_refused(encoded):
  with pytest.raises(DataError, match="not one of PNG"):
    reading.read_grey(encoded(Image.fromarray(GREY), "PPM"), name="a.ppm")
  with pytest.raises(DataError, match="cannot be read"):
    reading.read_grey(b"", name="empty.png")


def test_paths_are_read_and_named(tmp_path, encoded):
  path = tmp_path / "film.png"
  with pytest.raises(DataError, match=r"film\.png"):
    reading.read_grey(path)
  path.write_bytes(encoded(Image.fromarray(GREY)))
  np.testing.assert_array_equal(reading.read_grey(path), GREY)


@pytest.mark.parametrize("high", [1, 255, 65535])
def test_masks_of_either_scale(encoded, high):
  inside = GREY > 100
  kind = np.uint16 if high > 255 else np.uint8
  image = Image.fromarray(inside.astype(kind) * kind(high))
  read = reading.read_mask(encoded(image))
  assert read.dtype == bool
  np.testing.assert_array_equal(read, inside)


def test_one_bit_mask(encoded):
  read = reading.read_mask(encoded(Image.fromarray(GREY > 100)))
  np.testing.assert_array_equal(read, GREY > 100)


def test_mask_with_edge_values_is_refused_with_its_histogram(encoded):
  mask = np.repeat(np.array([[0, 127, 255, 255]], np.uint8), 2, axis=0)
  with pytest.raises(DataError, match=r"m\.png.*3 different.*255: 4.*127: 2"):
    reading.read_mask(encoded(Image.fromarray(mask)), name="m.png")
  with pytest.raises(DataError, match="2 different"):
    reading.read_mask(encoded(Image.fromarray(np.minimum(mask, 127))))


def _brute_force(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
  """Area means: every pixel is split into H x W parts, which are averaged."""
  (h, w), (rows, columns) = image.shape, size
  fine = image.astype(float).repeat(rows, axis=0).repeat(columns, axis=1)
  return measure.block_reduce(fine, (h, w), np.mean)


@given(
  st.integers(1, 23), st.integers(1, 23), st.integers(1, 17),
  st.integers(1, 17), st.integers(0, 99),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_area_resampling_is_the_mean_of_what_is_covered(h, w, rows, cols, seed):
  image = np.random.default_rng(seed).integers(0, 256, (h, w), dtype=np.uint8)
  expected = _brute_force(image, (rows, cols))
  resized = reading.resize_area(image, (rows, cols))
  assert resized.dtype == np.uint8
  assert np.abs(resized - expected).max() <= 0.5 + 1e-9
  covered = _brute_force(image > 99, (rows, cols))
  clear = np.abs(covered - 0.5) > 1e-9
  mask = reading.resize_mask(image > 99, (rows, cols))
  np.testing.assert_array_equal(mask[clear], covered[clear] > 0.5)


def test_halves_are_rounded_up():
  image = np.array([[0, 1], [1, 0]], np.uint8)
  assert reading.resize_area(image, (1, 1)) == [[1]]
  assert reading.resize_mask(image.astype(bool), (1, 1)) == [[True]]
  image[0, 1] = 0
  assert reading.resize_area(image, (1, 1)) == [[0]]
  assert reading.resize_mask(image.astype(bool), (1, 1)) == [[False]]


def test_same_size_is_the_identity():
  np.testing.assert_array_equal(reading.resize_area(GREY, GREY.shape), GREY)


def _mask(fraction: float) -> np.ndarray:
  mask = np.zeros((102, 102), bool)
  inner = np.zeros(10_000, bool)
  inner[: round(fraction * 102 * 102)] = True
  mask[1:101, 1:101] = inner.reshape(100, 100)
  return mask


def test_polarity_passes_lungs_and_remarks_on_unusual_ones():
  assert reading.check_polarity(_mask(0.25), name="a") == ""
  assert "8.4%" in reading.check_polarity(_mask(0.084), name="a")
  assert "55.0%" in reading.check_polarity(_mask(0.55), name="a")


@pytest.mark.parametrize("fraction", [0.0, 0.03, 0.7])
def test_polarity_refuses_what_no_lungs_cover(fraction):
  with pytest.raises(DataError, match=r"CHN1.*inverted"):
    reading.check_polarity(_mask(fraction), name="CHN1")


def test_polarity_refuses_an_inverted_mask_of_plausible_area():
  with pytest.raises(DataError, match=r"100\.0% of its frame"):
    reading.check_polarity(~_mask(0.45), name="a")


def test_encoded_png_is_readable_and_repeatable():
  data = reading.encode_png(GREY)
  assert data == reading.encode_png(GREY.copy())
  np.testing.assert_array_equal(reading.read_grey(data), GREY)


def test_a_gif_keeps_the_level_that_it_calls_transparent(encoded):
  mask = np.zeros((6, 7), np.uint8)
  mask[2:4, 1:5] = 255
  content = encoded(Image.fromarray(mask), "GIF", transparency=0)
  assert "transparency" in Image.open(io.BytesIO(content)).info
  np.testing.assert_array_equal(reading.read_mask(content), mask > 0)
