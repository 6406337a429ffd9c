"""What makes phantoms differ as the films of many hospitals do.

The phantoms of the tutorial are alike: healthy bodies on good films. A wide
phantom has in addition a body of any build, air of any depth at the edge of
the lungs, gas in the bowel, wires and tubes, any exposure and processing, and
the borders and labels of real films. The ranges follow the literature on
radiographic technique and the look of the training films of public data sets;
they are wider than any of these, as domain randomisation asks for (Tobin et
al. 2017).
"""

import dataclasses

import numpy as np

from apppau_jax.phantoms import raster

# Heights (mm) at which the width of a body varies.
_HEIGHTS = [-150, -105, -60, 0, 60, 115]


@dataclasses.dataclass(frozen=True)
class Depth:
  """How deep the air in a lung and the tissue of the chest's wall are.

  Towards the wall and the apex the air ends at the outline, as in a cylinder
  that is seen from the front, and the rays run along the wall. Heart and domes
  are round: air reaches before and behind them.

  Attributes:
    air: attenuation that the air removes where it is deepest.
    base: the same relative to it, at the level of the domes.
    rise: millimetres within which the depth rises from the wall.
    power: of the rise; 0.5 is about a cylinder.
    hilar: share of the depth that is missing at the outline's inner side.
    beyond: air beyond heart and domes, relative to that in the lung.
    beyond_mm: distance within which it ends.
    wall: attenuation that the wall adds where rays run along it.
    wall_mm: its extent on both sides of the outline.
    apex: the same relative to `wall`, at the apex.
  """

  air: float
  base: float
  rise: float
  power: float
  hilar: float
  beyond: float
  beyond_mm: float
  wall: float
  wall_mm: float
  apex: float


@dataclasses.dataclass(frozen=True, eq=False)
class Variety:
  """How one phantom differs from those of the tutorial; defaults change none.

  Attributes:
    spread: factor of the deviations and limits of body and pose.
    lift: [2], millimetres by which the left and right dome move down.
    readers: how far the outlines follow those of the readers of Montgomery and
      Shenzhen; 0 is the reference outline of `anatomy`, 1 their mean.
    widths: [6], factors of the chest's width at six heights.
    waves: [n, 5], sine waves that bend all outlines: amplitude in x and y
      (mm), frequency in x and y (1 / mm), phase.
    clavicles: millimetres by which the clavicles lie lower.
    squash: width of the image relative to its height before it was made
      square.
    depth: of air and wall; None: air decreases towards all of the outline
      alike, and the wall is that of the trunk.
    trunk: exponent of the trunk's cross-section; 2 is an ellipse.
    bones: factor of the attenuation of bones.
    abdomen: factor of the attenuation below the domes.
    gas: outlines in millimetres of gas in stomach and bowel; weight > 0.
    objects: outlines in millimetres of wires, tubes and electrodes.
  """

  spread: float = 1.0
  lift: tuple[float, float] = (0.0, 0.0)
  readers: float = 0.0
  widths: np.ndarray | None = None
  waves: np.ndarray | None = None
  clavicles: float = 0.0
  squash: float = 1.0
  depth: Depth | None = None
  trunk: float = 2.0
  bones: float = 1.0
  abdomen: float = 1.0
  gas: tuple[raster.Batch, ...] = ()
  objects: tuple[raster.Batch, ...] = ()

  def bend(self, points: np.ndarray) -> np.ndarray:
    """Bends outlines [..., 2] in millimetres; neighbours move alike."""
    if self.widths is not None:
      factor = np.interp(points[..., 1], _HEIGHTS, self.widths)
      points = np.stack([points[..., 0] * factor, points[..., 1]], axis=-1)
    if self.waves is None:
      return points
    phase = points @ self.waves[:, 2:4].T + self.waves[:, 4]
    return points + np.sin(phase) @ self.waves[:, :2]


PLAIN = Variety()


def draw_variety(rng: np.random.Generator) -> Variety:
  """Draws what distinguishes one wide phantom; one state gives one."""
  lift = np.zeros(2)
  if rng.uniform() < 0.25:
    lift[rng.integers(2)] = rng.uniform(-52, -15)
  return Variety(
    spread=rng.uniform(1.0, 1.7),
    lift=(float(lift[0]), float(lift[1])),
    readers=rng.normal(1, 0.3),
    widths=np.clip(rng.normal(1, 0.06, len(_HEIGHTS)), 0.86, 1.16),
    waves=_waves(rng),
    clavicles=rng.normal(12, 12),
    squash=float(np.exp(rng.normal(0.04, 0.13)).clip(0.78, 1.36)),
    depth=Depth(
      air=rng.uniform(0.5, 0.8),
      base=rng.uniform(0.8, 1.15),
      rise=rng.uniform(8, 20),
      power=rng.uniform(0.4, 1.2),
      hilar=rng.uniform(0, 0.4),
      beyond=rng.uniform(0.7, 1.8),
      beyond_mm=rng.uniform(8, 20),
      wall=rng.uniform(0.02, 0.3),
      wall_mm=rng.uniform(6, 16),
      apex=rng.uniform(-0.2, 0.6),
    ),
    trunk=rng.uniform(2, 4.5),
    bones=rng.uniform(0.8, 2.4),
    abdomen=rng.uniform(0.8, 1.25),
    gas=_gas(rng),
    objects=_objects(rng),
  )


