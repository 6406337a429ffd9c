import io
import struct
import time
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from apppau_jax.errors import DataError
from apppau_jax.imaging import decode, masks

GREY = np.random.default_rng(0).integers(0, 256, (9, 7), dtype=np.uint8)


def test_grey_png_comes_back_unchanged(encoded):
  np.testing.assert_array_equal(
    decode.read_grey(encoded(Image.fromarray(GREY))), GREY
  )


def test_palette_is_applied_not_the_indices(encoded):
  image = Image.fromarray(GREY, "L").convert("P")
  inverted = [level for i in range(256) for level in [255 - i] * 3]
  image.putdata(GREY.ravel().tolist())
  image.putpalette(inverted)
  np.testing.assert_array_equal(decode.read_grey(encoded(image)), 255 - GREY)


def test_coloured_palette_is_refused(encoded):
  image = Image.fromarray(GREY).convert("P")
  image.putpalette([level for i in range(256) for level in (i, 0, i)])
  with pytest.raises(DataError, match="is in colour"):
    decode.read_grey(encoded(image))
  image.putpalette([level for i in range(256) for level in (i, i, i)])
  with pytest.raises(DataError, match="transparent"):
    decode.read_grey(encoded(image, transparency=int(image.getpixel((0, 0)))))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_equal_channels_are_grey(encoded, mode):
  image = Image.fromarray(GREY).convert(mode)
  np.testing.assert_array_equal(decode.read_grey(encoded(image)), GREY)


def test_unequal_channels_are_refused_by_name(encoded):
  pixels = np.repeat(GREY[..., None], 3, axis=2)
  pixels[4, 4, 2] ^= 1
  with pytest.raises(DataError, match=r"overlay\.png is in colour"):
    decode.read_grey(encoded(Image.fromarray(pixels)), name="overlay.png")


def test_transparent_pixels_are_refused(encoded):
  image = Image.fromarray(GREY).convert("RGBA")
  image.putpixel((0, 0), (1, 1, 1, 254))
  with pytest.raises(DataError, match="transparent"):
    decode.read_grey(encoded(image))


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
  assert len(np.unique(decode.read_grey(_png16(deep, 0), bits=16))) == 64
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
    decode.read_grey(content, name="x.png")


def test_a_grey_level_called_transparent_is_refused_where_it_occurs(encoded):
  grey = np.arange(16, dtype=np.uint8).reshape(4, 4)
  unused = encoded(Image.fromarray(grey), "PNG", transparency=99)
  np.testing.assert_array_equal(decode.read_grey(unused), grey)
  for pixels in (grey, grey.astype(np.uint16) * 256, np.dstack([grey] * 3)):
    level = int(pixels.flat[5]) if pixels.ndim == 2 else (3, 3, 3)
    content = encoded(Image.fromarray(pixels), "PNG", transparency=level)
    with pytest.raises(DataError, match="transparent pixels"):
      decode.read_grey(content)


def test_one_bit_image_is_black_and_white(encoded):
  bits = GREY > 127
  read = decode.read_grey(encoded(Image.fromarray(bits)))
  np.testing.assert_array_equal(read, np.where(bits, 255, 0))


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_are_stretched_from_lowest_to_highest(encoded, kind):
  # 12 bits from 100 to 3925, which is 15 * 255 levels: 15 to a grey level.
  deep = np.array([[100, 107, 108], [115, 2012, 3925]], np.uint16)
  read = decode.read_grey(encoded(Image.fromarray(deep), kind))
  np.testing.assert_array_equal(read, [[0, 0, 1], [1, 127, 255]])
  flat = Image.fromarray(np.full((4, 5), 4095, np.uint16))
  assert decode.read_grey(encoded(flat, kind)).max() == 0


@pytest.mark.parametrize("bits", [8, 16])
def test_tiff_whose_white_is_zero_is_turned_round(bits):
  kind = np.dtype(f"uint{bits}")
  values = np.linspace(0, np.iinfo(kind).max, 12).astype(kind).reshape(3, 4)
  buffer = io.BytesIO()
  tifffile.imwrite(buffer, values, photometric="miniswhite")
  read = decode.read_grey(buffer.getvalue())
  expected = 255 - np.round(np.linspace(0, 255, 12)).reshape(3, 4)
  assert np.abs(read - expected).max() <= 1


