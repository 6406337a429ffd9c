"""The bones of a phantom, drawn to fit its lungs.

Every bone is a batch of outlines in millimetres (the frame of `anatomy`) with
the attenuation that it adds. The cortex of a rib is a wide outline minus a
narrow one.
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from apppau_jax.phantoms import raster

_CLAVICLE = [(15, -98), (38, -104), (72, -118), (108, -133), (140, -139),
             (168, -134)]  # fmt: skip
_SCAPULA = [(176, -128), (152, -112), (136, -80), (130, -30), (134, 0),
            (142, -8), (152, -55), (166, -96)]  # fmt: skip


# Maps outlines [..., 2] in millimetres.
Bend = Callable[[np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Skeleton:
  """Outlines in millimetres; left and right are those of the patient.

  Attributes:
    left_clavicle: outline [m, 2].
    right_clavicle: outline [m, 2].
    spine: line [n, 2] through the vertebral bodies, from top to bottom.
    parts: all bones, including the clavicles, with their attenuation.
  """

  left_clavicle: np.ndarray
  right_clavicle: np.ndarray
  spine: np.ndarray
  parts: list[raster.Batch]

  def bent(self, bend: Bend) -> "Skeleton":
    """Returns the skeleton with every outline mapped by `bend`."""
    return Skeleton(
      bend(self.left_clavicle),
      bend(self.right_clavicle),
      bend(self.spine),
      [(bend(outlines), weight) for outlines, weight in self.parts],
    )


def draw_skeleton(
  rng: np.random.Generator,
  *,
  lungs: tuple[np.ndarray, np.ndarray],
  stretch: np.ndarray,
  sternum: tuple[float, float],
) -> Skeleton:
  """Draws the bones around the lungs of one chest.

  Args:
    rng: random generator.
    lungs: outlines [m, 2] of the patient's left and right lung.
    stretch: [2], size relative to the reference chest in x and y.
    sternum: distance of the sternum from the midline, and of the clavicles
      below their usual place, in millimetres.
  """
  yaw, lower = sternum
  # The spine moves in the opposite direction of the sternum, by less.
  spine = (_spine_line(rng) + np.array([-0.4 * yaw, 0])) * stretch
  left, right = (_clavicle(rng, stretch) * (side, 1) for side in (1, -1))
  left, right = (c + np.array([yaw, lower]) for c in (left, right))
  parts = _ribs(rng, stretch=stretch, lungs=lungs)
  parts += _shoulders(rng, stretch) + _vertebrae(rng, spine)
  parts += [(c[None], np.array([0.075])) for c in (left, right)]
  return Skeleton(left, right, spine, parts)


def _spine_line(rng: np.random.Generator) -> np.ndarray:
  y = np.linspace(-330, 420, 40)
  bend = rng.normal(0, 3) * np.sin(y / 110 + rng.uniform(0, 6))
  return np.stack([bend, y], axis=-1)


def _clavicle(rng: np.random.Generator, stretch: np.ndarray) -> np.ndarray:
  points = np.array(_CLAVICLE, np.float64)
  points[:, 1] += rng.normal(0, 6) + rng.normal(0, 0.08) * points[:, 0]
  points[:, 1] += rng.normal(0, 1.5, len(points))
  path = raster.spline(points)
  share = np.linspace(0, 1, len(path))
  width = np.interp(share, [0, 0.2, 0.6, 1], [17, 11, 10, 14])
  width *= rng.uniform(0.85, 1.15)
  return raster.ribbons(path[None], width[None])[0] * stretch


def _ribs(
  rng: np.random.Generator,
  *,
  stretch: np.ndarray,
  lungs: tuple[np.ndarray, np.ndarray],
) -> list[raster.Batch]:
  height = rng.uniform(-147, -139) + rng.uniform(22.2, 24.5) * np.arange(12)
  contrast = rng.uniform(0.55, 1.3)
  tilt = rng.uniform(0.75, 1.3)
  batches = []
  for side, lung in zip((1, -1), lungs):
    drop = tilt * (9 + 6.2 * np.arange(12) + rng.normal(0, 1.2, 12))
    lateral = np.stack([np.zeros(12), height + drop], axis=-1) * stretch
    lateral[:, 0] = _wall_x(lung, lateral[:, 1]) + 3
    paths = (
      _posterior(lateral, drop * stretch[1]),
      _anterior(lateral[:7], tilt * stretch[1]),
    )
    for path, weight, width in zip(paths, (0.1, 0.07), (9.0, 12.0)):
      wide = width * rng.uniform(0.85, 1.15, (len(path), 1))
      wide = wide * np.linspace(0.8, 1.1, path.shape[1])
      wide[10:] *= np.linspace(1, 0.35, path.shape[1])
      amount = contrast * weight * rng.uniform(0.85, 1.15, len(path))
      path = path * (side, 1)
      batches.append((raster.ribbons(path, wide), amount))
      # The marrow attenuates less than the cortex around it.
      batches.append((raster.ribbons(path, wide * 0.62), -0.4 * amount))
  return batches


def _posterior(lateral: np.ndarray, drop: np.ndarray) -> np.ndarray:
  """Returns arcs [12, n, 2] from the spine down to `lateral` [12, 2]."""
  # The last two ribs are floating ribs.
  reach = np.interp(np.arange(12), [9, 10, 11], [1, 0.62, 0.4])[:, None]
  t = reach * np.linspace(0, np.pi / 2, 18)
  start = 13.0
  x = start + (lateral[:, :1] - start) * np.sin(t) ** 0.92
  above = 0.3 + 0.7 * np.cos(t) - 0.3 * np.sin(t)
  y = lateral[:, 1:] - drop[:, None] * above - 6 * np.sin(2 * t)
  return np.stack([x, y], axis=-1)


def _anterior(lateral: np.ndarray, tilt: float) -> np.ndarray:
  """Returns arcs [k, n, 2] from `lateral` [k, 2] down to the cartilage."""
  number = np.arange(len(lateral))[:, None]
  t = np.linspace(0, np.pi / 2, 18)
  end = np.interp(number, [0, 6], [0.3, 0.62]) * lateral[:, :1]
  x = end + (lateral[:, :1] - end) * np.cos(t)
  y = lateral[:, 1:] + tilt * (26 + 5 * number) * np.sin(t) ** 1.1
  return np.stack([x, y], axis=-1)


def _wall_x(lung: np.ndarray, y: np.ndarray) -> np.ndarray:
  """Returns the distance of the chest wall from the midline at heights `y`."""
  outline = np.abs(lung) * (1, 0) + lung * (0, 1)
  wall = outline[np.argmin(outline[:, 1]) : np.argmax(outline.sum(axis=1)) + 1]
  return np.interp(y, np.maximum.accumulate(wall[:, 1]), wall[:, 0])


def _shoulders(
  rng: np.random.Generator, stretch: np.ndarray
) -> list[raster.Batch]:
  batches = []
  for side in (1, -1):
    move = rng.normal((11, 0), 6)
    blade = np.array(_SCAPULA, np.float64) + move
    closed = raster.spline(np.concatenate([blade, blade[:1]]))[:-1]
    edge = raster.ribbons(raster.spline(blade[2:])[None], 4.0)
    head = raster.rings(np.array([[193.0, -108.0]]) + move, np.array([25.0]))
    shaft = np.linspace((194.0, -100.0), (222.0, 190.0), 12)[None] + move
    for outline, weight in ((closed[None], 0.025), (edge, 0.03), (head, 0.025),
                            (raster.ribbons(shaft, 24.0), 0.04),
                            (raster.ribbons(shaft, 13.0), -0.015)):  # fmt: skip
      outline = outline * stretch * (side, 1)
      batches.append((outline, np.array([weight])))
  return batches


def _vertebrae(
  rng: np.random.Generator, spine: np.ndarray
) -> list[raster.Batch]:
  y = -300 + np.cumsum(np.linspace(15, 31, 30))
  contrast = rng.uniform(0.5, 1.3)
  x = np.interp(y, spine[:, 1], spine[:, 0])
  centre = np.stack([x, y], axis=-1)
  height, width = np.linspace(12, 25, 30), np.linspace(24, 42, 30)
  box = np.array([(-1, -1), (0, -0.86), (1, -1), (0.86, 0), (1, 1), (0, 0.86),
                  (-1, 1), (-0.86, 0)]) / 2  # fmt: skip
  bodies = centre[:, None] + box * np.stack([width, height], -1)[:, None]
  process = raster.rings(centre + np.array([0, 9]), 0.12 * width, points=12)
  offset = np.stack([0.32 * width, -0.12 * height], axis=-1)
  pedicle = [raster.rings(centre + offset * (s, 1), 0.1 * width, points=12)
             for s in (1, -1)]  # fmt: skip
  small = np.concatenate([process, *pedicle])
  return [
    (bodies, np.full(30, 0.05 * contrast)),
    (small, np.full(90, 0.03 * contrast)),
  ]
