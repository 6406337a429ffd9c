"""Draws the figures of the documentation, all of phantoms.

python docs/figures.py           draws them anew
python docs/figures.py --check   fails if they differ from what is there
"""

import pathlib
import sys
import tempfile

import diagrams
import jax.numpy as jnp
import numpy as np
from PIL import Image, ImageDraw, ImageFont

import apppau_jax as ap
from apppau_jax import phantoms
from apppau_jax.inference import overlay, prediction_images
from apppau_jax.losses import deep_supervision

FOLDER = pathlib.Path(__file__).parent / "images"
FILMS = FOLDER.with_name("films")
SIDE = 240  # pixels of one panel
ALIKE = 3  # grey levels by which a figure may differ, from quantising it
COLOURED = ("outlined", "phantoms")
FINDINGS = ("normal", "tb", "nodule", "normal")


def draw_phantoms() -> np.ndarray:
  """Returns phantoms above the same phantoms with their masks, uint8."""
  columns = []
  for index, finding in enumerate(FINDINGS):
    phantom = phantoms.make_phantom(
      seed=2, index=index, size=(SIDE, SIDE), finding=finding
    )
    masks = np.stack(
      [
        phantom.left_lung,
        phantom.right_lung,
        phantom.heart,
        phantom.left_clavicle,
        phantom.right_clavicle,
      ],
      axis=-1,
    )
    drawn = overlay.draw(
      phantom.image / 255.0, mask=masks, prediction=masks, width=2
    )
    plain = np.repeat(phantom.image[..., None], 3, axis=-1)
    columns.append(np.concatenate([plain, drawn]))
  return np.concatenate(columns, axis=1)


def draw_outlined() -> np.ndarray:
  """Returns the overlays that launch.predict writes for `films`, uint8."""
  model, panels = ap.load(), []
  with tempfile.TemporaryDirectory() as folder:
    for film in sorted(FILMS.glob("*.png")):
      stem = pathlib.Path(folder) / film.stem
      prediction_images.write(stem, source=film, found=model.predict(film))
      panels.append(np.asarray(Image.open(f"{stem}_overlay.png")))
  return np.concatenate(panels, axis=1)


def draw_findings() -> np.ndarray:
  """Returns one person with each finding, and where tuberculosis differs."""
  drawn = {
    finding: phantoms.make_phantom(
      seed=2, index=5, size=(SIDE, SIDE), finding=finding
    )
    for finding in ("normal", "tb", "nodule")
  }
  normal, tb = (drawn[name].image.astype(int) for name in ("normal", "tb"))
  masks = drawn["normal"]
  outlines = np.full((SIDE, SIDE), 255, np.uint8)
  for name, grey in (("left_lung", 90), ("right_lung", 90), ("heart", 150)):
    outlines[getattr(masks, name)] = grey
  outlines[masks.left_clavicle | masks.right_clavicle] = 30
  difference = np.clip(128 + tb - normal, 0, 255)
  panels = [outlines, *(p.image for p in drawn.values()), difference]
  titles = ("masks", "normal", "tb", "nodule", "tb minus normal")
  return _row(panels, titles)


def draw_wide() -> np.ndarray:
  """Returns phantoms of the tutorial above wide ones."""
  rows = []
  for wide in (False, True):
    images = [
      phantoms.make_phantom(
        seed=3, index=index, size=(SIDE, SIDE), finding="tb", wide=wide
      ).image
      for index in range(5)
    ]
    rows.append(_row(images, [""] * len(images)))
  return np.concatenate(rows)


def draw_deep_supervision() -> np.ndarray:
  """Returns the targets of the four side outputs with their weights."""
  phantom = phantoms.make_phantom(seed=2, index=0, size=(128, 128))
  mask = jnp.asarray(phantom.left_lung | phantom.right_lung, jnp.float32)
  weights = deep_supervision.default_weights(4)
  panels, titles = [], []
  for side, weight in zip((16, 32, 64, 128), weights):
    (target,) = deep_supervision.side_targets(
      mask[None, ..., None], [(side, side)], side_target="hard"
    )
    pixels = Image.fromarray(np.uint8(255 * target[0, ..., 0]))
    panels.append(pixels.resize((SIDE, SIDE), Image.Resampling.NEAREST))
    titles.append(f"{side} x {side}, weight {round(15 * weight)}/15")
  return _row(panels, titles)


def _row(panels, titles) -> np.ndarray:
  """Returns panels side by side with their titles below, uint8."""
  gap, band = 6, 22 if any(titles) else 0
  width = len(panels) * (SIDE + gap) - gap
  page = Image.new("L", (width, SIDE + band + (0 if band else gap)), 255)
  pen = ImageDraw.Draw(page)
  for i, (panel, title) in enumerate(zip(panels, titles)):
    left = i * (SIDE + gap)
    page.paste(Image.fromarray(np.asarray(panel, np.uint8)), (left, 0))
    middle = (left + SIDE // 2, SIDE + band // 2)
    pen.text(
      middle, title, fill=0, anchor="mm", font=ImageFont.load_default(15)
    )
  return np.asarray(page)


FIGURES = {
  "outlined": draw_outlined,
  "phantoms": draw_phantoms,
  "findings": draw_findings,
  "wide": draw_wide,
  "deep_supervision": draw_deep_supervision,
}


def check() -> list[str]:
  """Returns the names of figures that differ from what is drawn now."""
  wrong = [
    f"{name}.svg"
    for name, draw in diagrams.DIAGRAMS.items()
    if (FOLDER / f"{name}.svg").read_text(encoding="utf-8") != draw()
  ]
  for name, draw in FIGURES.items():
    with Image.open(FOLDER / f"{name}.png") as file:
      there = np.asarray(file.convert("RGB"), float)
    drawn = np.asarray(Image.fromarray(draw()).convert("RGB"), float)
    same = there.shape == drawn.shape
    if not same or np.abs(there - drawn).mean() > ALIKE:
      wrong.append(f"{name}.png")
  return wrong


def main() -> None:
  """Writes every figure, or checks those that are there."""
  if "--check" in sys.argv[1:]:
    if wrong := check():
      sys.exit(f"Run python docs/figures.py: {', '.join(wrong)} differ.")
    return
  FOLDER.mkdir(exist_ok=True)
  for name, draw in diagrams.DIAGRAMS.items():
    (FOLDER / f"{name}.svg").write_text(draw(), encoding="utf-8")
  for name, draw in FIGURES.items():
    picture = Image.fromarray(draw()).quantize(128 if name in COLOURED else 32)
    picture.save(FOLDER / f"{name}.png", optimize=True)


if __name__ == "__main__":
  main()
