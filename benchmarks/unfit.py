"""Films that a frontal chest model must doubt, made from films that are fit.

Every kind is a stated transformation of a film, uint8 [h, w]. No lateral film
is at hand: `lateral` draws a stand-in, a trunk from the side with one field of
lung between sternum and spine, so what is measured with it holds for drawings.
"""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from apppau_jax.imaging import resample

_LOST = 0.3  # of the area of the lungs that a cropped film lacks, at least


def upside_down(film: np.ndarray, lungs, rng) -> np.ndarray:
  """Turns a film by 180 degrees, or flips it, half of them each."""
  del lungs
  return film[::-1, ::-1] if rng.random() < 0.5 else film[::-1]


def rotated(film: np.ndarray, lungs, rng) -> np.ndarray:
  """Turns a film by 90 degrees to the left or to the right."""
  del lungs
  return np.rot90(film, rng.choice([1, 3]))


def negative(film: np.ndarray, lungs, rng) -> np.ndarray:
  """Exchanges black and white."""
  del lungs, rng
  return 255 - film


def negative_upside_down(film: np.ndarray, lungs, rng) -> np.ndarray:
  """Exchanges black and white of a film that is upside down."""
  return 255 - upside_down(film, lungs, rng)


def negative_rotated(film: np.ndarray, lungs, rng) -> np.ndarray:
  """Exchanges black and white of a film that is rotated."""
  return 255 - rotated(film, lungs, rng)


def cropped(film: np.ndarray, lungs: np.ndarray, rng) -> np.ndarray:
  """Keeps a window of 45 % to 80 % of each side that lacks 30 % of the lungs.

  Windows that hold no lung at all are not drawn.
  """
  for _ in range(1000):
    share = rng.uniform(0.45, 0.8, 2)
    start = rng.uniform(0, 1 - share)
    first, end = (
      np.rint(x * film.shape).astype(int) for x in (start, start + share)
    )
    window = tuple(slice(a, b) for a, b in zip(first, end))
    kept = lungs[window].sum() / lungs.sum()
    if 0.2 <= kept <= 1 - _LOST:
      return film[window]
  raise ValueError("no window cuts the lungs")


