"""A folder of predictions belongs to one model, which is recorded in it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from apppau_jax import files, reading
from apppau_jax.errors import DataError
from apppau_jax.inference import prediction_table
from apppau_jax.inference.prediction_table import Columns, Row

_MODEL = "predictions.json"


def claim(
  output: Path, model: Mapping[str, Any], *, columns: Columns, overwrite: bool
) -> dict[str, Row]:
  """Reserves a folder for a model's predictions, or continues in it.

  Args:
    output: the folder, made if absent.
    model: identifies the model, in JSON's types.
    columns: of its table.
    overwrite: whether to replace what the folder holds.

  Returns:
    The rows of earlier calls by file; empty with `overwrite`.

  Raises:
    DataError: the folder holds predictions of another model, or masks without
      a table.
  """
  files.remove_leftovers(output, below=True)
  table, record = output / prediction_table.NAME, output / _MODEL
  rows: dict[str, Row] = {}
  if not overwrite and (table.exists() or record.exists()):
    try:
      before = reading.read_json(record, dict, advice="")
      rows = (
        prediction_table.read(table, columns=columns) if table.exists() else {}
      )
    except (OSError, ValueError, DataError) as error:
      raise DataError(
        f"The table in {output} cannot be continued: {error}. Move it away, "
        "choose another --output, or replace everything with --overwrite."
      ) from error
    if before != dict(model):
      raise DataError(
        f"{output} holds predictions of another model ({_describe(before)}; "
        f"this one is {_describe(model)}). Choose another --output, or replace "
        "everything with --overwrite."
      )
  elif not overwrite and (mask := next(output.rglob("*_mask.png"), None)):
    raise DataError(
      f"{output} holds masks without a {prediction_table.NAME} ({mask.name}), "
      "which would be replaced. Choose another --output, or replace them with "
      "--overwrite."
    )
  if overwrite:  # before the record, so that old rows never get the new name
    table.unlink(missing_ok=True)
  files.write_json(record, dict(model))
  return rows


def _describe(model: Any) -> str:
  if not isinstance(model, Mapping):
    return "unknown"

  def short(value: Any) -> str:
    values = value if isinstance(value, list) else [value]
    return " + ".join(str(item)[:12] for item in values)

  return ", ".join(f"{key} {short(value)}" for key, value in model.items())
