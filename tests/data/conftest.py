"""Tiny raw datasets in their owners' layouts, traps included on demand."""

import io
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SIDE = 40


def _rng(name: str) -> np.random.Generator:
  return np.random.default_rng(zlib.crc32(name.encode()))


class RawSets:
  """Writes fake raw files and knows their true pixels."""

  def image(self, name: str) -> np.ndarray:
    return _rng(name).integers(0, 256, (SIDE, SIDE + 8), dtype=np.uint8)

  def lungs(self, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Left and right lung of an id, bool; at most a third of the image."""
    top = int(_rng(name).integers(4, 12))
    left = np.zeros((SIDE, SIDE + 8), bool)
    right = left.copy()
    left[top : top + 22, 6:18], right[top : top + 20, 28:40] = True, True
    return left, right

  def png(self, path: Path, pixels: np.ndarray, *, mode: str = "L") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if pixels.dtype == bool:
      pixels = pixels.astype(np.uint8) * 255
    Image.fromarray(pixels).convert(mode).save(path, "PNG")

  def montgomery(self, root: Path, ids: Sequence[str]) -> Path:
    base = root / "MontgomerySet"
    for name in ids:
      left, right = self.lungs(name)
      self.png(base / f"CXR_png/{name}.png", self.image(name))
      self.png(base / f"ManualMask/leftMask/{name}.png", left, mode="1")
      self.png(base / f"ManualMask/rightMask/{name}.png", right, mode="1")
    return root

  def shenzhen(
    self, root: Path, ids: Sequence[str], *, without: Sequence[str] = ()
  ) -> Path:
    for name in ids:
      image = root / f"ChinaSet_AllFiles/CXR_png/{name}.png"
      self.png(image, self.image(name))
      if name not in without:
        mask = np.logical_or(*self.lungs(name))
        self.png(root / f"mask/{name}_mask.png", mask)
    return root

  def zipped(self, folder: Path, path: Path) -> Path:
    """The files of a folder as a zip at `path`."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
      for file in sorted(folder.rglob("*")):
        if file.is_file():
          archive.write(file, file.relative_to(folder).as_posix())
    return path


@pytest.fixture(scope="session")
def raw_sets() -> RawSets:
  return RawSets()


@pytest.fixture(scope="session")
def encoded() -> Callable[..., bytes]:
  """Encodes a Pillow image to bytes."""

  def encode(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()

  return encode
