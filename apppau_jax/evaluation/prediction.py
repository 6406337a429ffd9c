"""Pictures of a user's own to masks, overlays and class probabilities.

A picture is judged at the network's resolution; its probabilities are brought
back to its own size bilinearly and cut there. What cannot be read is a row
with its reason, not the end of the others.
"""

import csv
import dataclasses
import errno
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from apppau_jax import files
from apppau_jax.data import reading
from apppau_jax.errors import DataError
from apppau_jax.evaluation import evaluate, figures

SUFFIXES = reading.SUFFIXES
TABLE = "predictions.csv"
OVERLAY = 1024  # pixels of an overlay's longer side, at most
_PROBABILITY = "probability_"  # and the class's name

# uint8 [m, r, r, 1] to lung probabilities [m, r, r] and class probabilities
# [m, n], or None without a classifier.
Infer = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray | None]]


@dataclasses.dataclass(frozen=True)
class Row:
  """What became of one picture.

  Attributes:
    file: its path below the input folder.
    status: `ok`, `exists` (its mask was there) or `failed`.
    reason: why it failed; empty otherwise.
    lung_fraction: share of its pixels that are lung; None unless `ok`.
    probs: class probabilities, where there is a classifier.
  """

  file: str
  status: str
  reason: str = ""
  lung_fraction: float | None = None
  probs: tuple[float, ...] = ()


def find_pictures(source: Path) -> list[Path]:
  """The pictures at `source`, a file or a folder with all below it, sorted.

  Raises:
    DataError: there is nothing, or no picture in it.
  """
  if source.is_file():
    return [source]
  found = sorted(
    path
    for path in source.rglob("*")
    if path.is_file()
    and path.suffix.lower() in SUFFIXES
    and not any(p.startswith(".") for p in path.relative_to(source).parts)
  )
  if not found:
    raise DataError(
      f"There is no picture at {source}: give a file, or a folder that holds "
      f"{', '.join(SUFFIXES)} files."
    )
  return found


def predict_pictures(
  paths: Sequence[Path],
  *,
  root: Path,
  output: Path,
  infer: Infer,
  resolution: int,
  options: evaluate.Options,
  overwrite: bool = False,
) -> Iterator[Row]:
  """Writes `<name>_mask.png` and `<name>_overlay.png` of each picture.

  Args:
    paths: the pictures.
    root: folder that names are relative to; the tree is kept in `output`.
    output: folder to write to, made if absent.
    infer: the networks.
    resolution: side in pixels at which they look.
    options: threshold, clean-up and batch size.
    overwrite: whether to make anew what is there.

  Yields:
    A row each, in order, once its files are on disk.
  """
  size = (resolution, resolution)
  for start in range(0, len(paths), options.batch_size):
    batch = paths[start : start + options.batch_size]
    rows: dict[Path, Row] = {}
    small: dict[Path, np.ndarray] = {}  # only these: films may have 20 Mpx
    for path in batch:
      name = str(path.relative_to(root))
      try:
        if not overwrite and _target(path, root, output, "mask").exists():
          rows[path] = Row(name, "exists")
        else:
          small[path] = reading.resize_area(reading.read_grey(path), size)
      except (DataError, OSError) as error:
        rows[path] = Row(name, "failed", str(error))
    if small:
      probs, classes = infer(np.stack(list(small.values()))[..., None])
      for i, path in enumerate(small):
        name = str(path.relative_to(root))
        named = () if classes is None else tuple(map(float, classes[i]))
        try:
          mask = _write(
            path, probs[i], root=root, output=output, options=options
          )
          rows[path] = Row(name, "ok", "", float(mask.mean()), named)
        except (DataError, OSError) as error:
          if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
            raise
          rows[path] = Row(name, "failed", str(error))
    yield from (rows[path] for path in batch)


def read_table(path: Path) -> dict[str, Row]:
  """The rows of an earlier call by file; none if there was none."""
  if not path.exists():
    return {}
  with path.open(encoding="utf-8", newline="") as file:
    lines = list(csv.DictReader(file))
  return {
    line["file"]: Row(
      line["file"],
      line["status"],
      line["reason"],
      float(line["lung_fraction"]) if line["lung_fraction"] else None,
      tuple(
        float(value)
        for key, value in line.items()
        if key.startswith(_PROBABILITY) and value
      ),
    )
    for line in lines
  }


