"""Outlines of the organs and vessels of one procedural chest, in millimetres.

The coordinate frame of the chest has x to the right of the image (the patient's
left), y downwards, and its origin in the midline just below the carina. The
view is frontal (PA): the patient's left lung lies on the right of the image.

The reference outlines were drawn by hand after textbook anatomy; no shape was
taken from a patient. `draw_chest` varies width, height, heart size, diaphragm,
asymmetry and vessels; `bones` varies the skeleton.
"""

import dataclasses

import numpy as np

from apppau_jax.phantoms import bones, raster
from apppau_jax.phantoms.variety import PLAIN, Variety

# The outline of a lung runs up the mediastinum (`_MEDIAL_*`), over the apex and
# down the chest wall (`_WALL`); the diaphragm (`_DOME_*`) closes it.
_WALL = [(61, -139), (82, -131), (100, -112), (114, -84), (125, -46),
         (134, 0), (140, 50), (142, 95)]  # fmt: skip
_MEDIAL_LEFT = [(88, 112), (93, 92), (85, 66), (69, 40), (51, 18), (39, 1),
                (35, -14), (38, -34), (32, -48), (24, -64), (25, -88),
                (30, -112), (42, -132)]  # fmt: skip
_MEDIAL_RIGHT = [(28, 106), (35, 82), (37, 55), (31, 28), (25, 2), (23, -30),
                 (23, -64), (25, -90), (31, -114), (43, -133)]  # fmt: skip
_DOME_LEFT = [(139, 135), (128, 120), (114, 111), (100, 108), (88, 112)]
_DOME_RIGHT = [(139, 130), (123, 110), (99, 97), (73, 92), (48, 96), (28, 106)]
# By how many millimetres the outlines of the readers of Montgomery and Shenzhen
# differ from the above (means over two thirds of either set); see
# `Variety.readers`. Apices lie nearer to the midline, and domes higher above
# the costophrenic angles.
_READERS_WALL = [(-10, -1), (-2, -1), (2, 0), (3, 0), (3, 0), (3, 0), (3, 0),
                 (3, 0)]  # fmt: skip
_READERS_MEDIAL_LEFT = [-4, -6, -3, 2, 6, 8, 8, 3, 0, -2, -4, -12, -16]
_READERS_MEDIAL_RIGHT = [4, 8, 7, 5, 5, 1, -4, -9, -16, -20]
_READERS_DOME_LEFT = [6, -5, -6, -3, 0]
_READERS_DOME_RIGHT = [6, -6, -7, -8, -10, -12]
_READERS_HEART = [-4, -7, -6, -4, -2, 0, 2, 4, 2, -3, -5, -3, 0, 0]
# Clockwise from the right cardiophrenic angle; x < 0 is the patient's right.
_HEART = [(-29, 106), (-36, 82), (-38, 55), (-31, 28), (-20, 8), (6, -4),
          (32, -6), (45, 10), (69, 40), (85, 66), (94, 92), (88, 113),
          (58, 122), (18, 118)]  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Chest:
  """One chest in the frame of this module.

  Attributes:
    left_lung: outline [m, 2] in millimetres; `right_lung` and `heart` likewise.
    right_lung: outline of the patient's right lung.
    heart: outline of the heart.
    skeleton: the bones.
    vessels: outlines of the lung's vessels and what each adds.
    airways: outlines of trachea and main bronchi and what each removes.
    stretch: [2], size relative to the reference chest in x and y.
    girth: soft tissue outside the ribs; 1 is the average.
    breast: attenuation of the breasts, 0 for none.
    arm_angle: angle between arm and trunk in radians.
    gas: [3], x, y and size of the gas bubble in the stomach.
  """

  left_lung: np.ndarray
  right_lung: np.ndarray
  heart: np.ndarray
  skeleton: bones.Skeleton
  vessels: list[raster.Batch]
  airways: list[raster.Batch]
  stretch: np.ndarray
  girth: float
  breast: float
  arm_angle: float
  gas: np.ndarray


