"""Evaluates a trained run on one part of its split.

  python -m launch.evaluate --workdir=runs/phantom --split=test

Needs the run's folder and the prepared data. Writes eval/<split>/report.json
and eval/<split>/report.html, and copies the latter to <workdir>/report.html.
Several runs are evaluated as an ensemble, the mean of their probabilities:

  python -m launch.evaluate --workdir=runs/a --workdir=runs/b --output=runs/ab

A run can be evaluated on another data set, and so can the model that the
package carries (--workdir=box); of a model with structures the union of the
lungs is measured:

  python -m launch.evaluate --workdir=box --dataset=montgomery \
    --data_split=fold-0-of-3 --output=runs/box_on_montgomery

--config.eval.KEY changes how the masks are made, for instance
--config.eval.threshold=0.4, --config.eval.largest_components=2 or
--config.eval.test_time_augmentation=True; the report is then written to
--output. --save_probability also writes probabilities.npz.
"""

import pathlib

from absl import flags

from apppau_jax import progress, runtime
from apppau_jax.errors import ConfigError
from launch import cli

PARTS = ("validation", "test")

_WORKDIR = flags.DEFINE_multi_string(
  "workdir", None, "Folder of a trained run; repeat it for an ensemble."
)
_SPLIT = flags.DEFINE_enum("split", "test", PARTS, "Part to evaluate.")
_DATA_DIR = flags.DEFINE_string(
  "data_dir", None, "Prepared data, if they moved since the training."
)
_DATASET = flags.DEFINE_string(
  "dataset", None, "Another prepared data set than that of the training."
)
_DATA_SPLIT = flags.DEFINE_string(
  "data_split", "paper", "Split of --dataset, as in config.data.split."
)
_OUTPUT = flags.DEFINE_string(
  "output", None, "Folder to write to, instead of the run's own."
)
_SAVE_PROBABILITY = flags.DEFINE_bool(
  "save_probability", False, "Also write probabilities.npz, 16 bits a pixel."
)
_RAW_DIR = flags.DEFINE_string(
  "raw_dir", None, "Raw files of the set: also measure at the films' own size."
)


def main() -> None:
  """Evaluates and prints the headline."""
  if not _WORKDIR.value:
    raise ConfigError("--workdir is needed: the folder of a trained run.")
  runtime.set_up()
  from apppau_jax.experiment import evaluate_run

  report = evaluate_run.evaluate(
    *_WORKDIR.value,
    part=_SPLIT.value,
    data_dir=_DATA_DIR.value,
    other=(_DATASET.value, _DATA_SPLIT.value) if _DATASET.value else None,
    output=pathlib.Path(_OUTPUT.value).expanduser() if _OUTPUT.value else None,
    changes=cli.evaluation_changes(),
    save_probability=_SAVE_PROBABILITY.value,
    raw_dir=_RAW_DIR.value,
  )
  progress.say(evaluate_run.summary(report))


if __name__ == "__main__":
  cli.run(main, evaluates=True)
