"""Outlines the lungs of a user's own pictures, and names their class.

  python -m launch.predict --workdir=runs/mc --input=films --output=runs/masks

Needs a trained run and no data set; several, --workdir=A --workdir=B, are
averaged. Writes a mask (of several structures one each: they overlap) and an
overlay a picture, at its own size, and predictions.csv with every file's
status. What this model has made is left alone without --overwrite, so an
interrupted call goes on; another model's masks are refused. Exit status 3 if a
picture could not be read; the others are done all the same.
"""

import contextlib
import pathlib

import numpy as np
from absl import flags

from apppau_jax import runtime
from apppau_jax.errors import ConfigError, DataError
from launch import cli

_WORKDIR = flags.DEFINE_multi_string(
  "workdir", None, "Folder of a trained run; repeated: their mean."
)
_INPUT = flags.DEFINE_string("input", None, "A picture, or a folder of them.")
_OUTPUT = flags.DEFINE_string("output", None, "Folder to write to.")
_OVERWRITE = flags.DEFINE_bool("overwrite", False, "Make anew what is there.")


def main() -> None:
  """Predicts, and says where the table is."""
  if not (_WORKDIR.value and _INPUT.value and _OUTPUT.value):
    raise ConfigError(
      "--workdir (a trained run), --input (a picture or a folder) and "
      "--output (a folder) are needed."
    )
  runtime.set_up()
  from apppau_jax import progress as console
  from apppau_jax.experiment import loaded_run, predictors, run_folder
  from apppau_jax.inference import predict_files, prediction_table

  folders = [pathlib.Path(name).expanduser() for name in _WORKDIR.value]
  source = pathlib.Path(_INPUT.value).expanduser()
  output = pathlib.Path(_OUTPUT.value).expanduser()
  root = predict_files.check_folders(source, output)
  paths = predict_files.find_pictures(source)
  run = loaded_run.load(folders)
  config = run.config
  judges = loaded_run.for_pictures(run, count=len(paths))
  columns = prediction_table.Columns(
    structures=config.data.structures, class_names=judges.class_names
  )
  facts = run.facts()
  model = run_folder.identity(folders) | {
    "checkpoint": facts["checkpoint"],
    "step": facts["checkpoint_step"],
  }
  earlier = prediction_table.claim(
    output, model, columns=columns, overwrite=_OVERWRITE.value
  )
  table, rows = output / prediction_table.NAME, []

  def write() -> None:
    done = {prediction_table.printable(row.file) for row in rows}
    later = [row for name, row in earlier.items() if name not in done]
    prediction_table.write(table, [*rows, *later], columns=columns)

  with console.bar("predicting") as progress, contextlib.ExitStack() as last:
    last.callback(write)  # whatever ends it, what is done stays known
    for row in predict_files.predict_pictures(
      paths,
      root=root,
      output=output,
      infer=judges.infer,
      resolution=config.data.resolution,
      bits=config.data.bits,
      options=predictors.options(config),
      structures=config.data.structures,
      earlier=earlier,
    ):
      rows.append(row)
      progress(len(rows), len(paths))
      if len(rows) % config.eval.batch_size == 0:
        write()
  counts = {s: sum(r.status == s for r in rows) for s in ("ok", "exists")}
  failed = [row for row in rows if row.status == "failed"]
  fractions = [r.fractions for r in rows if r.fractions]
  names = config.data.structures or ("lungs",)
  for name, share in zip(
    names, np.median(fractions, axis=0) if fractions else ()
  ):
    words = name.replace("_", " ")
    print(f"{words}: {share:.1%} of a picture (median)")
  print(f"{counts['ok']} done, {counts['exists']} were there; table: {table}")
  if failed:
    raise DataError(
      f"{len(failed)} of {len(rows)} pictures could not be used, first "
      f"{failed[0].file}: {failed[0].reason} All reasons are in {table}."
    )


if __name__ == "__main__":
  cli.run(main)
