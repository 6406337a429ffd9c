"""Attenuation to grey values: exposure, film or detector, borders, markers.

Nothing here depends on the finding: the random draws have a stream of their
own, and local equalisation uses the chest without finding.
"""

import dataclasses

import numpy as np
from scipy import ndimage

from apppau_jax.phantoms import raster

# Strokes of the marker letters in a box of 1 x 1, y down.
_LETTERS: dict[str, list[list[tuple[float, float]]]] = {
  "L": [[(0.1, 0), (0.1, 1)], [(0.1, 1), (0.85, 1)]],
  "R": [
    [(0.1, 0), (0.1, 1)],
    [(0.1, 0), (0.6, 0), (0.85, 0.12), (0.85, 0.4), (0.6, 0.52), (0.1, 0.52)],
    [(0.5, 0.52), (0.9, 1)],
  ],
  "P": [
    [(0.1, 0), (0.1, 1)],
    [(0.1, 0), (0.6, 0), (0.85, 0.12), (0.85, 0.42), (0.6, 0.55), (0.1, 0.55)],
  ],
  "A": [[(0.05, 1), (0.5, 0), (0.95, 1)], [(0.2, 0.65), (0.8, 0.65)]],
}


@dataclasses.dataclass(frozen=True)
class Exposure:
  """Parameters of one acquisition, on film or with a digital detector.

  Attributes:
    centre: attenuation that becomes mid grey.
    width: range of attenuation from black to white.
    equalise: share of local contrast equalisation, 0 (film) to 1 (digital).
    gamma: exponent of the grey values.
    floor: grey value of unattenuated rays; 0 is black.
    noise: noise at 512 pixels, in grey levels of 255.
    tilt: [2], change of exposure across the image.
    heel: decrease of exposure towards the corners.
    blur: unsharpness in millimetres.
    border: [4], fraction of the image that the collimator blackens at the left,
      top, right and bottom.
    corner: radius of the border's corners as a fraction of the image.
    marker: letter ("" for none), x, y and size as fractions of the image, grey.
    box: whether there is a white label above the marker.
  """

  centre: float
  width: float
  equalise: float
  gamma: float
  floor: float
  noise: float
  tilt: np.ndarray
  heel: float
  blur: float
  border: np.ndarray
  corner: float
  marker: tuple[str, float, float, float, float]
  box: bool


def draw_exposure(rng: np.random.Generator) -> Exposure:
  """Draws the parameters of one image; about a third looks like film."""
  analogue = rng.uniform() < 0.35
  right = rng.uniform() < 0.6
  x = rng.uniform(0.03, 0.12)
  border = np.where(rng.uniform(size=4) < 0.45, rng.uniform(0.005, 0.2, 4), 0)
  return Exposure(
    centre=rng.uniform(0.54, 0.7),
    width=rng.uniform(0.13, 0.19) if analogue else rng.uniform(0.19, 0.29),
    equalise=rng.uniform(0, 0.2) if analogue else rng.uniform(0.15, 0.5),
    gamma=rng.uniform(0.8, 1.25),
    floor=0.0 if analogue else rng.uniform(0, 0.16),
    noise=rng.uniform(1.0, 5.0),
    tilt=rng.normal(0, 0.035, 2),
    heel=rng.uniform(0, 0.1),
    blur=rng.uniform(0.5, 1.0),
    border=border if rng.uniform() < 0.5 else np.zeros(4),
    corner=rng.uniform(0, 0.05) if rng.uniform() < 0.5 else 0.0,
    marker=(
      ("R" if right else "L") if rng.uniform() < 0.85 else "",
      x if right else 1 - x - 0.04,
      rng.uniform(0.03, 0.14),
      rng.uniform(0.025, 0.045),
      rng.uniform(0.7, 1.0),
    ),
    box=bool(rng.uniform() < 0.3),
  )


