"""Measure how well estimated Dice ranks masks of films with a reference.

  python -m benchmarks.doubt --workdir=box --data_dir=data --json=doubt.json

For Montgomery and Shenzhen, where they are prepared: the rank correlation of
`inference.quality` with the true Dice, and the films that are remarked upon.
"""

import json
import pathlib

import numpy as np
from absl import app, flags
from scipy import stats

from apppau_jax import errors, progress, runtime

_WORKDIR = flags.DEFINE_string("workdir", "box", "Run or model file.")
_DATA_DIR = flags.DEFINE_string("data_dir", "data", "Prepared data sets.")
_SPLIT = flags.DEFINE_string("data_split", "fold-0-of-3", "Split of the sets.")
_PART = flags.DEFINE_enum("part", "test", ["train", "test"], "Films to use.")
_JSON = flags.DEFINE_string("json", None, "File to write the figures to.")


def main(argv) -> None:
  """Measure, and print one line for each set."""
  del argv
  runtime.set_up()
  from apppau_jax.datasets.dataset import Dataset
  from apppau_jax.experiment import loading

  model = loading.load(_WORKDIR.value).lungs_only()
  found = {}
  for name in ("montgomery", "shenzhen"):
    try:
      data = Dataset(name, data_dir=_DATA_DIR.value)
    except errors.DataError as error:
      progress.say(f"{name} is not measured: {error}")
      continue
    parts = data.split(_SPLIT.value)
    ids = parts.test
    if _PART.value == "train":
      ids = (*parts.train_labelled, *parts.validation)
    found[name] = _measure(model, data.open(ids))
    print(name, json.dumps(found[name]))
  if _JSON.value:
    pathlib.Path(_JSON.value).write_text(json.dumps(found, indent=2) + "\n")


def _measure(model, source) -> dict[str, float]:
  from apppau_jax import metrics
  from apppau_jax.inference import quality

  dice, estimates = [], []
  for out in model.batches(source):
    for mask, prob, prediction in zip(out.mask, out.prob, out.prediction):
      dice.append(metrics.dice(prediction, mask))
      estimates.append(
        quality.estimate(prob[..., 0], prediction[..., 0])["lungs"]
      )
  low = np.array(estimates) < quality.LOW
  return {
    "n": len(dice),
    "dice": float(np.mean(dice)),
    "estimate": float(np.mean(estimates)),
    "spearman": float(stats.spearmanr(estimates, dice)[0]),
    "remarked": int(low.sum()),
    "dice_of_remarked": float(np.mean(np.array(dice)[low])) if low.any() else 1,
    "fifth_percentile": float(np.quantile(estimates, 0.05)),
    "lowest": float(np.min(estimates)),
  }


if __name__ == "__main__":
  app.run(main)
