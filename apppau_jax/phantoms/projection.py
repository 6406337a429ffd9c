"""The attenuation of X-rays on their way through a phantom's chest.

Attenuation 0 is air, 1 is about the mediastinum, and an aerated lung within the
trunk has 0.25 to 0.45. Smooth parts (trunk, arms, depth of the lungs) are
computed on a coarse grid over the image, edges at full resolution.
"""

import dataclasses

import numpy as np
from scipy import ndimage

from apppau_jax.phantoms import anatomy, findings, raster
from apppau_jax.phantoms.variety import PLAIN, Depth, Variety

# Cells of the coarse grid along the longer side of the image.
_GRID = 144

# Share of the air in the lungs that lies before and behind their outlines.
_BEYOND = 0.25

# Half width (mm) and thickness of neck, shoulders and trunk by height (mm).
_TRUNK_Y = [-420, -250, -225, -190, -172, -155, -135, -110, -70, -35, 20, 90,
            150, 220, 300, 420]  # fmt: skip
_TRUNK_X = [78, 74, 58, 60, 78, 128, 172, 196, 190, 172, 164, 162, 160, 156,
            164, 178]  # fmt: skip
_TRUNK_Z = [0.85, 0.8, 0.6, 0.56, 0.54, 0.54, 0.6, 0.7, 0.82, 0.88, 0.93, 1.08,
            1.18, 1.2, 1.15, 1.1]  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Pose:
  """Maps millimetres of the chest to fractions of the image's longer side.

  Attributes:
    matrix: [2, 2], rotation times scale.
    offset: [2].
  """

  matrix: np.ndarray
  offset: np.ndarray

  def place(self, points: np.ndarray, *, scale: float) -> np.ndarray:
    """Maps millimetres [..., 2] to pixels; the longer side has `scale`."""
    flat = points.reshape(-1, 2) @ (scale * self.matrix.T)
    return (flat + scale * self.offset).reshape(points.shape)

  def batches(
    self, batches: list[raster.Batch], *, scale: float
  ) -> list[raster.Batch]:
    """Maps the outlines of batches to pixels; weights are unchanged."""
    return [(self.place(o, scale=scale), w) for o, w in batches]

  def grid(self, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Returns x and y in millimetres of the cells of a grid over the image."""
    row, column = ((np.arange(n) + 0.5) / max(shape) for n in shape)
    dx, dy = column - self.offset[0], row[:, None] - self.offset[1]
    (a, b), (c, d) = np.linalg.inv(self.matrix)
    x, y = a * dx + b * dy, c * dx + d * dy
    return x.astype(np.float32), y.astype(np.float32)


@dataclasses.dataclass(frozen=True)
class Scene:
  """A positioned chest without finding.

  Attributes:
    chest: outlines.
    pose: position in the image.
    size: (h, w) of the image in pixels.
    site: where a finding may lie.
    coarse: float [r, c], smooth part of the attenuation with the lungs' air.
    tissue: float [r, c], smooth part of the attenuation without it.
    air: float [r, c], attenuation that the air within the outlines removes.
    beyond: float [r, c], the same outside of the outlines; None if `tissue`
      lacks it already.
    lungs: float32 [h, w], coverage by the lungs.
    variety: what distinguishes this phantom.
  """

  chest: anatomy.Chest
  pose: Pose
  size: tuple[int, int]
  site: findings.Site
  coarse: np.ndarray
  tissue: np.ndarray
  air: np.ndarray
  lungs: np.ndarray
  variety: Variety = PLAIN
  beyond: np.ndarray | None = None


def make_scene(
  chest: anatomy.Chest,
  *,
  pose: Pose,
  size: tuple[int, int],
  rng: np.random.Generator,
  variety: Variety = PLAIN,
) -> Scene:
  """Positions the chest and computes everything that no finding changes."""
  rows, columns = (max(8, round(_GRID * s / max(size))) for s in size)
  shape = (rows, columns)
  x, y = pose.grid(shape)
  right, left = (
    _cover([lung], pose=pose, size=shape)
    for lung in (chest.right_lung, chest.left_lung)
  )
  cell = max(shape) * np.sqrt(np.linalg.det(pose.matrix))  # cells per mm
  both = left + right
  clouds = _clouds(rng)[:rows, :columns]
  tissue = _tissue(chest, x=x, y=y, variety=variety) + 0.012 * clouds
  heart = _cover([chest.heart], pose=pose, size=shape)
  tissue += 0.07 * ndimage.gaussian_filter(heart, 6 * cell, truncate=2.5)
  air = _air(both, y, cell=cell) * (1 + 0.05 * clouds)
  inside, beyond, blurred = (1 - _BEYOND) * air, None, _BEYOND * air
  if variety.depth:
    air, beyond, wall = _layers(both, y, cell=cell, depth=variety.depth)
    inside = air = air * (1 + 0.05 * clouds)
    tissue, blurred = tissue + wall, 0.0
  return Scene(
    chest=chest,
    pose=pose,
    size=size,
    site=findings.Site(x, y, right, left, clouds),
    coarse=tissue - air * both,
    tissue=tissue - blurred * (1 - both),
    air=inside,
    lungs=_cover([chest.left_lung, chest.right_lung], pose=pose, size=size),
    variety=variety,
    beyond=beyond,
  )


def project(
  scene: Scene, densities: findings.Densities | None, *, blur: float
) -> np.ndarray:
  """Returns the attenuation of every pixel, float32 [h, w].

  Args:
    scene: the positioned chest.
    densities: the finding, or None for a normal chest.
    blur: standard deviation of the unsharpness in millimetres.
  """
  chest, size, lungs = scene.chest, scene.size, scene.lungs
  variety = scene.variety
  scale = max(size)
  # Two scan lines per pixel are enough because of the blur that follows.
  vessels = scene.pose.batches(chest.vessels, scale=scale)
  inner = raster.fill(vessels, size=size, lines=2)
  np.minimum(inner, 0.12, out=inner)
  inner -= raster.enlarge(scene.air, size=size)
  if densities is not None:
    inner += _density(scene, densities)
  bones = [(o, variety.bones * w) for o, w in chest.skeleton.parts]
  bones = scene.pose.batches([*bones, *variety.objects], scale=scale)
  airways = [(o, -w) for o, w in scene.pose.batches(chest.airways, scale=scale)]
  total = raster.fill(bones + airways, size=size, lines=2)
  if variety.gas:
    gas = scene.pose.batches([*variety.gas], scale=scale)
    window, bubbles = raster.stencil(gas, size=size)
    total[window] -= np.minimum(bubbles, 0.25) * (1 - lungs[window])
  total += inner * lungs
  if scene.beyond is not None:
    total -= raster.enlarge(scene.beyond, size=size) * (1 - lungs)
  millimetre = scale * np.sqrt(np.linalg.det(scene.pose.matrix))
  total = ndimage.gaussian_filter(total, blur * millimetre, truncate=2.5)
  return total + raster.enlarge(scene.tissue, size=size)


def _cover(
  outlines: list[np.ndarray], *, pose: Pose, size: tuple[int, int]
) -> np.ndarray:
  one = np.ones(1)
  placed = [(pose.place(o, scale=max(size))[None], one) for o in outlines]
  return raster.fill(placed, size=size).clip(0, 1)


def _clouds(rng: np.random.Generator) -> np.ndarray:
  """Draws smooth noise of about unit variance: the sum of three octaves."""
  total = np.zeros((_GRID, _GRID), np.float32)
  for cells, amount in ((9, 0.6), (20, 0.6), (48, 0.55)):
    octave = rng.standard_normal((cells, cells), np.float32)
    total += amount * 1.5 * raster.enlarge(octave, size=total.shape)
  return total


def _tissue(
  chest: anatomy.Chest, *, x: np.ndarray, y: np.ndarray, variety: Variety
) -> np.ndarray:
  """Returns trunk, arms, breasts, spine and abdomen on the coarse grid."""
  u, v = x / chest.stretch[0], y / chest.stretch[1]
  half = np.interp(v, _TRUNK_Y, _TRUNK_X) * (0.4 + 0.6 * chest.girth)
  trunk = np.interp(v, _TRUNK_Y, _TRUNK_Z) * (0.75 + 0.25 * chest.girth)
  trunk *= np.sqrt(np.clip(1 - np.abs(u / half) ** variety.trunk, 0, 1))
  trunk *= np.interp(v, [90, 140], [1, variety.abdomen])
  limbs = _limbs(u, v, angle=chest.arm_angle)
  # A quadratic sum keeps shoulder and trunk from counting twice.
  total = np.sqrt(trunk**2 + limbs**2) + chest.breast * _breasts(u, v)
  bend = np.interp(y, chest.skeleton.spine[:, 1], chest.skeleton.spine[:, 0])
  total += 0.11 * np.exp(
    -np.square((x - bend) / 17) - np.square(np.square((x - bend) / 20))
  )
  gx, gy, amount = chest.gas
  inside = np.square((x - gx) / 26) + np.square((y - gy) / 14)
  inside += 0.3 * np.sin(x / 9 + 20 * amount) * np.sin(y / 7)
  total -= 0.2 * amount / (1 + np.exp(np.clip(5 * inside - 5, -9, 9)))
  return total


def _limbs(u: np.ndarray, v: np.ndarray, *, angle: float) -> np.ndarray:
  """Returns the upper arms: capsules that start at the shoulders."""
  u, sine, cosine = np.abs(u), np.sin(angle), np.cos(angle)
  t = np.clip((u - 188) * sine + (v + 92) * cosine, 0, 330)
  far = np.square(u - 188 - t * sine) + np.square(v + 92 - t * cosine)
  return 0.42 * np.sqrt(np.clip(1 - far / 44**2, 0, 1))


def _breasts(u: np.ndarray, v: np.ndarray) -> np.ndarray:
  far = np.square((np.abs(u) - 88) / 64) + np.square((v - 66) / 60)
  soft = np.sqrt(np.clip(1 - far, 0, 1)) * np.interp(v, [0, 120], [0.5, 1.1])
  return 0.24 * soft


def _layers(
  lungs: np.ndarray, y: np.ndarray, *, cell: float, depth: Depth
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Returns the air in the lungs, that beyond them, and the wall."""

  def blurred(field, millimetres):
    return ndimage.gaussian_filter(field, millimetres * cell, truncate=2.5)

  from_left = np.maximum.accumulate(lungs, axis=1)
  from_right = np.maximum.accumulate(lungs[:, ::-1], axis=1)[:, ::-1]
  # The chest between the walls, and all that lies below the lungs.
  chest = np.maximum.accumulate(np.minimum(from_left, from_right), axis=0)
  rise = np.clip(2 * blurred(chest, depth.rise) - 1, 0, 1) ** depth.power
  air = depth.air * rise * np.interp(y, [-60, 20, 130], [1, 1, depth.base])
  beyond = depth.beyond * air * chest * blurred(lungs, depth.beyond_mm)
  air = air * (1 - depth.hilar * np.clip(2 - 2 * blurred(lungs, 6), 0, 1))
  edge = blurred(chest, depth.wall_mm)
  wall = depth.wall * 4 * edge * (1 - edge)
  wall *= np.interp(y, [-140, -90], [depth.apex, 1])
  return air, np.minimum(beyond, depth.air), wall


def _air(lungs: np.ndarray, y: np.ndarray, *, cell: float) -> np.ndarray:
  """Returns the depth of air, which decreases towards walls and diaphragm."""
  deep = ndimage.gaussian_filter(lungs, 16 * cell, truncate=2.5)
  near = ndimage.gaussian_filter(lungs, 6 * cell, truncate=2.5)
  base = np.interp(y, [-60, 20, 130], [1, 0.97, 0.8])
  return (0.24 * near + 0.46 * deep) * base


def _density(scene: Scene, densities: findings.Densities) -> np.ndarray:
  """Returns the finding at full resolution; a cavity contains air only."""
  scale = max(scene.size)
  haze = raster.enlarge(densities.haze, size=scene.size).clip(0, None)
  if densities.solid:
    solid = scene.pose.batches(densities.solid, scale=scale)
    window, covered = raster.stencil(solid, size=scene.size)
    haze[window] += covered
  if densities.holes:
    holes = scene.pose.batches(densities.holes, scale=scale)
    window, hole = raster.stencil(holes, size=scene.size)
    hole = hole.clip(0, 1)
    haze[window] -= hole * (haze[window] + 0.015)
  return haze
