"""What scanners, detectors and archives do to a radiograph of a wide phantom.

Everything here changes grey values or the border of the image, never a mask.
"""

import dataclasses
import io

import numpy as np
from PIL import Image
from scipy import ndimage

from apppau_jax.phantoms import raster
from apppau_jax.phantoms.exposure import Exposure

Box = tuple[float, float, float, float]


def widen(exposure: Exposure, rng: np.random.Generator) -> Exposure:
  """Returns an exposure whose values go beyond those of the tutorial."""
  return dataclasses.replace(
    exposure,
    centre=exposure.centre + rng.normal(0, 0.05),
    width=exposure.width * float(np.exp(rng.normal(0, 0.25))),
    equalise=float(np.clip(exposure.equalise + rng.normal(0, 0.15), 0, 0.7)),
    floor=float(rng.choice([exposure.floor, rng.uniform(0, 0.25)])),
    noise=exposure.noise * rng.uniform(0.2, 1.6),
    blur=exposure.blur * rng.uniform(0.5, 2.5),
  )


def process(
  grey: np.ndarray, rng: np.random.Generator, *, lungs: Box
) -> np.ndarray:
  """Changes the tone, and adds labels and the borders of sheet and collimator.

  Args:
    grey: float32 [h, w] in [0, 1].
    rng: random generator.
    lungs: left, top, right and bottom of the lungs as fractions of the image;
      no border covers them.

  Returns:
    float32 [h, w] in [0, 1].
  """
  if rng.uniform() < 0.35:
    grey = _sharpen(grey, rng)
  grey = _tone(grey, rng)
  if rng.uniform() < 0.55:
    grey = _collimate(grey, rng, lungs=lungs)
  for _ in range(int(rng.choice([0, 1, 3], p=[0.5, 0.3, 0.2]))):
    _label(grey, rng, lungs=lungs)
  if rng.uniform() < 0.3:
    _edge_lines(grey, rng)
  return _jpeg(grey, rng) if rng.uniform() < 0.2 else grey


def _sharpen(grey: np.ndarray, rng: np.random.Generator) -> np.ndarray:
  """Raises detail above the local mean, as digital detectors do."""
  radius = rng.uniform(0.008, 0.06) * max(grey.shape)
  local = ndimage.gaussian_filter(grey, radius, truncate=2.0)
  return np.clip(local + rng.uniform(1.2, 2.5) * (grey - local), 0, 1)


def _tone(grey: np.ndarray, rng: np.random.Generator) -> np.ndarray:
  """Applies a monotone curve: histogram equalisation or one of any shape."""
  if rng.uniform() < 0.12:
    levels = np.quantile(grey[::4, ::4], np.linspace(0, 1, 64))
    levels += np.linspace(0, 1e-6, 64)
    return np.interp(grey, levels, np.linspace(0, 1, 64)).astype(np.float32)
  steps = rng.dirichlet(np.full(6, 3.0))
  curve = np.concatenate([[0], np.cumsum(steps)])
  low, high = rng.uniform(0, 0.12), rng.uniform(0.85, 1.05)
  curve = np.minimum(low + (high - low) * curve, 1)
  share = rng.uniform(0, 1)
  knots = np.linspace(0, 1, 7)
  curve = share * curve + (1 - share) * knots
  return np.interp(grey, knots, curve).astype(np.float32)


def _collimate(
  grey: np.ndarray, rng: np.random.Generator, *, lungs: Box
) -> np.ndarray:
  """Blackens (rarely whitens) what lies outside a slightly turned rectangle."""
  h, w = grey.shape
  left, top, right, bottom = lungs
  away = np.where(rng.uniform(size=4) < 0.5, rng.uniform(0, 1, 4), 1.3)
  gap = 0.02
  x0, x1 = (left - gap) * (1 - away[0]), right + gap + away[2] * (1 - right)
  y0, y1 = (top - gap) * (1 - away[1]), bottom + gap + away[3] * (1 - bottom)
  corners = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)]) * (w, h)
  slant = rng.normal(0, 0.012, 4) * (w, h, w, h)
  outward = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
  corners += outward * np.abs(slant)[:, None]
  cover = raster.fill([(corners[None], np.ones(1))], size=grey.shape)
  cover = cover.clip(0, 1)
  tone = np.float32(
    rng.choice([0.0, rng.uniform(0, 0.2), 1.0], p=[0.6, 0.25, 0.15])
  )
  return grey * cover + tone * (1 - cover)


def _label(grey: np.ndarray, rng: np.random.Generator, *, lungs: Box) -> None:
  """Stamps a paper label or bare characters beside or above the lungs."""
  h, w = grey.shape
  height = rng.uniform(0.012, 0.05) * h
  width = height * rng.uniform(1, 7)
  x = rng.choice([rng.uniform(0, 0.25), rng.uniform(0.7, 0.97)]) * w
  top = rng.uniform(0, max(0.05, lungs[1])) if rng.uniform() < 0.7 else 0.9
  y = min(top, 0.95) * h
  window = (
    slice(int(y), int(y + height) + 1),
    slice(int(x), int(x + width) + 1),
  )
  part = grey[window]
  if not part.size:
    return
  paper = rng.uniform() < 0.5
  cells = (4, max(2, int(4 * width / height)))
  ink = rng.uniform(size=cells) < 0.45
  ink = raster.enlarge(ink.astype(np.float32), size=part.shape) > 0.5
  if paper:
    part[:] = np.where(ink, 0.05, 0.97)
  else:
    part[ink] = rng.uniform(0.6, 1.0)


def _edge_lines(grey: np.ndarray, rng: np.random.Generator) -> None:
  """Paints the edge of the sheet: thin bright or dark lines."""
  tone = rng.uniform(0, 1)
  wide = max(1, round(rng.uniform(0.002, 0.012) * max(grey.shape)))
  for side in np.flatnonzero(rng.uniform(size=4) < 0.5):
    part = (grey[:wide], grey[-wide:], grey[:, :wide], grey[:, -wide:])[side]
    part[:] = tone


def _jpeg(grey: np.ndarray, rng: np.random.Generator) -> np.ndarray:
  """Passes the image through lossy compression."""
  levels = np.clip(np.rint(grey * 255), 0, 255).astype(np.uint8)
  file = io.BytesIO()
  quality = int(rng.integers(35, 90))
  Image.fromarray(levels).save(file, "JPEG", quality=quality)
  return np.asarray(Image.open(file), np.float32) / 255
