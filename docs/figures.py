"""Draws the figures of the documentation, all of phantoms.

python docs/figures.py
"""

import pathlib
import tempfile

import numpy as np
from PIL import Image

import apppau_jax as ap
from apppau_jax import phantoms
from apppau_jax.inference import overlay, prediction_images

FOLDER = pathlib.Path(__file__).parent / "images"
FILMS = FOLDER.with_name("films")
SIDE = 240  # pixels of one panel
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


def main() -> None:
  """Writes every figure."""
  FOLDER.mkdir(exist_ok=True)
  outlined = Image.fromarray(draw_outlined()).quantize(128)
  outlined.save(FOLDER / "outlined.png", optimize=True)
  picture = Image.fromarray(draw_phantoms()).quantize(128)
  picture.save(FOLDER / "phantoms.png", optimize=True)


if __name__ == "__main__":
  main()
