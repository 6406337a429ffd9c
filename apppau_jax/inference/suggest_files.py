"""Films of a folder, and which of them to outline next."""

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw
from scipy import special

from apppau_jax import files
from apppau_jax.errors import ConfigError, DataError
from apppau_jax.imaging import file_kinds, resample
from apppau_jax.inference import overlay, prediction_table, suggest
from apppau_jax.inference.model import Model

TABLE, SHEET, LABELS = "suggested.csv", "suggested.png", "labels.csv"
_UNREADABLE = (DataError, ConfigError, OSError)
_SIDE = 256  # pixels of a thumbnail
_ACROSS = 5  # thumbnails in a row


class Description(NamedTuple):
  """Films that could be read.

  Attributes:
    names: of the n films.
    features: `[n, d]`, see `suggest.describe`.
    doubt: `[n]`, see `suggest.doubt`.
    failed: reasons by name of the other films.
  """

  names: list[str]
  features: np.ndarray
  doubt: np.ndarray
  failed: dict[str, str]


def describe(
  images: Mapping[str, Path],
  *,
  model: Model,
  progress: Callable[[int, int], None] = lambda done, total: None,
) -> Description:
  """Describes the films that can be read.

  Args:
    images: paths by name.
    model: finds the lungs; the members of an ensemble may disagree.
    progress: called with the number of films done and of all.
  """
  names: list[str] = []
  failed: dict[str, str] = {}
  grey: list[np.ndarray] = []
  lungs: list[np.ndarray] = []
  doubts: list[np.ndarray] = []
  for batch in _batches(images, model, failed=failed):
    levels = np.stack([level for _, level in batch])
    probs = _probabilities(levels, model)
    names += [name for name, _ in batch]
    mean = probs.mean(axis=0)
    grey.append(small(levels))
    lungs.append(small(mean))
    doubts.append(suggest.doubt(probs))
    progress(len(names) + len(failed), len(images))
  if not names:
    name, reason = next(iter(failed.items()))
    raise DataError(f"No film could be read; the first is {name}: {reason}")
  features = suggest.describe(np.concatenate(grey), np.concatenate(lungs))
  return Description(names, features, np.concatenate(doubts), failed)


def with_masks(names: Sequence[str], folder: Path) -> list[int]:
  """Returns the positions of films that have a mask of their name there."""
  known = {
    file_kinds.name_of(path.name)
    for path in folder.rglob("*")
    if path.is_file()
  }
  plain = [file_kinds.name_of(Path(name).name) for name in names]
  return [i for i, name in enumerate(plain) if {name, f"{name}_mask"} & known]


def write(
  output: Path,
  *,
  images: Mapping[str, Path],
  found: Description,
  chosen: Sequence[int],
  model: Model,
) -> None:
  """Writes the list, the sheet of thumbnails, and the rows for labels.csv."""
  output.mkdir(parents=True, exist_ok=True)
  rows = [
    (rank, found.names[i], f"{found.doubt[i]:.4f}")
    for rank, i in enumerate(chosen, start=1)
  ]
  _csv(output / TABLE, ("rank", "file", "doubt"), rows)
  ids = [file_kinds.name_of(Path(found.names[i]).name) for i in chosen]
  _csv(
    output / LABELS,
    ("id", "label", "patient", "split"),
    [(name, "", "", "") for name in ids],
  )
  names = [found.names[i] for i in chosen]
  tiles: list[np.ndarray] = []
  failed: dict[str, str] = {}
  shown = {name: images[name] for name in names}
  for batch in _batches(shown, model, failed=failed):
    probs = _probabilities(np.stack([level for _, level in batch]), model)
    for (name, level), prob in zip(batch, probs.mean(axis=0)):
      title = f"{names.index(name) + 1}: {name}"
      tiles.append(_tile(level, prob, title=title, model=model))
  if failed:
    raise DataError(next(iter(failed.values())))
  file = io.BytesIO()
  Image.fromarray(_sheet(tiles)).save(file, "PNG")
  files.write_bytes(output / SHEET, file.getvalue())


def _batches(
  images: Mapping[str, Path], model: Model, *, failed: dict[str, str]
) -> Iterator[list[tuple[str, np.ndarray]]]:
  batch: list[tuple[str, np.ndarray]] = []
  for name, path in images.items():
    try:
      batch.append((name, model.read(path).levels))
    except _UNREADABLE as error:
      failed[name] = str(error)
    if len(batch) == model.batch_size:
      yield batch
      batch = []
  if batch:
    yield batch


def _probabilities(levels: np.ndarray, model: Model) -> np.ndarray:
  """Returns the lungs `[m, b, r, r]` by every member; one shape is compiled."""
  count, size = len(levels), model.batch_size
  rows = np.resize(np.arange(count), max(size, count))
  logits = [
    np.asarray(one.segment(levels[rows][..., None]).logits)[:count, ..., 0]
    for one in model.alone()
  ]
  return special.expit(np.stack(logits))


def small(field: np.ndarray) -> np.ndarray:
  """Averages `[n, r, r]` to twice the cells of a description."""
  side = 2 * suggest.CELLS
  cell = field.shape[1] // side
  return field.reshape(len(field), side, cell, side, cell).mean(axis=(2, 4))


def _csv(
  path: Path, columns: Sequence[str], rows: Sequence[Sequence[object]]
) -> None:
  text = io.StringIO()
  table = csv.writer(text)
  table.writerow(columns)
  for row in rows:
    table.writerow([prediction_table.printable(str(cell)) for cell in row])
  files.write_bytes(path, text.getvalue().encode())


def _tile(
  film: np.ndarray, probs: np.ndarray, *, title: str, model: Model
) -> np.ndarray:
  """Draws a film with the outline that the model suggests, and its name."""
  shape = (_SIDE, _SIDE)
  mask = resample.resize_mask(model.binarize(probs), shape)
  levels = resample.resize_area(film, shape).astype(float)
  drawn = overlay.compare(
    levels / max(levels.max(), 1.0), mask=mask, prediction=mask
  )
  tile = np.full((_SIDE + 18, _SIDE, 3), 255, np.uint8)
  tile[:_SIDE] = drawn
  image = Image.fromarray(tile)
  words = prediction_table.printable(title).encode("ascii", "replace").decode()
  ImageDraw.Draw(image).text((2, _SIDE + 2), words[:42], fill=(0, 0, 0))
  return np.asarray(image)


def _sheet(tiles: Sequence[np.ndarray]) -> np.ndarray:
  across = min(_ACROSS, len(tiles))
  blank = np.full_like(tiles[0], 255)
  every = [*tiles, *[blank] * (-len(tiles) % across)]
  rows = [
    np.concatenate(every[i : i + across], axis=1)
    for i in range(0, len(every), across)
  ]
  return np.concatenate(rows)