def test_a_file_too_large_is_not_read_to_its_end(tmp_path, monkeypatch):
  monkeypatch.setattr(decode, "MAX_BYTES", 10)
  (tmp_path / "film.dcm").write_bytes(bytes(11))
  with pytest.raises(DataError, match=r"film\.dcm is larger than 10 bytes"):
    decode.read_grey(tmp_path / "film.dcm")


def test_grey_jpeg_is_read_and_its_rotation_refused(encoded):
  image = Image.fromarray(np.full((8, 8), 77, np.uint8))
  assert np.ptp(decode.read_grey(encoded(image, "JPEG"))) <= 1
  assert decode.read_grey(encoded(image.convert("RGB"), "JPEG")).max() == 77
  tag = Image.Exif()
  tag[0x0112] = 6
  with pytest.raises(DataError, match="EXIF rotation"):
    decode.read_grey(encoded(image, "JPEG", exif=tag))


def test_cmyk_and_frames_are_refused(encoded):
  image = Image.fromarray(GREY)
  with pytest.raises(DataError, match="pixel mode CMYK"):
    decode.read_grey(encoded(image.convert("CMYK"), "JPEG"))
  other = Image.fromarray(255 - GREY)
  with pytest.raises(DataError, match="several frames"):
    decode.read_grey(
      encoded(image, "GIF", save_all=True, append_images=[other])
    )


def test_many_frames_are_not_counted(encoded):
  """Counting 20,000 took 10 seconds, and 100,000 several minutes."""
  one = encoded(Image.fromarray(GREY[:2, :2]), "TIFF")
  (first,) = struct.unpack("<I", one[4:8])
  (entries,) = struct.unpack("<H", one[first : first + 2])
  end = first + 2 + 12 * entries
  directory, chain = one[first:end], bytearray(one[:end])
  for _ in range(100_000):
    chain += struct.pack("<I", len(chain) + 4) + directory
  began = time.monotonic()
  with pytest.raises(DataError, match="several frames"):
    decode.read_grey(bytes(chain + bytes(4)))
  assert time.monotonic() - began < 10


@pytest.mark.parametrize(
  "error",
  [
    *(TypeError("x\ny\x1b[2J"), IndexError(), struct.error("x"), MemoryError()),
    *(RecursionError(), OverflowError(), ZeroDivisionError(), EOFError()),
    *(zlib.error("x"), SyntaxError("x"), UserWarning("x"), KeyError("x")),
  ],
)
def test_whatever_a_parser_raises_is_one_line(encoded, monkeypatch, error):
  def broken(*args, **kwargs):
    raise error

  png = encoded(Image.fromarray(GREY))
  monkeypatch.setattr(Image.Image, "getexif", broken)
  with pytest.raises(DataError, match=r"x\.png") as caught:
    decode.read_grey(png, name="x.png")
  assert str(caught.value).isprintable()
  monkeypatch.setattr(Image, "open", broken)
  for read in (decode.read_prepared, masks.read_mask):
    with pytest.raises(DataError):
      read(png)


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_a_jpeg_of_endless_scans_is_refused_before_it_is_decoded(encoded, kind):
  """200 scans of 64 million pixels take 40 seconds, in a file of 300 KB."""
  image = Image.fromarray(GREY)
  if kind == "JPEG":
    content = encoded(image, "JPEG", progressive=True)
  else:
    content = encoded(image, "TIFF", compression="jpeg")
  assert decode.read_grey(content).shape == GREY.shape
  start = content.rindex(b"\xff\xda")
  bomb = content + content[start : start + 16] * 200
  with pytest.raises(DataError, match="scans"):
    decode.read_grey(bomb)


def test_truncated_png_is_refused_wherever_it_is_cut(encoded):
  whole = encoded(Image.fromarray(GREY))
  for kept in range(0, len(whole) - 4, 5):  # the last 4 bytes: IEND's checksum
    with pytest.raises(DataError, match=r"a\.png"):
      decode.read_grey(whole[:kept], name="a.png")


def test_flipped_byte_in_the_pixels_is_refused(encoded):
  damaged = bytearray(encoded(Image.fromarray(GREY)))
  damaged[damaged.index(b"IDAT") + 12] ^= 0x01
  with pytest.raises(DataError, match="damaged"):
    decode.read_grey(bytes(damaged))


