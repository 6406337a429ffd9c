"""Findings of a phantom: densities that look like tuberculosis or nodules.

A finding adds attenuation inside the lungs, or removes it in a cavity. Masks,
projection and exposure never depend on it.
"""

import dataclasses

import numpy as np
from scipy import ndimage

from apppau_jax.phantoms import raster


@dataclasses.dataclass(frozen=True)
class Densities:
  """Attenuation to add inside the lungs; 1 is about that of the mediastinum.

  Attributes:
    haze: float [r, c] on the coarse grid, >= 0.
    solid: outlines in millimetres that add attenuation.
    holes: outlines in millimetres of air, which replace haze and lung.
  """

  haze: np.ndarray
  solid: list[raster.Batch]
  holes: list[raster.Batch]


@dataclasses.dataclass(frozen=True)
class Site:
  """Where a finding may lie, on the coarse grid of r x c cells.

  Attributes:
    x: float [r, c], millimetres in the frame of `anatomy`.
    y: float [r, c], millimetres.
    right: float [r, c], coverage by the patient's right lung.
    left: float [r, c], coverage by the patient's left lung.
    texture: float [r, c], smooth noise of about unit variance.
  """

  x: np.ndarray
  y: np.ndarray
  right: np.ndarray
  left: np.ndarray
  texture: np.ndarray


def tuberculosis(
  site: Site, *, rng: np.random.Generator, advanced: bool = False
) -> Densities:
  """Draws patchy, mostly apical opacities, some with cavities or effusions.

  About a third of the cases are mild: one small and faint patch.

  Args:
    site: where the lungs are.
    rng: random generator.
    advanced: whether two of five cases have in addition a large effusion, a
      consolidated lobe or a lung that is white as a whole.
  """
  severity = float(rng.uniform(0, 1))
  haze = np.zeros_like(site.x)
  solid: list[raster.Batch] = []
  holes: list[raster.Batch] = []
  patches = 1 + int(severity * rng.uniform(1.5, 5.5))
  main = int(rng.integers(2))
  for _ in range(patches):
    lung = (site.left, site.right)[main if rng.uniform() < 0.7 else 1 - main]
    centre = _pick(site, rng, lung=lung, low=bool(rng.uniform() < 0.15))
    radius = rng.uniform(26, 40) + 24 * severity
    haze += lung * _patch(site, rng, centre=centre, radius=radius)
    solid.append(_nodes(rng, centre, radius=radius))
    if rng.uniform() < 0.15 + 0.3 * severity:
      wall, hole = _cavity(rng, centre + rng.normal(0, 0.1, 2) * radius)
      solid.append(wall)
      holes.append(hole)
  haze *= (0.35 + 0.35 * severity) / max(float(haze.max()), 1e-6)
  if rng.uniform() < 0.35 * severity:
    haze += _effusion(site, rng, lung=(site.left, site.right)[main])
  if advanced and rng.uniform() < 0.4:
    haze += _advanced(site, rng, lung=(site.left, site.right)[main])
  return Densities(haze, solid, holes)


def _advanced(
  site: Site, rng: np.random.Generator, *, lung: np.ndarray
) -> np.ndarray:
  """Draws fluid or consolidation between two heights of one lung."""
  inside = lung > 0.5
  top, bottom = site.y[inside].min(), site.y[inside].max()
  height = (site.y - top) / (bottom - top)
  slope = rng.normal(0, 0.0015) * (np.abs(site.x) - 80)
  first, last = {
    "effusion": (rng.uniform(0.35, 0.85), 2.0),
    "lobe": np.sort(rng.uniform(-0.1, 1.1, 2)),
    "white": (-1.0, 2.0),
  }[str(rng.choice(["effusion", "lobe", "white"], p=[0.2, 0.7, 0.1]))]
  soft = rng.uniform(0.02, 0.12)
  band = np.tanh((height + slope - first) / soft)
  band = band - np.tanh((height + slope - last) / soft)
  cloudy = 1 + rng.uniform(0, 0.3) * site.texture
  return lung * 0.5 * band * cloudy * rng.uniform(0.15, 0.55)


