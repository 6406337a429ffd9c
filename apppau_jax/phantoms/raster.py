"""A small rasteriser: closed outlines in, pixel coverage out.

Outlines have continuous coordinates, so a chest looks the same at every
resolution. Coordinates are (x, y) in pixels, x to the right and y downwards;
pixel [i, j] covers x in [j, j + 1] and y in [i, i + 1].

A `Batch` is `(outlines [k, m, 2], weight [k])`: k closed outlines of m points
each. Every outline adds its weight to the pixels inside it.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image

Batch = tuple[np.ndarray, np.ndarray]


def spline(points: Sequence[Sequence[float]] | np.ndarray, *, samples: int = 8):
  """Returns the open Catmull-Rom curve through `points`.

  Args:
    points: [n, 2] with n >= 2.
    samples: samples per span.

  Returns:
    float64 [(n - 1) * samples + 1, 2]; it contains every point.
  """
  p = np.asarray(points, np.float64)
  p = np.concatenate([2 * p[:1] - p[1:2], p, 2 * p[-1:] - p[-2:-1]])
  t = (np.arange(samples) / samples)[None, :, None]
  a, b, c, d = (p[i : len(p) - 3 + i, None] for i in range(4))
  curve = b + 0.5 * t * (
    c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a))
  )
  return np.concatenate([curve.reshape(-1, 2), p[-2:-1]])


def ribbons(paths: np.ndarray, width: np.ndarray | float) -> np.ndarray:
  """Thickens open paths to closed outlines.

  Args:
    paths: [k, n, 2].
    width: pixels, of a shape that broadcasts to [k, n].

  Returns:
    [k, 2 n, 2]: the right edge of each path, then the left edge backwards.
  """
  step = np.diff(paths, axis=1)
  along = np.concatenate([step[:, :1], step], axis=1)
  along[:, 1:-1] += step[:, 1:]
  along /= np.sqrt((along**2).sum(axis=-1, keepdims=True)) + 1e-9
  half = 0.5 * np.broadcast_to(width, paths.shape[:2])[..., None]
  across = half * np.stack([-along[..., 1], along[..., 0]], axis=-1)
  return np.concatenate([paths + across, (paths - across)[:, ::-1]], axis=1)


def rings(
  centres: np.ndarray, radius: np.ndarray, *, points: int = 24
) -> np.ndarray:
  """Returns closed outlines [k, points, 2] around `centres` [k, 2].

  Args:
    centres: [k, 2].
    radius: [k] for regular polygons, or [k, points].
    points: points per outline.
  """
  angle = np.arange(points) * (2 * np.pi / points)
  unit = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
  radius = np.asarray(radius, np.float64)
  if radius.ndim == 1:
    radius = radius[:, None]
  return centres[:, None] + radius[..., None] * unit


def fill(
  batches: Sequence[Batch], *, size: tuple[int, int], lines: int = 4
) -> np.ndarray:
  """Sums weight times covered pixel area over all outlines.

  Outlines may leave the image, overlap, and have either orientation. Each
  crossing of a scan line with an edge changes the coverage; a cumulative sum
  along the row turns these changes into coverage.

  Args:
    batches: outlines and weights.
    size: (h, w) in pixels.
    lines: scan lines per pixel row. Coverage along a row is exact.

  Returns:
    float32 [h, w].
  """
  h, w = size
  start, step, change = (np.concatenate(a) for a in zip(*map(_edges, batches)))
  y0 = start[:, 1] * lines - 0.5
  y1 = y0 + step[:, 1] * lines
  first = np.ceil(np.minimum(y0, y1)).clip(0, h * lines).astype(np.int32)
  last = np.ceil(np.maximum(y0, y1)).clip(0, h * lines).astype(np.int32)
  count = last - first
  edge = np.repeat(np.arange(len(start), dtype=np.int32), count)
  line = np.arange(len(edge), dtype=np.int32)
  line += (first - np.cumsum(count, dtype=np.int32) + count)[edge]
  slope = step[:, 0] / np.where(y1 == y0, 1.0, y1 - y0)
  x = (start[:, 0] - y0 * slope)[edge] + line * slope[edge]
  np.clip(x, 0, w, out=x)
  column = x.astype(np.int32)
  amount = (np.where(y1 > y0, -change, change) / lines)[edge]
  following = amount * (x - column)
  cell = line // lines * (w + 2) + column
  total = np.bincount(cell, amount - following, h * (w + 2))
  total += np.bincount(cell + 1, following, h * (w + 2))
  grid = total.reshape(h, w + 2)
  return np.cumsum(grid, axis=1, out=grid)[:, :w].astype(np.float32)


def stencil(
  batches: Sequence[Batch], *, size: tuple[int, int]
) -> tuple[tuple[slice, slice], np.ndarray]:
  """Does the work of `fill` within the bounding box of the outlines only.

  Returns:
    The window (rows, columns) of the image that the outlines can touch, and
    the float32 coverage of its pixels. The window may be empty.
  """
  points = [o.reshape(-1, 2) for o, _ in batches]
  low = np.floor(np.min([p.min(axis=0) for p in points], axis=0))
  high = np.ceil(np.max([p.max(axis=0) for p in points], axis=0))
  x0, y0 = low.clip(0, size[::-1]).astype(int).tolist()
  x1, y1 = high.clip(0, size[::-1]).astype(int).tolist()
  moved = [(o - (x0, y0), w) for o, w in batches]
  window = (slice(y0, y1), slice(x0, x1))
  return window, fill(moved, size=(y1 - y0, x1 - x0))


def _edges(batch: Batch) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Returns start, step and signed weight of every edge of a batch.

  The sign makes the weight independent of the outline's orientation.
  """
  outline, weight = batch
  following = np.concatenate([outline[:, 1:], outline[:, :1]], axis=1)
  x, y = outline[..., 0], outline[..., 1]
  area = (x * following[..., 1] - y * following[..., 0]).sum(axis=1)
  change = np.repeat(np.sign(area) * weight, outline.shape[1])
  step = (following - outline).reshape(-1, 2)
  return outline.reshape(-1, 2), step, change


def area(outline: np.ndarray) -> float:
  """Returns the area inside one outline [m, 2], in squared units."""
  following = np.roll(outline, -1, axis=0)
  return 0.5 * abs(
    float(np.linalg.det(np.stack([outline, following], 1)).sum())
  )


def inside(outline: np.ndarray, *, size: tuple[int, int]) -> np.ndarray:
  """Returns bool [h, w]: pixels at least half covered by an outline [m, 2]."""
  mask = np.zeros(size, bool)
  window, covered = stencil([(outline[None], np.ones(1))], size=size)
  mask[window] = covered >= 0.5
  return mask


def enlarge(field: np.ndarray, *, size: tuple[int, int]) -> np.ndarray:
  """Resamples a field [r, c] that spans the image to float32 [h, w]."""
  if field.shape == size:
    return field.astype(np.float32, copy=False)
  image = Image.fromarray(np.ascontiguousarray(field, np.float32))
  h, w = size
  return np.asarray(image.resize((w, h), Image.Resampling.BICUBIC))
