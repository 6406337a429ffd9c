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
from apppau_jax.evaluation import looking, structure_figures

SUFFIXES = reading.SUFFIXES
TABLE = "predictions.csv"
OVERLAY = 1024  # pixels of an overlay's longer side, at most
_PROBABILITY = "probability_"  # and the class's name

_FRACTION = "_fraction"  # behind the name of what is outlined

# Levels [m, r, r, 1] to probabilities of k structures [m, r, r, k] and of the
# classes [m, n], or None without a classifier.
Infer = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray | None]]


@dataclasses.dataclass(frozen=True)
class Row:
  """What became of one picture.

  Attributes:
    file: its path below the input folder.
    status: `ok`, `exists` (its mask was there) or `failed`.
    reason: why it failed; empty otherwise.
    fractions: share of its pixels in each structure (or the lungs); empty
      unless `ok`.
    probs: class probabilities, where there is a classifier.
  """

  file: str
  status: str
  reason: str = ""
  fractions: tuple[float, ...] = ()
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
  bits: int = 8,
  options: looking.Options,
  structures: Sequence[str] = (),
  overwrite: bool = False,
) -> Iterator[Row]:
  """Writes `<name>_mask.png` and `<name>_overlay.png` of each picture.

  Of several structures there is a mask each, `<name>_<structure>_mask.png`:
  they overlap, which one indexed picture could not hold.

  Args:
    paths: the pictures.
    root: folder that names are relative to; the tree is kept in `output`.
    output: folder to write to, made if absent.
    infer: the networks.
    resolution: side in pixels at which they look.
    bits: of the grey levels that they look at.
    options: threshold, clean-up and batch size.
    structures: names of what is outlined; none for the united lungs.
    overwrite: whether to make anew what is there.

  Yields:
    A row each, in order, once its files are on disk.
  """
  size = (resolution, resolution)
  kinds = _kinds(structures)
  for start in range(0, len(paths), options.batch_size):
    batch = paths[start : start + options.batch_size]
    rows: dict[Path, Row] = {}
    small: dict[Path, np.ndarray] = {}  # only these: films may have 20 Mpx
    for path in batch:
      name = str(path.relative_to(root))
      try:
        if not overwrite and _target(path, root, output, kinds[-1]).exists():
          rows[path] = Row(name, "exists")
        else:
          grey = reading.read_grey(path, bits=bits)
          small[path] = reading.resize_area(grey, size)
      except (DataError, OSError) as error:
        rows[path] = Row(name, "failed", str(error))
    if small:
      probs, classes = infer(np.stack(list(small.values()))[..., None])
      for i, path in enumerate(small):
        name = str(path.relative_to(root))
        named = () if classes is None else tuple(map(float, classes[i]))
        try:
          masks = _write(
            path, probs[i], root=root, output=output, options=options,
            kinds=kinds,
          )  # fmt: skip
          shares = tuple(map(float, masks.mean(axis=(0, 1))))
          rows[path] = Row(name, "ok", "", shares, named)
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
      _numbers(line, lambda key: key.endswith(_FRACTION)),
      _numbers(line, lambda key: key.startswith(_PROBABILITY)),
    )
    for line in lines
  }


def _numbers(
  line: Mapping[str, str], wanted: Callable[[str], bool]
) -> tuple[float, ...]:
  return tuple(float(v) for key, v in line.items() if wanted(key) and v)


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
  path: Path,
  rows: Sequence[Row],
  *,
  class_names: Sequence[str],
  structures: Sequence[str] = (),
) -> None:
  """Writes the rows as CSV, whole or not at all."""
  outlined = structures or ("lung",)
  text = io.StringIO()
  writer = csv.writer(text, lineterminator="\n")
  writer.writerow(
    ["file", "status", "reason"]
    + [f"{name}{_FRACTION}" for name in outlined]
    + [f"{_PROBABILITY}{name}" for name in class_names]
  )
  for row in rows:
    shares = [f"{f:.6f}" for f in row.fractions] or [""] * len(outlined)
    probs = [f"{p:.6f}" for p in row.probs] or [""] * len(class_names)
    told = [printable(row.file), row.status, printable(row.reason)]
    writer.writerow([*told, *shares, *probs])
  files.write_bytes(path, text.getvalue().encode())


def _kinds(structures: Sequence[str]) -> tuple[str, ...]:
  """What the names of a picture's masks end in, in the order of writing."""
  return tuple(f"{name}_mask" for name in structures) or ("mask",)


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
  options: looking.Options,
  kinds: Sequence[str],
) -> np.ndarray:
  """Writes the overlay, then the masks; the last says that all are there."""
  picture = reading.read_grey(path)
  masks = [
    at_full_size(plane, picture.shape, options=options)
    for plane in np.moveaxis(prob, -1, 0)
  ]
  shown = _shown(picture.shape)
  small = np.stack([reading.resize_mask(m, shown) for m in masks], axis=-1)
  drawn = structure_figures.overlay(
    reading.resize_area(picture, shown) / 255.0,
    mask=small,
    prediction=small,
    width=max(1, round(max(shown) / 512)),
  )
  target = _target(path, root, output, "overlay")
  target.parent.mkdir(parents=True, exist_ok=True)
  file = io.BytesIO()
  Image.fromarray(drawn).save(file, format="PNG")
  files.write_bytes(target, file.getvalue())
  for kind, mask in zip(kinds, masks):
    png = reading.encode_png(mask.astype(np.uint8) * 255)
    files.write_bytes(_target(path, root, output, kind), png)
  return np.stack(masks, axis=-1)


def _shown(size: tuple[int, ...]) -> tuple[int, int]:
  """The size of an overlay: the picture's, its longer side at most 1024."""
  height, width = size
  factor = min(1.0, OVERLAY / max(size))
  return max(1, round(height * factor)), max(1, round(width * factor))


def at_full_size(
  prob: np.ndarray, size: tuple[int, ...], *, options: looking.Options
) -> np.ndarray:
  """The mask bool `[h, w]` of probabilities `[r, r]`, cut at that size."""
  height, width = size
  image = Image.fromarray(prob.astype(np.float32)).resize(
    (width, height), Image.Resampling.BILINEAR
  )
  return looking.binarize(np.asarray(image)[None], options=options)[0]


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
