"""Image files to masks, overlays and a table of predictions.

A file that cannot be read becomes a row with its reason; the others are
predicted all the same.
"""

import dataclasses
import errno
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from apppau_jax.errors import ConfigError, DataError
from apppau_jax.imaging import decode, file_kinds
from apppau_jax.inference import (
  output_names,
  prediction_folder,
  prediction_images,
  prediction_table,
)
from apppau_jax.inference.image_input import NetworkInput
from apppau_jax.inference.model import Model
from apppau_jax.inference.more_files import MoreFiles, Nothing
from apppau_jax.inference.output_names import target
from apppau_jax.inference.outputs import Prediction
from apppau_jax.inference.prediction_table import Row

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
  save_probability: bool = False,
  passed_over: Mapping[str, str] = MappingProxyType({}),
  more: MoreFiles | None = None,
  progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Row]:
  """Writes the predictions of images, and their table, to a folder.

  Of each image there are `<name>_mask.png`, with structures one
  `<name>_<structure>_mask.png` each, and `<name>_overlay.png`; for `<name>`
  see `output_names`. Rows are appended to the table as soon as their files are
  on disk, and sorted at the end; the next call continues after an interruption.

  Args:
    images: paths by name, as `find_images` returns them.
    model: what predicts.
    output: folder to write to, made if absent.
    identity: of the model; predictions of another model in the same folder
      are refused.
    overwrite: whether to replace whatever the folder holds.
    save_probability: whether to write probability maps, see
      `prediction_images`; an image that has none yet is predicted again.
    passed_over: reasons by name of files that are no images, for the table.
    more: writes further files of each image.
    progress: called with the number of images done and of all.

  Returns:
    One row for each image, in order.

  Raises:
    DataError: the folder holds other predictions.
  """
  columns = prediction_table.Columns(
    structures=model.structures,
    class_names=model.class_names,
    multi_label=model.multi_label,
    spreads=model.has_samples,
    ranges=len(model.members) > 1,
  )
  earlier = prediction_folder.claim(
    output, identity, columns=columns, overwrite=overwrite
  )
  more = more or Nothing()
  stems = _stems(images, earlier=earlier, output=output, model=model)
  rows: dict[str, Row] = {}
  for name in images:
    row = earlier.get(prediction_table.printable(name))
    if (
      row
      and row.has_numbers
      and prediction_images.exist(
        output / stems[name],
        structures=model.structures,
        probability=save_probability,
      )
      and (
        row := _with_more(
          row, images[name], stem=output / stems[name], more=more
        )
      )
    ):
      rows[name] = dataclasses.replace(row, file=name, status="exists")
  others = _others(images, earlier=earlier, passed_over=passed_over)
  table = output / prediction_table.NAME
  new = predict_rows(
    {name: path for name, path in images.items() if name not in rows},
    model=model,
    output=output,
    stems=stems,
    save_probability=save_probability,
    more=more,
  )
  try:
    with prediction_table.appending(
      table, [*rows.values(), *others], columns=columns
    ) as append:
      for row in new:
        append(row)
        rows[row.file] = row
        progress(len(rows), len(images))
  finally:
    done = [rows[name] for name in images if name in rows]
    prediction_table.write(table, [*done, *others], columns=columns)
  return done


def _stems(
  images: Mapping[str, Path],
  *,
  earlier: Mapping[str, Row],
  output: Path,
  model: Model,
) -> dict[str, str]:
  """Returns the stems of the images' files, see `output_names`."""
  done = {
    name
    for name in [*images, *earlier]
    if (row := earlier.get(prediction_table.printable(name)))
    and row.has_numbers
  }
  return output_names.output_stems(
    [*images],
    earlier=done,
    output=output,
    kind=prediction_images.mask_kinds(model.structures)[-1],
  )


def _others(
  images: Mapping[str, Path],
  *,
  earlier: Mapping[str, Row],
  passed_over: Mapping[str, str],
) -> list[Row]:
  """Returns the rows of what is not an image of this call."""
  now = {*map(prediction_table.printable, [*images, *passed_over])}
  skipped = [Row(n, "skipped", reason) for n, reason in passed_over.items()]
  return [*skipped, *(row for n, row in earlier.items() if n not in now)]


def predict_rows(
  images: Mapping[str, Path],
  *,
  model: Model,
  output: Path,
  stems: Mapping[str, str],
  save_probability: bool = False,
  more: MoreFiles | None = None,
) -> Iterator[Row]:
  """Yields a row for each image as soon as its files are on disk.

  Args:
    images: paths by name.
    model: what predicts.
    output: folder to write to.
    stems: by name, of the paths of their files below `output`.
    save_probability: whether to write probability maps.
    more: writes further files of each image.
  """
  names, size = [*images], min(model.batch_size, len(images))
  for start in range(0, len(names), size or 1):
    failed: dict[str, Row] = {}
    inputs: dict[str, NetworkInput] = {}
    for name in names[start : start + size]:
      try:
        inputs[name] = model.read(images[name])
      except _UNREADABLE as error:
        failed[name] = Row(name, "failed", str(error))
    found = iter(())
    if inputs:
      found = model.predict_inputs([*inputs.values()], batch_size=size)
    for name in names[start : start + size]:
      yield failed.get(name) or _written(
        name,
        images[name],
        next(found),
        output=output,
        stem=stems[name],
        save_probability=save_probability,
        more=more or Nothing(),
      )


def _with_more(
  row: Row, path: Path, *, stem: Path, more: MoreFiles
) -> Row | None:
  """Returns the row of an earlier call; None if other files are missing."""
  try:
    remark = more.remark(path)
  except _UNREADABLE:
    return None  # reading it again says why
  if not remark:
    return row if more.is_written(stem) else None
  if remark in row.reason:
    return row
  return dataclasses.replace(row, reason=f"{row.reason} {remark}".strip())


def _written(
  name: str,
  path: Path,
  found: Prediction,
  *,
  output: Path,
  stem: str,
  save_probability: bool,
  more: MoreFiles,
) -> Row:
  """Writes one image's files and returns its row; a full disk is an error."""
  try:
    prediction_images.write(
      output / stem, source=path, found=found, probability=save_probability
    )
    remark = more.write(path, found, stem=output / stem)
  except _UNREADABLE as error:
    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
      raise
    return Row(name, "failed", str(error))
  if remark:
    found = dataclasses.replace(found, remarks=(*found.remarks, remark))
  kinds = prediction_images.mask_kinds(found.structures)
  return prediction_table.row_of(
    name,
    found,
    masks=[str(target(Path(stem), kind=kind)) for kind in kinds],
  )