def one_grey(film: np.ndarray, lungs, rng) -> np.ndarray:
  """Squeezes a film into 3 to 16 levels; half have a white marker.

  So a film of 12 bits comes out whose header states 16, with a marker of 65535.
  """
  del lungs
  count, lowest = rng.integers(3, 17), rng.integers(0, 200)
  flat = (film.astype(int) * count // 256 + lowest).astype(np.uint8)
  if rng.random() < 0.5:
    height, width = flat.shape
    flat[: height // 20, : width // 10] = 255
  return flat


def lateral(film: np.ndarray, lungs, rng) -> np.ndarray:
  """Draws a chest from the side, at the size of a film."""
  del lungs
  size = np.array(film.shape)
  y, x = (np.indices(film.shape) + 0.5) / size[:, None, None]
  x = (x - 0.5) / rng.uniform(0.8, 1.1) + 0.5 + rng.normal(0, 0.03)
  y = (y - 0.5) / rng.uniform(0.85, 1.15) + 0.5 + rng.normal(0, 0.03)
  x += rng.normal(0, 0.06) * (y - 0.5)
  front = np.interp(y, [0, 0.15, 0.3, 0.7, 1], [0.3, 0.25, 0.12, 0.1, 0.14])
  back = np.interp(y, [0, 0.15, 0.35, 0.7, 1], [0.75, 0.88, 0.93, 0.9, 0.86])
  across = (2 * x - front - back) / (back - front)
  total = rng.uniform(0.9, 1.2) * np.sqrt(np.clip(1 - across**4, 0, 1))
  total += (
    0.4
    * np.clip(1 - ((x - 0.5) / 0.4) ** 2, 0, 1)
    * np.clip(1 - y / 0.25, 0, 1)
  )
  top, dome = 0.13 + rng.normal(0, 0.02), 0.7 + rng.normal(0, 0.05)
  lower = dome + rng.uniform(0.1, 0.25) * np.clip(x - 0.35, 0, 1)
  lower -= 0.08 * np.exp(-(((x - 0.4) / 0.15) ** 2))
  wall = 0.07
  sides = np.minimum(x - front - wall, back - 0.5 * wall - x)
  inside = np.minimum(sides, np.minimum(y - top, lower - y))
  air = 1 / (1 + np.exp(-inside / 0.015))
  heart = ((x - 0.36) / 0.17) ** 2 + ((y - 0.6) / 0.17) ** 2
  total -= rng.uniform(0.45, 0.7) * air
  total += rng.uniform(0.25, 0.4) / (1 + np.exp(8 * (heart - 1)))
  spine = back - 0.16 + 0.03 * np.sin(4 * y)
  bodies = 1 + 0.25 * np.sin(2 * np.pi * y / 0.055)
  total += 0.22 * bodies * np.exp(-(((x - spine) / 0.05) ** 4))
  total += 0.12 * np.exp(-(((x - front - 0.04) / 0.015) ** 2)) * (y < dome)
  cells = rng.standard_normal((3, 24, 24))
  clouds = ndimage.zoom(cells.mean(axis=0), size / 24, order=1)
  total += 0.06 * clouds * (total > 0.1)
  grey = np.clip(total, 0, 1.4) / 1.4
  grey = 255 * grey ** rng.uniform(0.6, 1.1) + rng.normal(0, 3, film.shape)
  drawn = np.clip(np.rint(grey), 0, 255).astype(np.uint8)
  return drawn if rng.random() < 0.5 else drawn[:, ::-1]


def patch(film: np.ndarray, lungs, rng) -> np.ndarray:
  """Enlarges a window of 12 % to 25 % of each side."""
  del lungs
  side = np.rint(rng.uniform(0.12, 0.25, 2) * film.shape).astype(int)
  row, column = rng.integers(0, film.shape - side)
  window = film[row : row + side[0], column : column + side[1]]
  return np.asarray(Image.fromarray(window).resize(film.shape[::-1]))


def shuffled(film: np.ndarray, lungs, rng) -> np.ndarray:
  """Exchanges the 4 x 4 tiles of a film at random."""
  del lungs
  rows = np.array_split(film, 4)
  tiles = [tile for row in rows for tile in np.array_split(row, 4, axis=1)]
  least = np.min([tile.shape for tile in tiles], axis=0)
  order = rng.permutation(16)
  cut = [tiles[i][: least[0], : least[1]] for i in order]
  return np.block([cut[i : i + 4] for i in range(0, 16, 4)])


def scrambled(film: np.ndarray, lungs, rng) -> np.ndarray:
  """Gives the frequencies of a film random phases."""
  del lungs
  noise = np.fft.fft2(rng.standard_normal(film.shape))
  spectrum = np.abs(np.fft.fft2(film - film.mean()))
  turned = np.fft.ifft2(spectrum * noise / np.abs(noise)).real
  low, high = np.quantile(turned, [0.01, 0.99])
  return np.clip(255 * (turned - low) / (high - low), 0, 255).astype(np.uint8)


def text(film: np.ndarray, lungs, rng) -> np.ndarray:
  """Draws a page of words, black on white or white on black."""
  del lungs
  page = Image.new("L", film.shape[::-1], 255)
  draw = ImageDraw.Draw(page)
  height = int(rng.integers(6, 14))
  for top in range(4, film.shape[0], height + 3):
    words = rng.integers(97, 123, (12, 6)).astype(np.uint8)
    line = " ".join(bytes(w[: rng.integers(2, 7)]).decode() for w in words)
    draw.text((int(rng.integers(2, 12)), top), line, fill=0, font_size=height)
  drawn = np.asarray(page)
  return drawn if rng.random() < 0.5 else 255 - drawn


def hand(film: np.ndarray, lungs, rng) -> np.ndarray:
  """Draws a hand: a palm and five fingers with bones, on black."""
  del lungs
  size = max(film.shape)
  total = np.zeros(film.shape)
  palm = np.array([0.5, 0.68]) + rng.normal(0, 0.03, 2)
  rows, columns = (np.indices(film.shape) + 0.5) / size
  grown = rng.uniform(0.8, 1.2)
  for angle in np.deg2rad([-62, -28, -8, 10, 30]) + rng.normal(0, 0.05, 5):
    way = np.array([np.sin(angle), -np.cos(angle)])
    reach = (0.34 if abs(angle) > 0.9 else 0.5) * grown
    along = (columns - palm[0]) * way[0] + (rows - palm[1]) * way[1]
    t = np.clip(along, 0, reach)
    off = np.hypot(columns - palm[0] - t * way[0], rows - palm[1] - t * way[1])
    soft = np.clip(1 - (off / (0.055 * grown)) ** 2, 0, 1)
    bone = np.clip(1 - (off / (0.025 * grown)) ** 2, 0, 1)
    joints = np.abs(np.sin(3 * np.pi * t / reach)) > 0.15
    total = np.maximum(total, 0.5 * np.sqrt(soft) + 0.5 * bone * joints)
  far = np.hypot((columns - palm[0]) / 0.17, (rows - palm[1]) / 0.2) / grown
  total = np.maximum(total, 0.7 * np.sqrt(np.clip(1 - far**2, 0, 1)))
  grey = 230 * total + rng.normal(8, 3, film.shape)
  return np.clip(grey, 0, 255).astype(np.uint8)


def photograph(film: np.ndarray, lungs, rng) -> np.ndarray:
  """Takes a window of a photograph that comes with scikit-learn."""
  del lungs
  from sklearn import datasets

  pictures = datasets.load_sample_images().images
  grey = pictures[rng.integers(len(pictures))].mean(axis=2).astype(np.uint8)
  side = int(rng.integers(200, min(grey.shape)))
  row, column = (int(rng.integers(0, n - side)) for n in grey.shape)
  window = grey[row : row + side, column : column + side]
  return resample.resize_area(window, (film.shape[0], film.shape[1]))


Make = Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]
NO_CHEST: dict[str, Make] = {
  "patch": patch,
  "shuffled": shuffled,
  "scrambled": scrambled,
  "text": text,
  "hand": hand,
  "photograph": photograph,
}
KINDS: dict[str, Make] = {
  "upside down": upside_down,
  "rotated": rotated,
  "negative": negative,
  "negative upside down": negative_upside_down,
  "negative rotated": negative_rotated,
  "cropped": cropped,
  "lateral": lateral,
  "one grey": one_grey,
}
