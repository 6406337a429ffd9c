"""Image files to masks, overlays and a table of predictions.

A file that cannot be read becomes a row with its reason; the others are
predicted all the same.
"""

import contextlib
import dataclasses
import errno
import io
import os
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from apppau_jax import files
from apppau_jax.errors import ConfigError, DataError
from apppau_jax.imaging import decode, resample
from apppau_jax.inference import overlay, prediction_table
from apppau_jax.inference.image_input import NetworkInput
from apppau_jax.inference.model import Model
from apppau_jax.inference.outputs import Prediction
from apppau_jax.inference.prediction_table import Row

_LONGEST = 220  # bytes of a name without `_KIND.png`; file systems take 255
OVERLAY = 1024  # pixels of an overlay's longer side, at most

# An unreadable file, or one whose decoder is not installed.
_UNREADABLE = (DataError, ConfigError, OSError)


def find_images(source: Path, *, output: Path) -> dict[str, Path]:
  """Finds the images at `source`, a file or a folder with its subfolders.

  Args:
    source: the file or folder.
    output: folder that predictions are to be written to.

  Returns:
    Paths by name relative to the folder, sorted.

  Raises:
    DataError: there is no image, or one of the two folders holds the other.
  """
  if source.is_file():
    return {source.name: source}
  here, there = source.resolve(), output.resolve()
  if there.is_relative_to(here) or here.is_relative_to(there):
    raise DataError(
      f"--output={output} and --input={source} must not contain each other: "
      "masks would lie among the images. Choose a separate folder."
    )
  found = {
    str(path.relative_to(source)): path
    for path in sorted(source.rglob("*"))
    if path.is_file()
    and path.suffix.lower() in decode.SUFFIXES
    and not any(p.startswith(".") for p in path.relative_to(source).parts)
  }
  if not found:
    raise DataError(
      f"There is no image at {source}. Give a file, or a folder that holds "
      f"{', '.join(decode.SUFFIXES)} files."
    )
  return found


def predict_files(
  images: Mapping[str, Path],
  *,
  model: Model,
  output: Path,
  identity: Mapping[str, Any],
  overwrite: bool = False,
  progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Row]:
  """Writes the predictions of images, and their table, to a folder.

  Of each image there are `<name>_mask.png`, with structures one
  `<name>_<structure>_mask.png` each, and `<name>_overlay.png`. The table is
  complete whenever the call is interrupted, and the next call continues.

  Args:
    images: paths by name, as `find_images` returns them.
    model: what predicts.
    output: folder to write to, made if absent.
    identity: of the model; predictions of another model in the same folder
      are refused.
    overwrite: whether to replace whatever the folder holds.
    progress: called with the number of images done and of all.

  Returns:
    One row for each image, in order.

  Raises:
    DataError: the folder holds other predictions.
  """
  columns = prediction_table.Columns(
    structures=model.structures, class_names=model.class_names
  )
  earlier = prediction_table.claim(
    output, identity, columns=columns, overwrite=overwrite
  )
  rows: list[Row] = []

  def save() -> None:
    done = {prediction_table.printable(row.file) for row in rows}
    later = [row for name, row in earlier.items() if name not in done]
    prediction_table.write(
      output / prediction_table.NAME, [*rows, *later], columns=columns
    )

  with contextlib.ExitStack() as at_end:
    at_end.callback(save)
    for row in predict_rows(
      images, model=model, output=output, earlier=earlier
    ):
      rows.append(row)
      progress(len(rows), len(images))
      if len(rows) % model.batch_size == 0:
        save()
  return rows


def predict_rows(
  images: Mapping[str, Path],
  *,
  model: Model,
  output: Path,
  earlier: Mapping[str, Row],
) -> Iterator[Row]:
  """Yields a row for each image as soon as its files are on disk.

  Args:
    images: paths by name.
    model: what predicts.
    output: folder to write to.
    earlier: rows of earlier calls by file; an image that has one, and its
      masks, is not predicted again.
  """
  names, size = [*images], min(model.batch_size, len(images))
  kinds = _mask_kinds(model.structures)
  for start in range(0, len(names), size):
    rows: dict[str, Row] = {}
    inputs: dict[str, NetworkInput] = {}
    for name in names[start : start + size]:
      before = earlier.get(prediction_table.printable(name))
      try:
        written = _target(output, name, kind=kinds[-1]).exists()
        if before and before.has_numbers and written:
          rows[name] = dataclasses.replace(before, file=name, status="exists")
        else:
          inputs[name] = model.read(images[name])
      except _UNREADABLE as error:
        rows[name] = Row(name, "failed", str(error))
    found = iter(())
    if inputs:
      found = model.predict_inputs([*inputs.values()], batch_size=size)
    for name in names[start : start + size]:
      if name in inputs:
        yield _written(name, images[name], next(found), output=output)
      else:
        yield rows[name]


def _written(name: str, path: Path, found: Prediction, *, output: Path) -> Row:
  """Writes one image's files and returns its row; a full disk is an error."""
  try:
    _write(name, path, found, output=output)
  except _UNREADABLE as error:
    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
      raise
    return Row(name, "failed", str(error))
  classes = found.class_probability
  return Row(
    name,
    "ok",
    fractions=tuple(np.atleast_1d(found.mask.mean(axis=(0, 1))).tolist()),
    probs=() if classes is None else tuple(classes.tolist()),
  )


def _write(name: str, path: Path, found: Prediction, *, output: Path) -> None:
  """Writes the overlay, then the masks; the last one marks completion."""
  picture = decode.read_grey(path)
  height, width = picture.shape
  factor = min(1.0, OVERLAY / max(height, width))
  shown = (max(1, round(height * factor)), max(1, round(width * factor)))
  planes = [*np.moveaxis(np.atleast_3d(found.mask), -1, 0)]
  small = np.stack([resample.resize_mask(m, shown) for m in planes], axis=-1)
  drawn = overlay.draw(
    resample.resize_area(picture, shown) / 255.0,
    mask=small,
    prediction=small,
    width=max(1, round(max(shown) / 512)),
  )
  file = io.BytesIO()
  Image.fromarray(drawn).save(file, format="PNG")
  files.write_bytes(_target(output, name, kind="overlay"), file.getvalue())
  for kind, mask in zip(_mask_kinds(found.structures), planes):
    png = decode.encode_png(mask.astype(np.uint8) * 255)
    files.write_bytes(_target(output, name, kind=kind), png)


def _mask_kinds(structures: Sequence[str]) -> tuple[str, ...]:
  """What the names of an image's masks end in, in the order of writing."""
  return tuple(f"{name}_mask" for name in structures) or ("mask",)


def _target(output: Path, name: str, *, kind: str) -> Path:
  relative = Path(name)
  # With its suffix: a.png and a.jpg in one folder are two images.
  stem = f"{relative.stem}{relative.suffix.replace('.', '_')}"
  stem = _shortened(stem)
  return output / relative.parent / f"{stem}_{kind}.png"


def _shortened(stem: str) -> str:
  """Returns a stem to which the kinds of files can be added on every disk."""
  content = os.fsencode(stem)
  if len(content) <= _LONGEST:
    return stem
  begin = content[: _LONGEST - 9].decode(errors="ignore")
  return f"{begin}-{zlib.crc32(content):08x}"