def develop(
  attenuation: np.ndarray, normal: np.ndarray, *, exposure: Exposure
) -> np.ndarray:
  """Maps attenuation to grey values; high attenuation is white.

  Args:
    attenuation: float32 [h, w], 1 is about the mediastinum.
    normal: float [r, c], the same chest without finding on a coarse grid.
    exposure: parameters of the image.

  Returns:
    float32 [h, w] in [0, 1].
  """
  size = attenuation.shape
  rows, columns = normal.shape
  v = np.linspace(-1, 1, rows)[:, None]
  u = np.linspace(-1, 1, columns)
  field = exposure.tilt[0] * u + exposure.tilt[1] * v
  field = field - exposure.heel * (u**2 + v**2) / 2
  small = raster.enlarge(normal, size=(-(-rows // 4), -(-columns // 4)))
  local = ndimage.gaussian_filter(small, 6, mode="nearest", truncate=2.0)
  local = raster.enlarge(local, size=(rows, columns))
  # Equalisation moves the local mean towards mid grey, except in the air.
  body = np.clip(local / 0.3, 0, 1)
  shift = field - exposure.equalise * body * (local - exposure.centre)
  grey = attenuation + raster.enlarge(shift - exposure.centre, size=size)
  grey *= np.float32(-1 / (exposure.width * (1 - 0.3 * exposure.equalise)))
  np.exp(grey, out=grey)
  np.reciprocal(grey + 1, out=grey)
  if exposure.gamma != 1:
    np.power(grey, np.float32(exposure.gamma), out=grey)
  return exposure.floor + (1 - exposure.floor) * grey


def frame(
  grey: np.ndarray,
  *,
  exposure: Exposure,
  lungs: tuple[float, float, float, float],
) -> np.ndarray:
  """Adds the collimator's black border and the markers in place.

  Args:
    grey: float32 [h, w] in [0, 1].
    exposure: border and markers.
    lungs: left, top, right and bottom of the lungs as fractions of the image.
      The border never covers them; the markers may.

  Returns:
    `grey`.
  """
  h, w = grey.shape
  left, top, right, bottom = exposure.border
  x0, y0 = min(left, lungs[0] - 0.02), min(top, lungs[1] - 0.02)
  x1, y1 = max(1 - right, lungs[2] + 0.02), max(1 - bottom, lungs[3] + 0.02)
  if exposure.border.any():
    corners = np.array([x0, y0, x1, y1]) * (w, h, w, h)
    field = _rounded(corners, exposure.corner * w)
    grey *= raster.fill([(field, np.ones(1))], size=(h, w)).clip(0, 1)
  letter, x, y, size, tone = exposure.marker
  x, y, size = x * w, y * h, size * h
  if letter:
    _stamp(grey, _glyph(letter, (x, y), size), tone=tone)
  if exposure.box:
    y, size = y + 0.09 * h, 0.55 * size
    box = [(-0.4, -0.4), (2.7, -0.4), (2.7, 1.4), (-0.4, 1.4)]
    paper = np.array(box)[None] * size + (x, y)
    _stamp(grey, [(paper, np.ones(1))], tone=0.95)
    for place, name in enumerate("PA"):
      _stamp(grey, _glyph(name, (x + 1.25 * place * size, y), size), tone=0.05)
  return grey


def _rounded(box: np.ndarray, radius: float) -> np.ndarray:
  """Returns the outline [1, 32, 2] of a box (x0, y0, x1, y1)."""
  angle = np.linspace(0, np.pi / 2, 8)
  arc = np.stack([np.cos(angle), np.sin(angle)], axis=-1) - 1
  x0, y0, x1, y1 = box
  corners = []
  for place, turn in (((x1, y1), (1, 1)), ((x0, y1), (-1, 1)),
                      ((x0, y0), (-1, -1)), ((x1, y0), (1, -1))):  # fmt: skip
    piece = radius * arc * turn + place
    corners.append(piece if turn[0] == turn[1] else piece[::-1])
  return np.concatenate(corners)[None]


def _glyph(
  letter: str, at: tuple[float, float], height: float
) -> list[raster.Batch]:
  """Returns the strokes of a letter with its top left corner at `at`."""
  strokes = []
  for path in _LETTERS[letter]:
    line = np.array(path)[None] * (0.7 * height, height) + at
    strokes.append((raster.ribbons(line, 0.16 * height), np.ones(1)))
  return strokes


def _stamp(
  grey: np.ndarray, shapes: list[raster.Batch], *, tone: float
) -> None:
  """Paints shapes with one grey value in place."""
  window, ink = raster.stencil(shapes, size=grey.shape)
  grey[window] += ink.clip(0, 1) * (np.float32(tone) - grey[window])


def draw_noise(
  shape: tuple[int, int], *, exposure: Exposure, rng: np.random.Generator
) -> np.ndarray:
  """Draws slightly blurred noise, float32 [h, w] in grey levels of 255.

  A smaller image has less noise, since its pixels average over larger areas.
  """
  noise = rng.standard_normal(shape, np.float32)
  noise += ndimage.uniform_filter(noise, 2, mode="nearest")
  scale = np.clip(max(shape) / 512, 0.3, 2.0) * exposure.noise / 1.5
  noise *= np.float32(scale)
  return noise
