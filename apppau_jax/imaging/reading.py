"""Images and masks from PNG, JPEG, GIF, TIFF, BMP or DICOM, never guessed at.

Every rule is stated here once: which formats are opened, how each pixel mode
becomes grey, which values a mask may hold, how sizes are changed. What does
not fit a rule is a `DataError` that names the file; nothing is repaired.
"""

import io
import struct
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from apppau_jax import errors
from apppau_jax.imaging import dicom
from apppau_jax.imaging.grey_levels import deepen, stretch

FORMATS = ("PNG", "JPEG", "GIF", "TIFF", "BMP")
SUFFIXES = (
  *(".png", ".jpg", ".jpeg", ".tif", ".tiff", ".gif", ".bmp"),
  *(".dcm", ".dicom"),
)
MAX_BYTES = 128 * 1024 * 1024  # of a file
MAX_PIXELS = 64 * 1024 * 1024
MAX_SIDE = 32768

# JPEG stores a grey picture as YCbCr with rounding; the others are lossless.
_CHANNEL_TOLERANCE = {"JPEG": 4}
_ORIENTATION_TAG = 0x0112
_BITS_TAG = 0x0102  # of TIFF, one a channel
_PHOTOMETRIC_TAG = 0x0106  # of TIFF; 0: white is zero
_DAMAGE = (
  OSError,
  SyntaxError,  # what Pillow raises for a broken PNG chunk
  ValueError,
  struct.error,
  Image.DecompressionBombError,
  Image.DecompressionBombWarning,
)


def read_grey(
  content: bytes | Path, *, name: str = "", bits: int = 8
) -> np.ndarray:
  """Decodes one picture to grey.

  Modes: `L` as it is; `P` through its palette; `1` as black and white; 16 bits
  linearly, from the lowest value of the picture (black) to its highest (white),
  since a file does not say how many of them it uses; colour of 8 bits, only
  where the channels are equal; transparency only where everything is opaque,
  or in a GIF, whose palette says what the transparent level is. DICOM: see
  `dicom`.

  Args:
    content: the encoded bytes, or the path of a file.
    name: what messages call the file; the path by default.
    bits: of the result, 8 or 16: white is 255 or 65535.

  Returns:
    uint8 or uint16 [h, w].

  Raises:
    DataError: a damaged or oversized file, or one that no rule covers.
  """
  name = name or _default_name(content)
  content = _read(content, name=name)
  if dicom.is_dicom(content):
    return dicom.read_dicom(
      content, name=name, bits=bits, check_size=_check_size
    )
  grey = _decode(content, name=name)
  if grey.dtype == np.uint16:
    return stretch(grey, bits=bits)
  return deepen(grey, bits=bits)


def read_prepared(
  png: bytes, *, side: int | None = None, bits: int | None = None
) -> np.ndarray:
  """Decodes a picture of a prepared set, its levels unchanged.

  Args:
    png: the encoded bytes. They may come from an untrusted folder.
    side: the side that the picture must have; checked before decoding.
    bits: the bits a grey level that it must have.

  Returns:
    uint8 or uint16 [h, w].

  Raises:
    DataError: it is no such picture.
  """
  try:
    with Image.open(io.BytesIO(png), formats=("PNG",)) as image:
      _check_size(image.height, image.width, name="of a prepared set")
      if side is not None and image.size != (side, side):
        raise ValueError(f"{image.width}x{image.height} pixels, not {side}")
      levels = np.asarray(image)
  except _DAMAGE as e:
    raise errors.DataError(
      f"A prepared set holds a picture that cannot be used: {e}. Prepare the "
      "set again."
    ) from e
  levels = levels if levels.dtype == np.uint8 else levels.astype(np.uint16)
  if levels.ndim != 2 or (bits and levels.itemsize * 8 != bits):
    raise errors.DataError(
      f"A prepared set holds a picture of {levels.dtype} {levels.shape}, not "
      f"grey levels of {bits} bits. Prepare the set again."
    )
  return levels


