"""Image files to masks, overlays and a table of predictions.

A file that cannot be read becomes a row with its reason; the others are
predicted all the same.
"""

import contextlib
import dataclasses
import errno
import io
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from PIL import Image

from apppau_jax import files
from apppau_jax.errors import ConfigError, DataError
from apppau_jax.imaging import decode, file_kinds, resample
from apppau_jax.inference import output_names, overlay, prediction_table
from apppau_jax.inference.image_input import NetworkInput
from apppau_jax.inference.model import Model
from apppau_jax.inference.more_files import MoreFiles, Nothing
from apppau_jax.inference.output_names import target
from apppau_jax.inference.outputs import Prediction
from apppau_jax.inference.prediction_table import Row

OVERLAY = 1024  # pixels of an overlay's longer side, at most

# An unreadable file, or one whose decoder is not installed.
_UNREADABLE = (DataError, ConfigError, OSError)


def find_images(source: Path, *, output: Path) -> dict[str, Path]:
  """Finds the images at `source`, a file or a folder with its subfolders.

  A file is an image by its suffix, else by its content.

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
  found = {name: path for name, path in _files(source) if _is_image(path)}
  if not found:
    raise DataError(
      f"There is no image at {source}. Give a file, or a folder that holds "
      f"{', '.join(decode.SUFFIXES)} files, or images of any other name."
    )
  return found


def find_others(source: Path) -> dict[str, str]:
  """Finds the files that `find_images` passes over, each with a reason."""
  return {
    name: "is no image that can be read"
    f" ({file_kinds.description(path.name, _head(path))})"
    for name, path in _files(source)
    if not _is_image(path)
  }


def _files(source: Path) -> list[tuple[str, Path]]:
  """Returns names and paths below a folder; what systems leave is left out."""
  found = []
  for folder, folders, names in os.walk(source):
    folders[:] = [f for f in folders if not file_kinds.is_junk(f)]
    paths = [Path(folder, n) for n in names if not file_kinds.is_junk(n)]
    found += [(str(p.relative_to(source)), p) for p in paths if p.is_file()]
  return sorted(found, key=lambda entry: Path(entry[0]))


def _is_image(path: Path) -> bool:
  known = path.suffix.lower() in decode.SUFFIXES
  return known or file_kinds.is_image(path.name, _head(path))


def _head(path: Path) -> bytes:
  try:
    with path.open("rb") as file:
      return file.read(file_kinds.HEAD)
  except OSError:
    return b""


def predict_files(
  images: Mapping[str, Path],
  *,
  model: Model,
  output: Path,
  identity: Mapping[str, Any],
  overwrite: bool = False,
  passed_over: Mapping[str, str] = MappingProxyType({}),
  more: MoreFiles | None = None,
  progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Row]:
  """Writes the predictions of images, and their table, to a folder.

  Of each image there are `<name>_mask.png`, with structures one
  `<name>_<structure>_mask.png` each, and `<name>_overlay.png`; for `<name>`
  see `output_names`. The table is complete whenever the call is interrupted,
  and the next call continues.

  Args:
    images: paths by name, as `find_images` returns them.
    model: what predicts.
    output: folder to write to, made if absent.
    identity: of the model; predictions of another model in the same folder
      are refused.
    overwrite: whether to replace whatever the folder holds.
    passed_over: reasons by name of files that are no images, for the table.
    more: writes further files of each image.
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
  others = [Row(n, "skipped", reason) for n, reason in passed_over.items()]

  def save() -> None:
    now = [*rows, *others]
    done = {prediction_table.printable(row.file) for row in now}
    later = [row for name, row in earlier.items() if name not in done]
    prediction_table.write(
      output / prediction_table.NAME, [*now, *later], columns=columns
    )

  with contextlib.ExitStack() as at_end:
    at_end.callback(save)
    for row in predict_rows(
      images, model=model, output=output, earlier=earlier, more=more
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
  more: MoreFiles | None = None,
) -> Iterator[Row]:
  """Yields a row for each image as soon as its files are on disk.

  Args:
    images: paths by name.
    model: what predicts.
    output: folder to write to.
    earlier: rows of earlier calls by file; an image that has one, and its
      masks, is not predicted again.
    more: writes further files of each image.
  """
  more = more or Nothing()
  names, size = [*images], min(model.batch_size, len(images))
  last = _mask_kinds(model.structures)[-1]
  done = {
    name
    for name in [*images, *earlier]
    if (row := earlier.get(prediction_table.printable(name)))
    and row.has_numbers
  }
  stems = output_names.output_stems(
    names, earlier=done, output=output, kind=last
  )
  for start in range(0, len(names), size):
    rows: dict[str, Row] = {}
    inputs: dict[str, NetworkInput] = {}
    for name in names[start : start + size]:
      before = earlier.get(prediction_table.printable(name))
      try:
        written = target(output / stems[name], kind=last).exists()
        kept = before if written else None
        if kept and kept.has_numbers:
          kept = _with_more(
            kept, images[name], stem=output / stems[name], more=more
          )
        if kept and kept.has_numbers:
          rows[name] = dataclasses.replace(kept, file=name, status="exists")
        else:
          inputs[name] = model.read(images[name])
      except _UNREADABLE as error:
        rows[name] = Row(name, "failed", str(error))
    found = iter(())
    if inputs:
      found = model.predict_inputs([*inputs.values()], batch_size=size)
    for name in names[start : start + size]:
      if name in inputs:
        to = output / stems[name]
        yield _written(name, images[name], next(found), to=to, more=more)
      else:
        yield rows[name]


def _with_more(
  row: Row, path: Path, *, stem: Path, more: MoreFiles
) -> Row | None:
  """Returns the row of an earlier call; None if other files are missing."""
  remark = more.remark(path)
  if not remark:
    return row if more.is_written(stem) else None
  if remark in row.reason:
    return row
  return dataclasses.replace(row, reason=f"{row.reason} {remark}".strip())


def _written(
  name: str, path: Path, found: Prediction, *, to: Path, more: MoreFiles
) -> Row:
  """Writes one image's files and returns its row; a full disk is an error."""
  try:
    _write(path, found, to=to)
    remark = more.write(path, found, stem=to)
  except _UNREADABLE as error:
    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
      raise
    return Row(name, "failed", str(error))
  classes = found.class_probability
  remarks = [*found.remarks, *([remark] if remark else [])]
  return Row(
    name,
    "remark" if remarks else "ok",
    " ".join(remarks),
    fractions=tuple(np.atleast_1d(found.mask.mean(axis=(0, 1))).tolist()),
    probs=() if classes is None else tuple(classes.tolist()),
  )


def _write(path: Path, found: Prediction, *, to: Path) -> None:
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
  files.write_bytes(target(to, kind="overlay"), file.getvalue())
  for kind, mask in zip(_mask_kinds(found.structures), planes):
    png = decode.encode_png(mask.astype(np.uint8) * 255)
    files.write_bytes(target(to, kind=kind), png)


def _mask_kinds(structures: Sequence[str]) -> tuple[str, ...]:
  """What the names of an image's masks end in, in the order of writing."""
  return tuple(f"{name}_mask" for name in structures) or ("mask",)