@dataclasses.dataclass(frozen=True)
class _Build:
  """Parameters that the parts of one chest share."""

  stretch: np.ndarray
  heart: float
  dome_left: float
  dome_right: float
  yaw: float
  readers: float

  def fit(self, points: np.ndarray) -> np.ndarray:
    """Maps reference coordinates to this chest; a large heart moves lungs."""
    points = np.array(points, np.float64)
    x, y = points[..., 0], points[..., 1]
    near = np.clip((y + 10) / 50, 0, 1) * np.clip((135 - np.abs(x)) / 40, 0, 1)
    points[..., 0] = x * (1 + (self.heart - 1) * near)
    return points * self.stretch


def draw_chest(rng: np.random.Generator, variety: Variety = PLAIN) -> Chest:
  """Draws one chest at random; one state of `rng` always gives one chest."""

  def draw(mean, deviation, low, high):
    deviation = np.multiply(variety.spread, deviation)
    low, high = (mean + variety.spread * (x - mean) for x in (low, high))
    return np.clip(rng.normal(mean, deviation), low, high)

  build = _Build(
    stretch=draw(1, [0.06, 0.09], 0.82, 1.2),
    heart=float(draw(0.97, 0.1, 0.75, 1.2)),
    dome_left=float(draw(0, 8, -18, 14)) + variety.lift[0],
    dome_right=float(draw(0, 8, -18, 14)) + variety.lift[1],
    yaw=float(draw(0, 4, -9, 9)),
    readers=variety.readers,
  )
  left, right = _lung(build, rng, left=True), _lung(build, rng, left=False)
  skeleton = bones.draw_skeleton(
    rng,
    lungs=(left, right),
    stretch=build.stretch,
    sternum=(build.yaw, variety.clavicles),
  )
  gas = build.fit(rng.uniform((60, 122), (105, 140)))
  bend = variety.bend
  return Chest(
    left_lung=bend(left),
    right_lung=bend(right),
    heart=bend(_heart(build)),
    skeleton=skeleton.bent(bend),
    vessels=_bent(
      _vessels(build, rng, side=1) + _vessels(build, rng, side=-1), bend
    ),
    airways=_bent(_airways(build, rng), bend),
    stretch=build.stretch,
    girth=float(draw(1, 0.12, 0.82, 1.4)),
    breast=float(max(rng.uniform(-0.8, 1), 0)),
    arm_angle=float(rng.uniform(0.12, 0.75)),
    gas=np.append(gas, rng.uniform(0, 1)),
  )


def _bent(batches: list[raster.Batch], bend: bones.Bend) -> list[raster.Batch]:
  return [(bend(outlines), weight) for outlines, weight in batches]


def _lung(build: _Build, rng: np.random.Generator, *, left: bool) -> np.ndarray:
  medial = np.array(_MEDIAL_LEFT if left else _MEDIAL_RIGHT, np.float64)
  dome = np.array(_DOME_LEFT if left else _DOME_RIGHT, np.float64)
  wall = np.array(_WALL, np.float64)
  shift = build.dome_left if left else build.dome_right
  medial[:, 0] += build.readers * np.array(
    _READERS_MEDIAL_LEFT if left else _READERS_MEDIAL_RIGHT
  )
  dome[:, 1] += build.readers * np.array(
    _READERS_DOME_LEFT if left else _READERS_DOME_RIGHT
  )
  wall += build.readers * np.array(_READERS_WALL)
  lift = shift * np.linspace(0.4, 1.3, len(dome))
  medial[:, 0] += rng.normal(0, 1.2, len(medial))
  wall += rng.normal(0, 1.8, wall.shape) + rng.normal(0, 3, 2)
  dome[1:-1, 1] += rng.normal(0, 2.5, len(dome) - 2)
  dome[:, 1] += lift
  # The dome slides along the border of the heart; points below it are dropped.
  medial[0] = dome[-1]
  medial[1:, 1] += lift[-1] * np.clip(medial[1:, 1] / 105, 0, 1)
  side = np.concatenate([medial, wall, dome[:1]])
  outline = np.concatenate([raster.spline(side), raster.spline(dome)[1:-1]])
  return build.fit(outline) * ((1, 1) if left else (-1, 1))