def _waves(rng: np.random.Generator, count: int = 6) -> np.ndarray:
  length = rng.uniform(70, 260, count)
  angle = rng.uniform(0, 2 * np.pi, count)
  size = rng.normal(0, 0.012, (count, 2)) * length[:, None]
  wave = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
  phase = rng.uniform(0, 2 * np.pi, (count, 1))
  return np.concatenate(
    [size, 2 * np.pi * wave / length[:, None], phase], axis=1
  )


def _gas(rng: np.random.Generator) -> tuple[raster.Batch, ...]:
  """Draws bubbles below the domes, mostly below the left one."""
  count = int(rng.choice([0, 1, 3, 8], p=[0.15, 0.35, 0.3, 0.2]))
  if not count:
    return ()
  near = rng.uniform(size=count) < 0.6
  centre = np.where(
    near[:, None],
    rng.normal((82, 134), (20, 14), (count, 2)),
    rng.uniform((-130, 140), (130, 270), (count, 2)),
  )
  radius = 5 + 27 * rng.uniform(0, 1, (count, 1)) ** 1.5
  radius = radius * _uneven(rng, count)
  rings = raster.rings(centre, radius, points=24)
  rings[..., 0] = centre[:, :1] + 1.3 * (rings[..., 0] - centre[:, :1])
  return ((rings, rng.uniform(0.04, 0.3, count)),)


def _uneven(rng: np.random.Generator, count: int) -> np.ndarray:
  """Draws factors [count, 24] around 1 for radii of closed outlines."""
  angle = np.arange(24) * (2 * np.pi / 24)
  order = np.arange(1, 5)[:, None]
  wave = np.cos(order * angle + rng.uniform(0, 6.3, (count, 4, 1)))
  return 1 + 0.16 * (rng.normal(0, 1, (count, 4, 1)) * wave).sum(1)


def _objects(rng: np.random.Generator) -> tuple[raster.Batch, ...]:
  """Draws what lies on or in a patient; most patients have nothing."""
  batches: list[raster.Batch] = []
  if rng.uniform() < 0.12:
    batches += _wires(rng)
  if rng.uniform() < 0.1:
    batches.append(_tube(rng))
  if rng.uniform() < 0.05:
    batches += _pacemaker(rng)
  if rng.uniform() < 0.12:
    batches.append(_buttons(rng))
  return tuple(batches)


def _wires(rng: np.random.Generator) -> list[raster.Batch]:
  """Draws electrodes with their wires."""
  count = int(rng.integers(1, 5))
  at = rng.uniform((-130, -110), (130, 120), (count, 2))
  middle = at + rng.normal(0, 45, (count, 2))
  end = rng.uniform((-200, -150), (200, 230), (count, 2))
  paths = np.stack([
    raster.spline(np.stack(path)) for path in zip(at, middle, end)
  ])  # fmt: skip
  wires = raster.ribbons(paths, rng.uniform(0.8, 2.0))
  pads = raster.rings(at, rng.uniform(4, 10, count))
  return [
    (wires, rng.uniform(0.03, 0.15, count)),
    (pads, rng.uniform(0.03, 0.12, count)),
  ]


def _tube(rng: np.random.Generator) -> raster.Batch:
  """Draws a tube from the neck into the chest or the stomach."""
  x = rng.normal(0, 8, 5) + np.array([0, 0, 0, 4, 12]) * rng.normal(0, 1.5)
  path = np.stack([x, [-260, -150, -60, 40, rng.uniform(60, 180)]], axis=-1)
  wide = raster.ribbons(raster.spline(path)[None], rng.uniform(1.5, 9))
  return wide, rng.uniform(0.02, 0.08, 1)


def _pacemaker(rng: np.random.Generator) -> list[raster.Batch]:
  side = rng.choice([-1.0, 1.0])
  at = np.array([side * rng.uniform(85, 125), rng.uniform(-105, -75)])
  case = raster.rings(at[None], np.array([rng.uniform(20, 28)]))
  tip = rng.uniform((5, 60), (60, 110))
  path = np.array([at, (side * 20, -115), (-18, -50), (-15, 30), tip])
  lead = raster.spline(path)
  wire = raster.ribbons(lead[None], 2.2)
  return [(case, np.array([0.5])), (wire, np.array([0.12]))]


def _buttons(rng: np.random.Generator) -> raster.Batch:
  count = int(rng.integers(1, 7))
  top, bottom = sorted(rng.uniform(-170, 180, 2).tolist())
  y = np.linspace(top, bottom, count)
  at = np.stack([np.full(count, rng.normal(0, 40)), y], axis=-1)
  return raster.rings(at, rng.uniform(2, 7, count)), np.full(
    count, rng.uniform(0.04, 0.3)
  )
