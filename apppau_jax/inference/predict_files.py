"""Pictures of a user's own to masks, overlays and class probabilities.

A picture is judged at the network's resolution; its probabilities are brought
back to its own size bilinearly and cut there. What cannot be read is a row
with its reason, not the end of the others.
"""

import dataclasses
import errno
import io
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from apppau_jax import files
from apppau_jax.errors import ConfigError, DataError
from apppau_jax.imaging import decode, resample
from apppau_jax.inference import batched_inference, overlay, prediction_table
from apppau_jax.inference.prediction_table import Row

SUFFIXES = decode.SUFFIXES
OVERLAY = 1024  # pixels of an overlay's longer side, at most

# A picture that is none, or for which a library is lacking.
_UNREADABLE = (DataError, ConfigError, OSError)

# Levels [m, r, r, 1] to probabilities of k structures [m, r, r, k] and of the
# classes [m, n], or None without a classifier.
Infer = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray | None]]


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
  options: batched_inference.Options,
  structures: Sequence[str] = (),
  earlier: Mapping[str, Row] = types.MappingProxyType({}),
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
    earlier: rows of calls before; what they know and whose masks are there is
      left alone.

  Yields:
    A row each, in order, as soon as its files are on disk.
  """
  size = (resolution, resolution)
  kinds = _kinds(structures)
  for start in range(0, len(paths), options.batch_size):
    batch = paths[start : start + options.batch_size]
    rows: dict[Path, Row] = {}
    small: dict[Path, np.ndarray] = {}  # only these: films may have 20 Mpx
    for path in batch:
      name = str(path.relative_to(root))
      before = earlier.get(prediction_table.printable(name))
      try:
        there = _target(path, root, output, kinds[-1]).exists()
        if before and prediction_table.known(before) and there:
          rows[path] = dataclasses.replace(before, file=name, status="exists")
        else:
          grey = decode.read_grey(path, bits=bits)
          _check_shows(grey, name=str(path))
          small[path] = resample.resize_area(grey, size)
      except _UNREADABLE as error:
        rows[path] = Row(name, "failed", str(error))
    place = {path: i for i, path in enumerate(small)}
    probs, classes = np.empty(0), None
    if small:
      probs, classes = infer(np.stack(list(small.values()))[..., None])
    for path in batch:
      if path in rows:
        yield rows[path]
        continue
      name, i = str(path.relative_to(root)), place[path]
      try:
        masks = _write(
          path, probs[i], root=root, output=output, options=options, kinds=kinds
        )
      except _UNREADABLE as error:
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
          raise
        yield Row(name, "failed", str(error))
        continue
      shares = tuple(map(float, masks.mean(axis=(0, 1))))
      of_classes = () if classes is None else tuple(map(float, classes[i]))
      yield Row(name, "ok", "", shares, of_classes)


def _check_shows(grey: np.ndarray, *, name: str) -> None:
  """Raises DataError for a picture of one level: a mask of it is a guess."""
  if grey.min() == grey.max():
    raise DataError(
      f"{name} shows nothing: every pixel has the level {grey.flat[0]}."
    )


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
  options: batched_inference.Options,
  kinds: Sequence[str],
) -> np.ndarray:
  """Writes the overlay, then the masks; the last says that all are there."""
  picture = decode.read_grey(path)
  masks = [
    at_full_size(plane, picture.shape, options=options)
    for plane in np.moveaxis(prob, -1, 0)
  ]
  shown = _shown(picture.shape)
  small = np.stack([resample.resize_mask(m, shown) for m in masks], axis=-1)
  drawn = overlay.draw(
    resample.resize_area(picture, shown) / 255.0,
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
    png = decode.encode_png(mask.astype(np.uint8) * 255)
    files.write_bytes(_target(path, root, output, kind), png)
  return np.stack(masks, axis=-1)


def _shown(size: tuple[int, ...]) -> tuple[int, int]:
  """The size of an overlay: the picture's, its longer side at most 1024."""
  height, width = size
  factor = min(1.0, OVERLAY / max(size))
  return max(1, round(height * factor)), max(1, round(width * factor))


def at_full_size(
  prob: np.ndarray, size: tuple[int, ...], *, options: batched_inference.Options
) -> np.ndarray:
  """The mask bool `[h, w]` of probabilities `[r, r]`, cut at that size."""
  height, width = size
  image = Image.fromarray(prob.astype(np.float32)).resize(
    (width, height), Image.Resampling.BILINEAR
  )
  return batched_inference.binarize(np.asarray(image)[None], options=options)[0]


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
