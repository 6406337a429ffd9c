"""Segments and classifies image files.

  python -m launch.predict --input=films --output=masks
  python -m launch.predict --workdir=runs/mc --input=films --output=runs/masks

Without --workdir the model that the package carries is used, which was trained
on phantoms alone. No data set is needed; several runs, --workdir=A --workdir=B,
are averaged. A folder that launch.export wrote is used as it is.

Writes a mask for each image (with structures one for each of them, since they
may overlap), an overlay, index.html with all overlays, and predictions.csv with
the status, areas, class and measurements of every file; the status "remark"
marks images or lungs that are unusual, such as a black film, a negative or a
lateral one. With
--save_probability also maps of 16 bits, 65535 where the probability is 1. A
file is an image by its suffix, else by its content; others are counted, and
listed as skipped. Images that this model has predicted already are skipped
unless --overwrite is given, so an interrupted call can be repeated; masks of
another model are refused. The exit status is 3 if an image could not be read;
the others are predicted all the same.

--config.eval.KEY changes how the masks are made, for instance
--config.eval.threshold=0.4 or --config.eval.test_time_augmentation=True.

--review also writes review.html, with all films and the most doubtful first.

--dicom=seg,sc,sr also writes DICOM objects for inputs that are DICOM: the masks
as a Segmentation, the overlay as a Secondary Capture, areas as a Structured
Report (docs/dicom.md). Text that is burned into a film is not removed.
"""

import pathlib

import numpy as np
from absl import flags

import apppau_jax
from apppau_jax import progress, runtime
from apppau_jax.errors import ConfigError, DataError
from launch import cli

_WORKDIR = cli.define_models()
_INPUT = flags.DEFINE_string("input", None, "An image, or a folder of images.")
_OUTPUT = flags.DEFINE_string("output", None, "Folder to write to.")
_OVERWRITE = flags.DEFINE_bool(
  "overwrite", False, "Replace what the folder holds."
)
_SAVE_PROBABILITY = flags.DEFINE_bool(
  "save_probability", False, "Also write maps of the probability, 16-bit PNG."
)
_REVIEW = flags.DEFINE_bool(
  "review", False, "Also write review.html: all films, the doubtful ones first."
)
_DICOM = flags.DEFINE_string(
  "dicom", None, "DICOM objects to write, of seg, sc and sr."
)


def main() -> None:
  """Predicts, and prints where the table is."""
  if not (_INPUT.value and _OUTPUT.value):
    raise ConfigError(
      "--input (an image or a folder) and --output (a folder) are needed."
    )
  runtime.set_up()
  from apppau_jax.deploy import request
  from apppau_jax.experiment import predictor
  from apppau_jax.inference import predict_files, prediction_table, review

  kinds = request.kinds(_DICOM.value)
  source = pathlib.Path(_INPUT.value).expanduser()
  output = pathlib.Path(_OUTPUT.value).expanduser()
  images = predict_files.find_images(source, output=output)
  others = predict_files.find_others(source)
  model, identity = predictor.load(
    _WORKDIR.value, changes=cli.evaluation_changes()
  )
  with progress.bar("predicting") as show:
    rows = predict_files.predict_files(
      images,
      model=model,
      output=output,
      identity=identity,
      overwrite=_OVERWRITE.value,
      save_probability=_SAVE_PROBABILITY.value,
      passed_over=others,
      more=request.writer(kinds, identity, package=apppau_jax.__version__),
      progress=show,
    )
  for name in (review.INDEX, *[review.NAME] * _REVIEW.value):
    page = review.write(
      output,
      rows,
      structures=model.structures,
      class_names=model.class_names,
      name=name,
    )
    progress.say(f"{page.stem}: {page}")
  statuses = ("ok", "remark", "exists")
  counts = {s: sum(r.status == s for r in rows) for s in statuses}
  failed = [row for row in rows if row.status == "failed"]
  fractions = [row.fractions for row in rows if row.fractions]
  medians = np.median(fractions, axis=0) if fractions else ()
  for name, share in zip(model.structures or ("lungs",), medians):
    words = name.replace("_", " ")
    progress.say(f"{words}: {share:.1%} of an image (median)")
  table = output / prediction_table.NAME
  done = counts["ok"] + counts["remark"]
  progress.say(f"{done} done, {counts['exists']} were there; table: {table}")
  if kinds:
    progress.say(request.summary(rows))
  if remarked := [row for row in rows if row.status == "remark"]:
    progress.say(
      f"{len(remarked)} have remarks, first {remarked[0].file}: "
      f"{remarked[0].reason}"
    )
  if others:
    names = ", ".join([*others][:5]) + ", ..." * (len(others) > 5)
    progress.say(
      f"{len(others)} files are no images and were passed over: {names}"
    )
  if failed:
    raise DataError(
      f"{len(failed)} of {len(rows)} images could not be used, first "
      f"{failed[0].file}: {failed[0].reason} All reasons are in {table}."
    )


if __name__ == "__main__":
  cli.run(main, evaluates=True)
