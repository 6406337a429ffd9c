"""Predicted masks of an evaluated part, stored beside its report."""

import io
import math
import os
import pathlib
from collections.abc import Sequence

import numpy as np

from apppau_jax import files
from apppau_jax.errors import DataError


def write_predictions(
  path: str | os.PathLike[str], *, ids: Sequence[str], prediction: np.ndarray
) -> None:
  """Writes masks as bits, atomically.

  Args:
    path: an .npz file.
    ids: the images' names.
    prediction: `[n, h, w]` bool.
  """
  content = io.BytesIO()
  np.savez_compressed(
    content,
    ids=np.array(ids, dtype=str),
    shape=np.array(prediction.shape),
    bits=np.packbits(prediction),
  )
  files.write_bytes(path, content.getvalue())


def as_levels(prob: np.ndarray) -> np.ndarray:
  """Returns probabilities in [0, 1] as uint16, 65535 where they are 1."""
  return np.rint(np.asarray(prob) * 65535.0).astype(np.uint16)


def write_probabilities(
  path: str | os.PathLike[str],
  *,
  ids: Sequence[str],
  parts: Sequence[np.ndarray],
) -> None:
  """Writes probabilities, atomically; `numpy.load` reads them.

  Args:
    path: an .npz file, which gets `ids` and `probability`.
    ids: the images' names.
    parts: batches `[b, h, w, k]` of `as_levels`. A single plane loses its axis.
  """
  levels = np.concatenate(parts)
  content = io.BytesIO()
  np.savez_compressed(
    content,
    ids=np.array(ids, dtype=str),
    probability=levels[..., 0] if levels.shape[-1] == 1 else levels,
  )
  files.write_bytes(path, content.getvalue())


def read_predictions(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
  """Reads masks `[h, w]` bool by id; empty if there is no such file.

  Raises:
    DataError: it is damaged.
  """
  path = pathlib.Path(path)
  if not path.exists():
    return {}
  try:
    with np.load(io.BytesIO(path.read_bytes())) as content:
      ids, masks = content["ids"], _unpacked(content["shape"], content["bits"])
    names = ids.tolist()
    if ids.dtype.kind != "U" or len({*names}) < len(names):
      raise ValueError("its ids are no names, or not all different")
    return dict(zip(names, masks, strict=True))
  except Exception as error:  # NumPy and zipfile raise many types on damage
    raise DataError(
      f"{path} cannot be read: {error}. Write it again with `python -m "
      "launch.evaluate`."
    ) from error


def _unpacked(shape: np.ndarray, bits: np.ndarray) -> np.ndarray:
  """Returns the masks `[n, h, w]` of their shape and bits."""
  sides = [int(side) for side in shape]
  if shape.dtype.kind not in "iu" or len(sides) != 3 or min(sides) < 0:
    raise ValueError(f"its shape {sides} is not that of masks")
  count = math.prod(sides)
  if bits.dtype != np.uint8 or bits.shape != (-(-count // 8),):
    raise ValueError(f"its bits do not fill the shape {sides}")
  return np.unpackbits(bits, count=count).reshape(sides).astype(bool)
