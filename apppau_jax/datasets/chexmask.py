"""CheXmask: masks of lungs and heart for public sets, as run lengths.

A row has the image, two estimates of the mask's quality (Dice RCA), landmarks,
run lengths of the left lung, the right lung and the heart (from 1, along the
rows; sides are those of the patient), and the height and width that they refer
to. Tables have gigabytes, so that only the place of each row is kept, and a row
is read when its mask is drawn.

Source: physionet.org/content/chexmask-cxr-segmentation-data, open access.
Citation: Gaggion et al. 2024 (Scientific Data). The masks were made by a
network (HybridGNet); its authors recommend those of Dice RCA (Mean) >= 0.7.
"""

import csv
import dataclasses
import functools
from collections.abc import Iterator
from typing import IO

import numpy as np

from apppau_jax.datasets import tables
from apppau_jax.datasets.raw_source import RawSource
from apppau_jax.datasets.spec import Annotation, Drawn
from apppau_jax.errors import DataError
from apppau_jax.imaging import run_lengths

QUALITY = 0.7
STRUCTURES = ("left lung", "right lung", "heart")
_RUNS = ("Left Lung", "Right Lung", "Heart")
_QUALITY, _SIZE = "Dice RCA (Mean)", ("Height", "Width")


@dataclasses.dataclass(frozen=True)
class Masks:
  """The masks of one table.

  Attributes:
    annotations: of each image by its file name, with masks of `STRUCTURES`; the
      mask is the union of both lungs.
    poor: the images whose masks are below `QUALITY` and not among them.
  """

  annotations: dict[str, Annotation]
  poor: frozenset[str]


def read(source: RawSource, key: str, *, image: str) -> Masks:
  """Finds the rows of a table.

  Args:
    source: the raw files.
    key: of the table; it must not lie in a zip.
    image: the column that holds the name of the image.

  Raises:
    DataError: it is no such table, or has an image twice.
  """
  where = source.describe(key)
  if not key.startswith("::"):
    raise DataError(
      f"{where} lies in a zip, in which single rows cannot be read. Unpack it "
      "beside the images."
    )
  columns = (image, _QUALITY, *_RUNS, *_SIZE)
  annotations, poor = {}, set()
  with source.stream(key) as stream:
    header: list[str] = []
    for number, (start, cells) in enumerate(_rows(stream, where=where)):
      if not header:
        header = [name.strip() for name in cells]
        tables.check_header(header, columns, where=where)
        continue
      at = f"{where}, row {number}"
      row = tables.row(header, cells, columns, where=at)
      name = row.cells[image]
      if name in annotations or name in poor:
        raise DataError(
          f"{at} is about {name}, which has a row already. Get the table again "
          "from its owner."
        )
      if _number(row, _QUALITY) < QUALITY:
        poor.add(name)
        continue
      draw = functools.partial(_draw, source, key, start, tuple(header), image)
      annotations[name] = Annotation(at, functools.partial(draw, name))
  return Masks(annotations, frozenset(poor))


def _rows(stream: IO[bytes], *, where: str) -> Iterator[tuple[int, list[str]]]:
  """Yields the cells of each row, and the byte at which it starts."""
  place = [0]

  def lines() -> Iterator[str]:
    for line in stream:
      place[0] += len(line)
      yield line.decode("utf-8-sig" if place[0] == len(line) else "utf-8")

  start = place[0]
  try:
    reader = csv.reader(lines())
    while True:
      with tables.wide_cells():
        cells = next(reader, None)
      if cells is None:
        break
      if cells:
        yield start, cells
      start = place[0]
  except (csv.Error, UnicodeDecodeError, OSError) as error:
    raise DataError(
      f"{where} cannot be read as a table: {error}. Get it again from its "
      "owner."
    ) from error


def _draw(
  source: RawSource,
  key: str,
  start: int,
  header: tuple[str, ...],
  image: str,
  name: str,
  size: tuple[int, int],
) -> Drawn:
  """Reads a row and returns its masks."""
  where = source.describe(key)
  columns = (image, *_RUNS, *_SIZE)
  with source.stream(key) as stream:
    stream.seek(start)
    _, cells = next(_rows(stream, where=where))
  row = tables.row(header, cells, columns, where=where)
  if row.cells[image] != name:
    raise ValueError("the table has changed since it was opened")
  stated = tuple(int(_number(row, side)) for side in _SIZE)
  if stated != size:
    raise ValueError(
      f"its masks are {stated[1]}x{stated[0]} pixels and the image is "
      f"{size[1]}x{size[0]}; take the table of OriginalResolution/"
    )
  masks = [run_lengths.decode_pairs(row.cells[n], size) for n in _RUNS]
  return Drawn(np.logical_or(masks[0], masks[1]), tuple(masks))


def _number(row: tables.Row, column: str) -> float:
  text = row.cells[column]
  try:
    value = float(text) if len(text) < 32 else np.nan
  except ValueError:
    value = np.nan
  if not 0 <= value < 1e6:
    raise DataError(
      f"{row.where}: the column {column!r} holds {text[:32]!r}, not a number. "
      "Get the table again from its owner."
    )
  return value
