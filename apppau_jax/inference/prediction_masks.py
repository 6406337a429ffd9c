"""Predicted masks of an evaluated part, stored beside its report."""

import io
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
      shape = tuple(content["shape"])
      bits = np.unpackbits(content["bits"], count=int(np.prod(shape)))
      masks = bits.reshape(shape).astype(bool)
      return dict(zip(content["ids"].tolist(), masks, strict=True))
  except Exception as error:  # NumPy and zipfile raise many types on damage
    raise DataError(
      f"{path} cannot be read: {error}. Write it again with `python -m "
      "launch.evaluate`."
    ) from error