def merge(row: Row, earlier: Mapping[str, Row]) -> Row:
  """A row that was there, with what the earlier call knew of it."""
  before = earlier.get(printable(row.file))
  if row.status != "exists" or before is None or before.status == "failed":
    return row
  return dataclasses.replace(before, status="exists")


def printable(name: str) -> str:
  """A file name as text, whatever bytes it is made of."""
  return name.encode(errors="backslashreplace").decode()


def write_table(
  path: Path, rows: Sequence[Row], *, class_names: Sequence[str]
) -> None:
  """Writes the rows as CSV, whole or not at all."""
  text = io.StringIO()
  writer = csv.writer(text, lineterminator="\n")
  writer.writerow(
    ["file", "status", "reason", "lung_fraction"]
    + [f"{_PROBABILITY}{name}" for name in class_names]
  )
  for row in rows:
    fraction = "" if row.lung_fraction is None else f"{row.lung_fraction:.6f}"
    probs = [f"{p:.6f}" for p in row.probs] or [""] * len(class_names)
    told = [printable(row.file), row.status, printable(row.reason)]
    writer.writerow([*told, fraction, *probs])
  files.write_bytes(path, text.getvalue().encode())


def _target(path: Path, root: Path, output: Path, kind: str) -> Path:
  relative = path.relative_to(root)
  # With its suffix: a.png and a.jpg of one folder are two pictures.
  stem = f"{relative.stem}{relative.suffix.replace('.', '_')}"
  return output / relative.parent / f"{stem}_{kind}.png"


def _write(
  path: Path,
  prob: np.ndarray,
  *,
  root: Path,
  output: Path,
  options: evaluate.Options,
) -> np.ndarray:
  """Writes the overlay, then the mask, which says that both are there."""
  picture = reading.read_grey(path)
  mask = at_full_size(prob, picture.shape, options=options)
  shown = _shown(picture.shape)
  small = reading.resize_mask(mask, shown)
  drawn = figures.overlay(
    reading.resize_area(picture, shown) / 255.0,
    mask=small,
    prediction=small,
    width=max(1, round(max(shown) / 512)),
  )
  target = _target(path, root, output, "mask")
  target.parent.mkdir(parents=True, exist_ok=True)
  file = io.BytesIO()
  Image.fromarray(drawn).save(file, format="PNG")
  files.write_bytes(_target(path, root, output, "overlay"), file.getvalue())
  png = reading.encode_png(mask.astype(np.uint8) * 255)
  files.write_bytes(target, png)
  return mask


def _shown(size: tuple[int, ...]) -> tuple[int, int]:
  """The size of an overlay: the picture's, its longer side at most 1024."""
  height, width = size
  factor = min(1.0, OVERLAY / max(size))
  return max(1, round(height * factor)), max(1, round(width * factor))


def at_full_size(
  prob: np.ndarray, size: tuple[int, ...], *, options: evaluate.Options
) -> np.ndarray:
  """The mask bool `[h, w]` of probabilities `[r, r]`, cut at that size."""
  height, width = size
  image = Image.fromarray(prob.astype(np.float32)).resize(
    (width, height), Image.Resampling.BILINEAR
  )
  return evaluate.binarize(np.asarray(image)[None], options=options)[0]


def check_folders(source: Path, output: Path) -> Path:
  """The folder names are relative to; the output must not be inside it.

  Raises:
    DataError: `output` is the input folder, lies in it, or holds it.
  """
  root = source if source.is_dir() else source.parent
  here, there = root.resolve(), output.resolve()
  if source.is_dir() and (
    there.is_relative_to(here) or here.is_relative_to(there)
  ):
    raise DataError(
      f"Of --output={output} and --input={source} one lies in the other, so "
      "masks could be taken for pictures, or lie among them. Name a folder "
      "apart."
    )
  return root