def test_bomb_is_refused_from_its_header():
  for width, height in ((60_000, 60_000), (10_000, 10_000), (40_000, 1)):
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n"
    for kind, body in ((b"IHDR", header), (b"IDAT", b""), (b"IEND", b"")):
      check = zlib.crc32(kind + body)
      data += struct.pack(">I", len(body)) + kind + body
      data += struct.pack(">I", check)
    with pytest.raises(DataError, match="pixels"):
      decode.read_grey(data)


def test_other_formats_are_refused(encoded):
  with pytest.raises(DataError, match="not one of PNG"):
    decode.read_grey(encoded(Image.fromarray(GREY), "PPM"), name="a.ppm")
  with pytest.raises(DataError, match="cannot be read"):
    decode.read_grey(b"", name="empty.png")


def test_encoded_png_is_readable_and_repeatable():
  data = decode.encode_png(GREY)
  assert data == decode.encode_png(GREY.copy())
  np.testing.assert_array_equal(decode.read_grey(data), GREY)


@pytest.mark.parametrize("kind", ["int8", "int16"])
def test_a_tiff_of_signed_numbers_is_refused(kind):
  file = io.BytesIO()
  tifffile.imwrite(file, np.arange(-32, 32).reshape(8, 8).astype(kind))
  with pytest.raises(DataError, match=r"x\.tif .*sign .*tag 339"):
    decode.read_grey(file.getvalue(), name="x.tif")


def _cut_palette(kind, entries, *, grey):
  """Pixels 0 to 63 and a palette of so many entries, a ramp up or down."""
  pixels = np.arange(64, dtype=np.uint8).reshape(8, 8)
  levels = [i if grey else 255 - i for i in range(entries)]
  if kind == "PNG":
    palette = np.repeat(np.array(levels, np.uint8), 3).tobytes()
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", 8, 8, 8, 3, 0, 0, 0)
    parts = [(b"IHDR", header), (b"PLTE", palette)]
    parts += [(b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    content = b"\x89PNG\r\n\x1a\n"
    for name, body in parts:
      content += struct.pack(">I", len(body)) + name + body
      content += struct.pack(">I", zlib.crc32(name + body))
    return content
  if kind == "BMP":
    palette = b"".join(bytes([i, i, i, 0]) for i in levels)
    start = 54 + len(palette)
    head = struct.pack("<IHHI", start + 64, 0, 0, start)
    sizes = struct.pack("<IiiHHII", 40, 8, 8, 1, 8, 0, 64)
    counts = struct.pack("<iiII", 0, 0, entries, entries)
    return b"BM" + head + sizes + counts + palette + pixels[::-1].tobytes()
  image = Image.fromarray(pixels).convert("P")
  image.putdata(pixels.ravel().tolist())
  image.putpalette([i if grey else 255 - i for i in range(256) for _ in "rgb"])
  file = io.BytesIO()
  image.save(file, "GIF", optimize=False)
  whole = file.getvalue()  # 256 entries after 13 bytes
  flags = whole[10] & 0xF8 | (entries.bit_length() - 2)
  palette = whole[13 : 13 + 3 * entries]
  return (
    whole[:10] + bytes([flags]) + whole[11:13] + palette + whole[13 + 768 :]
  )


@pytest.mark.parametrize("kind", ["PNG", "GIF", "BMP"])
@pytest.mark.parametrize("grey", [False, True])
def test_a_pixel_beyond_the_palette_is_refused(kind, grey):
  whole = decode.read_grey(_cut_palette(kind, 64, grey=grey))
  ramp = np.arange(64).reshape(8, 8)
  np.testing.assert_array_equal(whole, ramp if grey else 255 - ramp)
  with pytest.raises(DataError, match="colour 63, but its palette holds 32"):
    decode.read_grey(_cut_palette(kind, 32, grey=grey))


def test_a_gif_frame_smaller_than_its_screen_is_refused(encoded):
  content = bytearray(encoded(Image.fromarray(GREY), "GIF"))
  content[6:10] = struct.pack("<HH", 10, 9)
  with pytest.raises(DataError, match=r"smaller than its screen of 10x9"):
    decode.read_grey(bytes(content))