def nodules(site: Site, *, rng: np.random.Generator) -> Densities:
  """Draws one to three round densities of 5 to 30 mm with uneven margins."""
  count = int(rng.choice([1, 2, 3], p=[0.7, 0.2, 0.1]))
  solid = []
  for _ in range(count):
    lung = (site.left, site.right)[int(rng.integers(2))]
    centre = _pick(site, rng, lung=lung, low=None)
    diameter = 5 + 25 * rng.beta(1.6, 2.2)
    # Small nodules are denser (calcified); otherwise they would be invisible.
    peak = rng.uniform(0.08, 0.16) * (1 + 3.0 / diameter)
    rim = _uneven(rng, 0.06)
    shells = np.sqrt(1 - ((np.arange(6) + 0.5) / 6) ** 2)
    radius = 0.5 * diameter * shells[:, None] * rim
    outline = raster.rings(np.repeat(centre[None], 6, 0), radius, points=32)
    solid.append((outline, np.full(6, peak / 6)))
  return Densities(np.zeros_like(site.x), solid, [])


def _pick(
  site: Site, rng: np.random.Generator, *, lung: np.ndarray, low: bool | None
) -> np.ndarray:
  """Draws a point [2] in a lung: apical, basal (`low`) or anywhere (None)."""
  weight = ndimage.gaussian_filter(lung, 2.0, truncate=2.0) ** 4
  inside = lung > 0.5
  height = np.where(inside, site.y, np.nan)
  share = (site.y - np.nanmin(height)) / np.ptp(height[inside])
  if low is not None:
    share = 1 - share if low else share
    weight = weight * np.exp(-((np.maximum(share - 0.12, 0) / 0.18) ** 2))
  weight = (weight * inside).ravel()
  cell = int(rng.choice(weight.size, p=weight / weight.sum()))
  return np.array([site.x.flat[cell], site.y.flat[cell]])


def _patch(
  site: Site, rng: np.random.Generator, *, centre: np.ndarray, radius: float
) -> np.ndarray:
  """Draws an irregular opacity around `centre`, in [0, about 1]."""
  stretch = rng.uniform(0.7, 1.4)
  dx, dy = (site.x - centre[0]) * stretch, (site.y - centre[1]) / stretch
  core = np.exp(-(((dx**2 + dy**2) / radius**2) ** 1.3))
  turn = int(rng.integers(4))
  texture = np.rot90(site.texture, 2) if turn % 2 else site.texture
  texture = texture[:, ::-1] if turn // 2 else texture
  return rng.uniform(0.5, 1) * core * np.clip(0.7 + 0.6 * texture, 0, 1.8)


def _nodes(
  rng: np.random.Generator, centre: np.ndarray, *, radius: float
) -> raster.Batch:
  """Draws small dense spots scattered over a patch."""
  count = int(rng.integers(5, 28))
  at = centre + rng.normal(0, 0.5 * radius, (count, 2))
  size = rng.uniform(0.8, 3.2, count)
  return raster.rings(at, size, points=10), rng.uniform(0.03, 0.09, count)


def _cavity(
  rng: np.random.Generator, centre: np.ndarray
) -> tuple[raster.Batch, raster.Batch]:
  """Draws the wall of a cavity (three rings, soft outside) and its air."""
  inner = rng.uniform(5, 15)
  thick = rng.uniform(2.5, 6)
  rim = _uneven(rng, 0.12)
  radius = inner + thick * np.array([1.8, 1.3, 0.8])
  outline = raster.rings(
    np.repeat(centre[None], 3, 0), radius[:, None] * rim, points=32
  )
  hole = raster.rings(centre[None], inner * _uneven(rng, 0.05) * rim, points=32)
  amount = rng.uniform(0.10, 0.18)
  return (outline, np.full(3, amount / 3)), (hole, np.ones(1))


def _uneven(rng: np.random.Generator, amount: float) -> np.ndarray:
  """Draws factors [1, 32] around 1 for the radius of a closed outline."""
  angle = np.arange(32) * (2 * np.pi / 32)
  order = np.arange(2, 6)[:, None]
  wave = np.cos(order * angle + rng.uniform(0, 6.3, (4, 1)))
  return 1 + amount * (rng.normal(0, 1, (4, 1)) * wave / order).sum(0)[None]


def _effusion(
  site: Site, rng: np.random.Generator, *, lung: np.ndarray
) -> np.ndarray:
  """Draws fluid that blunts the costophrenic angle, with a meniscus."""
  inside = lung > 0.5
  lateral = np.abs(site.x)
  edge = lateral[inside].max()
  bottom = site.y[inside].max()
  rise = 0.5 * np.exp((lateral - edge) / 18) + 0.2
  level = bottom - rng.uniform(35, 80) * rise
  depth = 0.5 + 0.5 * np.tanh((site.y - level) / 8)
  return lung * depth * rng.uniform(0.22, 0.4)