def read_mask(content: bytes | Path, *, name: str = "") -> np.ndarray:
  """Decodes one mask whose only values are {0, 1} or {0, full scale}.

  Returns:
    bool [h, w], True inside.

  Raises:
    DataError: other values (the message holds their histogram), or any of
      the reasons of `read_grey`.
  """
  name = name or _default_name(content)
  grey = _decode(_read(content, name=name), name=name)
  inside = grey != 0
  high, full = grey.max(), np.iinfo(grey.dtype).max
  at_high = np.count_nonzero(grey == high) if high else 0
  if high not in (0, 1, full) or at_high != np.count_nonzero(inside):
    counts = np.bincount(grey.ravel())  # slow: only where it is told
    values = np.flatnonzero(counts)
    common = values[np.argsort(-counts[values], kind="stable")[:8]]
    histogram = ", ".join(f"{value}: {counts[value]}" for value in common)
    raise errors.DataError(
      f"The mask {name} holds {len(values)} different values ({histogram}"
      f"{', ...' if len(values) > 8 else ''}), where only {{0, 1}} or "
      f"{{0, {full}}} has a meaning. Threshold or export it again without "
      "smoothing; it is not guessed at."
    )
  return inside


def _default_name(content: bytes | Path) -> str:
  return "in memory" if isinstance(content, bytes) else str(content)


def _read(content: bytes | Path, *, name: str) -> bytes:
  """The bytes of a file, if there are not absurdly many."""
  if isinstance(content, bytes):
    return content
  try:
    with content.open("rb") as file:
      data = file.read(MAX_BYTES + 1)
  except OSError as e:
    raise errors.DataError(f"The image {name} cannot be read ({e}).") from e
  if len(data) > MAX_BYTES:
    raise errors.DataError(
      f"The image {name} is larger than {MAX_BYTES:,} bytes; no film is."
    )
  return data


def _decode(data: bytes, *, name: str) -> np.ndarray:
  """Decodes to uint8 or uint16 [h, w]; errors name the file."""
  try:
    if data.startswith(b"\x89PNG"):
      _open(data).verify()  # the checksum of every chunk; needs a fresh open
    with _open(data) as image:
      _check_header(image, name=name)
      _check_depth(image, data, name=name)
      image.load()
      return _to_grey(image, name=name)
  except _DAMAGE as e:
    # Pillow's own words for an unknown format show an address in memory.
    unknown = isinstance(e, UnidentifiedImageError)
    raise errors.DataError(
      f"The image {name} cannot be read "
      f"({'no known format' if unknown else e}). The file is damaged, cut "
      f"short, larger than {MAX_PIXELS:,} pixels, or not one of "
      f"{', '.join(FORMATS)} (images also: DICOM). Fetch it again from its "
      "owner."
    ) from e


def _open(data: bytes) -> Image.Image:
  return Image.open(io.BytesIO(data), formats=FORMATS)


def _check_header(image: Image.Image, *, name: str) -> None:
  """Refuses, before any pixel is decoded, what could not be used anyway."""
  width, height = image.size
  _check_size(height, width, name=name)
  frames = getattr(image, "n_frames", 1)
  if frames > 1:
    raise errors.DataError(
      f"The image {name} has {frames} frames; one was expected."
    )
  if image.getexif().get(_ORIENTATION_TAG, 1) != 1:
    raise errors.DataError(
      f"The image {name} carries an EXIF rotation, so that its pixels and "
      "its mask may disagree. Save it upright, without the tag."
    )


def _check_depth(image: Image.Image, data: bytes, *, name: str) -> None:
  """Refuses 16 bits in several channels: Pillow reads the upper 8 alone."""
  if image.format == "PNG":  # of IHDR, whose place is fixed
    depth, grey = data[24], data[25] == 0
  elif isinstance(image, TiffImageFile):
    samples = image.tag_v2.get(_BITS_TAG, (1,))
    depth, grey = max(samples), len(samples) == 1
  else:
    return
  if depth > 8 and not grey:
    raise errors.DataError(
      f"The image {name} has {depth} bits in each of several channels, of "
      "which only the upper 8 could be read. Save it as 16 bit grey."
    )


def _check_size(height: int, width: int, *, name: str) -> None:
  if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
    raise errors.DataError(
      f"The image {name} says that it is {width}x{height} pixels; at most "
      f"{MAX_PIXELS:,} pixels and {MAX_SIDE:,} a side are read. No film "
      "scan is that large: the file is damaged or not what it seems."
    )