def _heart(build: _Build) -> np.ndarray:
  points = np.array(_HEART, np.float64)
  points[:, 0] += build.readers * np.array(_READERS_HEART)
  low = np.clip(points[:, 1] / 105, 0, 1)
  shift = np.where(points[:, 0] > 40, build.dome_left, build.dome_right)
  points[:, 1] += 1.2 * shift * low
  closed = np.concatenate([points[-2:], points, points[:3]])
  # An overlap of two spans at either end makes the closed curve smooth.
  return build.fit(raster.spline(closed)[16:-16])


def _vessels(
  build: _Build, rng: np.random.Generator, *, side: int, count: int = 26
) -> list[raster.Batch]:
  """Draws tapering vessels from the hilum, their branches and the hilum."""
  hilum = np.array([38.0, 0.0 if side > 0 else 10.0])
  angle = np.linspace(-1.4, 1.65, count) + rng.normal(0, 0.15, count)
  start = hilum + rng.normal(0, 1, (count, 2)) * (6, 16)
  length = rng.uniform(40, 95, count) * np.where(angle > 0.3, 1.15, 0.8)
  # Gravity widens the lower vessels.
  width = rng.uniform(2.0, 4.2, count) * np.where(angle > 0.3, 1.2, 0.85)
  contrast = rng.uniform(0.6, 1.3)
  trunk = _branches(rng, start, angle=angle, length=length)
  pick = np.repeat(np.arange(count), 4)
  turn = rng.choice([-1, 1], len(pick)) * rng.uniform(0.35, 1.0, len(pick))
  twig = _branches(
    rng,
    trunk[pick, rng.integers(2, 12, len(pick))],
    angle=angle[pick] + turn,
    length=length[pick] * rng.uniform(0.25, 0.6, len(pick)),
  )
  batches = []
  for path, wide in ((trunk, width), (twig, width[pick] * 0.5)):
    taper = wide[:, None] * np.linspace(1, 0.25, path.shape[1])
    outline = raster.ribbons(path, taper) * build.stretch * (side, 1)
    batches.append((outline, contrast * (0.006 + 0.013 * wide)))
  knots = rng.normal(0, 1, (14, 2)) * (6, 13) + hilum - (6, 0)
  blobs = raster.rings(knots, rng.uniform(3, 8, 14), points=12)
  blobs = blobs * build.stretch * (side, 1)
  return [*batches, (blobs, np.full(14, 0.022 * contrast))]


def _branches(
  rng: np.random.Generator,
  start: np.ndarray,
  *,
  angle: np.ndarray,
  length: np.ndarray,
) -> np.ndarray:
  """Draws bent paths [k, 14, 2] from `start` [k, 2]; angle 0 is lateral."""
  t = np.linspace(0, 1, 14)
  bend = rng.normal(0, 0.5, len(angle))[:, None] * t
  wave = 0.14 * np.sin(8 * t + rng.uniform(0, 6, len(angle))[:, None])
  heading = angle[:, None] + bend + wave
  step = np.stack([np.cos(heading), np.sin(heading)], axis=-1)
  return start[:, None] + length[:, None, None] * np.cumsum(step, axis=1) / 14


def _airways(build: _Build, rng: np.random.Generator) -> list[raster.Batch]:
  lean = rng.normal(-3, 3) + 0.6 * build.yaw
  bottom = (lean - 2, -22)
  trachea = raster.spline(
    [(0, -260), (0, -150), (lean, -90), (lean, -50), bottom]
  )
  right = raster.spline([bottom, (lean - 16, 2), (lean - 30, 22)])
  left = raster.spline([bottom, (lean + 18, -6), (lean + 42, 4)])
  batches = []
  for path, width, weight in ((trachea, 17, 0.07), (right, 12, 0.05),
                              (left, 11, 0.04)):  # fmt: skip
    wide = raster.ribbons(path[None], width)
    batches.append((wide * build.stretch, np.array([weight])))
  return batches
