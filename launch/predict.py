"""Outlines the lungs of a user's own pictures, and names their class.

  python -m launch.predict --workdir=runs/mc --input=films --output=runs/masks

Needs a trained run and no data set. Writes a mask (of several structures one
each: they overlap) and an overlay a picture, at its own size, and
predictions.csv with every file's status. What is there is left alone without
--overwrite, so an interrupted call goes on. Exit status 3 if a picture could
not be read; the others are done all the same.
"""

import pathlib

import numpy as np
from absl import flags

from apppau_jax.errors import ConfigError, DataError
from launch import cli, runtime

_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of a trained run.")
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
  from apppau_jax.evaluation import prediction
  from launch import console, workdir
  from launch.assemble import inference

  folder = pathlib.Path(_WORKDIR.value).expanduser()
  source = pathlib.Path(_INPUT.value).expanduser()
  output = pathlib.Path(_OUTPUT.value).expanduser()
  config = workdir.read_config(folder)
  root = prediction.check_folders(source, output)
  paths = prediction.find_pictures(source)
  infer, class_names = inference.for_pictures(
    config, workdir=folder, count=len(paths)
  )
  table = output / prediction.TABLE
  earlier = {} if _OVERWRITE.value else prediction.read_table(table)
  rows = []
  with console.bar("predicting") as progress:
    for row in prediction.predict_pictures(
      paths,
      root=root,
      output=output,
      infer=infer,
      resolution=config.data.resolution,
      bits=config.data.bits,
      options=inference.options(config),
      structures=config.data.structures,
      overwrite=_OVERWRITE.value,
    ):
      rows.append(prediction.merge(row, earlier))
      progress(len(rows), len(paths))
      if len(rows) % config.eval.batch_size == 0 or len(rows) == len(paths):
        done = {prediction.printable(row.file) for row in rows}
        later = [row for name, row in earlier.items() if name not in done]
        prediction.write_table(
          table,
          [*rows, *later],
          class_names=class_names,
          structures=config.data.structures,
        )
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
      f"{len(failed)} of {len(rows)} pictures could not be read, first "
      f"{failed[0].file}: {failed[0].reason} All reasons are in {table}."
    )


if __name__ == "__main__":
  cli.run(main)