def _to_grey(image: Image.Image, *, name: str) -> np.ndarray:
  mode = image.mode
  if mode.startswith("I;16"):
    deep = np.asarray(image).astype(np.uint16)
    if deep.size and (deep == image.info.get("transparency", -1)).any():
      raise _transparent(name)
    tags = image.tag_v2 if isinstance(image, TiffImageFile) else {}
    # Pillow inverts such files of 8 bits, and leaves those of 16 alone.
    return 65535 - deep if tags.get(_PHOTOMETRIC_TAG) == 0 else deep
  if mode == "I" and image.format == "PNG":  # 16 bits in older Pillow
    return np.asarray(image).astype(np.uint16)
  # A GIF's transparent entry has a colour in the palette all the same.
  see_through = "transparency" in image.info and image.format != "GIF"
  if mode in ("L", "1", "P", "RGB") and see_through:
    image = image.convert("RGBA")
  elif mode == "L":
    return np.asarray(image)
  elif mode == "1":
    return np.asarray(image.convert("L"))
  elif mode == "P":
    image = image.convert("RGB")
  elif mode not in ("RGB", "RGBA", "LA"):
    raise errors.DataError(
      f"The image {name} has pixel mode {mode}, for which no conversion to "
      "grey is defined. Save it as 8 or 16 bit grey PNG."
    )
  pixels = np.asarray(image)
  if pixels.shape[2] in (2, 4) and pixels[..., -1].min() < 255:
    raise _transparent(name)
  return _equal_channels(pixels, image_format=image.format, name=name)


def _transparent(name: str) -> errors.DataError:
  return errors.DataError(
    f"The image {name} has transparent pixels, whose grey value is "
    "undefined. Save it without an alpha channel."
  )


def _equal_channels(
  pixels: np.ndarray, *, image_format: str | None, name: str
) -> np.ndarray:
  colours = pixels[..., : 3 if pixels.shape[2] >= 3 else 1]
  if colours.shape[2] == 1:
    return colours[..., 0]
  spread = np.ptp(colours, axis=2).max()
  if spread > _CHANNEL_TOLERANCE.get(image_format or "", 0):
    raise errors.DataError(
      f"The image {name} is in colour: its red, green and blue values "
      f"differ by up to {spread}. A radiograph is grey; look whether this "
      "is an overlay, a photograph or the wrong file."
    )
  return colours[..., 1].copy()


def resize_area(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
  """Area resampling: each new pixel is the mean of the area it covers.

  The sums are of integers and exact, rounded half up, so that every machine
  returns the same bytes. Works for any ratio, also for enlarging.

  Args:
    image: uint8 or uint16 [h, w].
    size: the new (height, width).

  Returns:
    [*size], of the same type.
  """
  total = _area_sums(image, size)
  area = image.shape[0] * image.shape[1]
  return ((2 * total + area) // (2 * area)).astype(image.dtype)


def resize_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
  """Area resampling of bool [h, w]: True where at least half is covered."""
  return 2 * _area_sums(mask, size) >= mask.shape[0] * mask.shape[1]


def _area_sums(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
  """Sums of value times covered area, in 1/(H*W) pixels; int64 [H, W]."""
  rows = _sum_rows(image, size[0])
  return _sum_rows(np.ascontiguousarray(rows.T), size[1]).T


def _sum_rows(values: np.ndarray, new: int) -> np.ndarray:
  """Sums what each of `new` equal bands covers, in 1/new rows; int64."""
  old = len(values)
  sums = np.empty((new, values.shape[1]), np.int64)
  for i in range(new):
    first, skipped = divmod(i * old, new)
    last, taken = divmod((i + 1) * old, new)
    sums[i] = values[first:last].sum(axis=0, dtype=np.int64) * new
    sums[i] -= skipped * values[first].astype(np.int64)
    if taken:
      sums[i] += taken * values[last].astype(np.int64)
  return sums


def check_polarity(mask: np.ndarray, *, name: str) -> str:
  """Asserts that True means lung, by what lungs in a chest film look like.

  Args:
    mask: bool [h, w], lungs True.
    name: what messages call the image.

  Returns:
    A warning for an unusual lung fraction (outside .10 to .50), else "".

  Raises:
    DataError: a fraction outside .05 to .60, or a frame that is mostly
      inside the mask: inverted, empty or of something else.
  """
  fraction = float(mask.mean())
  frame = np.concatenate([mask[0], mask[-1], mask[1:-1, 0], mask[1:-1, -1]])
  if not 0.05 <= fraction <= 0.60 or frame.mean() > 0.5:
    raise errors.DataError(
      f"The mask of {name} covers {fraction:.1%} of the image and "
      f"{frame.mean():.1%} of its frame; lungs cover 5 % to 60 % and seldom "
      "the frame. It is empty, inverted, or not a lung mask."
    )
  if not 0.10 <= fraction <= 0.50:
    return f"lungs cover {fraction:.1%} of the image (usual: 10 % to 50 %)"
  return ""


def encode_png(image: np.ndarray) -> bytes:
  """PNG bytes of uint8 or uint16 [h, w]; the same bytes for the same pixels."""
  buffer = io.BytesIO()
  Image.fromarray(image).save(buffer, "PNG", compress_level=6)
  return buffer.getvalue()
