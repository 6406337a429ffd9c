"""Masks from polygons, boxes and landmarks.

There are two conventions. Points of a contour are pixels, and the outline
belongs to the structure, as OpenCV draws it (CheXmask, ChestX-Det). Corners of
an area are positions between pixels, from (0, 0) at the upper left corner of
the image, and a pixel is inside if its centre is (COCO).
"""

import re
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw
from skimage import draw

MAX_POINTS = 100_000
_BEYOND = 1.0  # pixels by which a point may leave the image
_NUMBERS = re.compile(r"\s*\[[-+.0-9eE\s,\[\]]*\]\s*")

# The points of HybridGNet, on which CheXmask is based, by structure. Sides are
# those of the patient.
CHEXMASK_LANDMARKS = {
  "right lung": range(0, 44),
  "left lung": range(44, 94),
  "heart": range(94, 120),
}


def fill_contour(
  points: Sequence[Sequence[float]] | np.ndarray, size: tuple[int, int]
) -> np.ndarray:
  """Fills a closed contour, with its outline.

  Args:
    points: (x, y) in pixels, counted from 0; one point is one pixel. Fractions
      are cut off, as CheXmask does.
    size: the (height, width) of the mask.

  Returns:
    bool [h, w], True inside.

  Raises:
    ValueError: no points, too many, or points beyond the image.

  Example:
    >>> fill_contour([[1, 0], [2, 0], [2, 1]], (2, 4)).astype(int).tolist()
    [[0, 1, 1, 0], [0, 0, 1, 0]]
  """
  checked = np.trunc(_checked(points, size, last=1)).astype(int)
  image = Image.new("1", size[::-1])
  pen = ImageDraw.Draw(image)
  corners = [tuple(point) for point in checked.tolist()]
  if len(corners) > 2:
    pen.polygon(corners, fill=1, outline=1)
  else:
    pen.line([corners[0], corners[-1]], fill=1)
    pen.point(corners, fill=1)
  return np.array(image)


def fill_area(
  corners: Sequence[Sequence[float]] | np.ndarray, size: tuple[int, int]
) -> np.ndarray:
  """Fills a polygon: pixels whose centre lies inside, by the even-odd rule.

  Args:
    corners: (x, y), at least three; (0, 0) is the corner of the image.
    size: the (height, width) of the mask.

  Returns:
    bool [h, w], True inside.

  Raises:
    ValueError: fewer than three corners, too many, or corners beyond the image.

  Example:
    >>> square = [[1, 0], [3, 0], [3, 2], [1, 2]]
    >>> fill_area(square, (2, 4)).astype(int).tolist()
    [[0, 1, 1, 0], [0, 1, 1, 0]]
  """
  checked = _checked(corners, size, last=0)
  if len(checked) < 3:
    raise ValueError(f"a polygon has {len(checked)} corners; three are needed")
  return draw.polygon2mask(size, checked[:, ::-1] - 0.5)


def fill_boxes(
  boxes: Sequence[Sequence[float]], size: tuple[int, int]
) -> np.ndarray:
  """Fills boxes: pixels whose centre lies inside one of them.

  Args:
    boxes: (left, top, right, bottom) of each; (0, 0) is the corner of the
      image.
    size: the (height, width) of the mask.

  Returns:
    bool [h, w], True inside.

  Raises:
    ValueError: a box has no area, or lies beyond the image.

  Example:
    >>> fill_boxes([[1, 0, 3, 1]], (2, 4)).astype(int).tolist()
    [[0, 1, 1, 0], [0, 0, 0, 0]]
  """
  if len(boxes) > MAX_POINTS:
    raise ValueError(f"it has more than {MAX_POINTS:,} boxes")
  mask = np.zeros(size, bool)
  for box in boxes:
    if len(box) != 4:
      raise ValueError(f"a box has {len(box)} numbers, not four")
    corners = _checked([box[:2], box[2:]], size, last=0)
    left, top, right, bottom = corners.ravel()
    if right <= left or bottom <= top:
      raise ValueError(f"the box {[*box]} has no area")
    # The first pixel whose centre is not left of an edge.
    x0, y0, x1, y1 = np.ceil(np.maximum(corners - 0.5, 0)).astype(int).ravel()
    mask[y0:y1, x0:x1] = True
  return mask


def read_points(text: str, *, count: int) -> np.ndarray:
  """Reads landmarks from text, such as `[[1, 2], [3, 4]]` or `[[1 2] [3 4]]`.

  Args:
    text: the x and y of each point, as JSON or NumPy writes them.
    count: their number.

  Returns:
    float [count, 2].

  Raises:
    ValueError: other text, or another number of points.
  """
  if len(text) > 64 * count or not _NUMBERS.fullmatch(text):
    raise ValueError(f"{text[:40]!r} is not a list of points")
  numbers = re.sub(r"[\s,\[\]]+", " ", text).split()
  try:
    values = [float(number) for number in numbers]
  except ValueError as error:
    raise ValueError(f"{text[:40]!r} is not a list of points") from error
  if len(values) != 2 * count:
    raise ValueError(f"it has {len(values)} numbers, not {2 * count}")
  return np.array(values).reshape(count, 2)


def _checked(
  points: Sequence[Sequence[float]] | np.ndarray,
  size: tuple[int, int],
  *,
  last: int,
) -> np.ndarray:
  """Returns points [n, 2] that lie on the image, or on the pixel beside it."""
  if not 0 < len(points) <= MAX_POINTS:
    raise ValueError(f"it has {len(points):,} points, not 1 to {MAX_POINTS:,}")
  if any(len(point) != 2 for point in points):
    raise ValueError("a point is not two numbers, x and y")
  values = np.asarray(points, float)
  least, most = -_BEYOND, np.array(size[::-1]) - last + _BEYOND
  outside = ~((values >= least) & (values <= most)).all(axis=1)  # also NaN
  if outside.any():
    x, y = values[outside.argmax()]
    raise ValueError(
      f"the point ({x:g}, {y:g}) is not on the {size[1]}x{size[0]} image"
    )
  return values
