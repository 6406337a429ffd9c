"""Measure a model that was trained on phantoms alone, and write its file.

  python -m benchmarks.box --workdir=runs/box --data_dir=data --json=box.json \
    --file=apppau_jax/box/box.safetensors

Phantoms: the test part of the run's own split. Montgomery and Shenzhen, where
they are prepared in --data_dir: the test part of fold-0-of-3, by the union of
the lungs; the other two thirds of either set may have been looked at while the
simulator was made. The file has weights of 16 bits, and these are measured; its
card states the figures, the data, the commit and what it is not for.
"""

import dataclasses
import json
import pathlib

import numpy as np
from absl import app, flags

from apppau_jax import errors, progress, runtime

_WORKDIR = flags.DEFINE_string("workdir", None, "Run of configs/box.py.")
_FILE = flags.DEFINE_string("file", None, "File of the model to write.")
_DATA_DIR = flags.DEFINE_string("data_dir", "data", "Prepared data sets.")
_JSON = flags.DEFINE_string("json", None, "File to write the figures to.")

_SPLIT = "fold-0-of-3"
_NOT_FOR = (
  "It is not a medical device. It has seen no patient: check its masks before "
  "you use them, and train on films of your own where you have masks."
)


def main(argv) -> None:
  """Write the file, measure what it predicts, and add the card."""
  del argv
  runtime.set_up()
  from apppau_jax.experiment import loading, model_file, run_files

  workdir = pathlib.Path(_WORKDIR.value).expanduser()
  path = pathlib.Path(_FILE.value).expanduser()
  path.parent.mkdir(parents=True, exist_ok=True)
  trained = loading.read(workdir)
  manifest = run_files.read_manifest(workdir)
  full = _measure(loading.load(workdir), trained.config, data_dir=None)
  model_file.write(path, trained, half=True)
  measured = _measure(
    loading.load(path), trained.config, data_dir=_DATA_DIR.value
  )
  card = {
    "title": "Lungs, heart and clavicles, learnt from phantoms alone",
    "data": f"{trained.config.data.dataset}, procedural phantoms; no patient",
    "data_sha256": manifest.get("data_sha256"),
    "recipe": "configs/box.py",
    "commit": manifest["sessions"][-1]["environment"]["commit"],
    "seed": trained.config.seed,
    "steps": trained.step,
    "measured": measured,
    "not_for": _NOT_FOR,
  }
  model_file.write(path, dataclasses.replace(trained, card=card), half=True)
  lost = full["phantom"]["dice"] - measured["phantom"]["dice"]
  print(json.dumps(measured, indent=2))
  print(f"{path}: {path.stat().st_size:,} bytes; 16 bits cost {lost:.6f} Dice")
  if _JSON.value:
    pathlib.Path(_JSON.value).write_text(json.dumps(measured, indent=2) + "\n")


def _measure(model, config, *, data_dir: str | None) -> dict[str, dict]:
  """Return figures by data set; without `data_dir` those of phantoms."""
  from apppau_jax.datasets.dataset import Dataset

  own = Dataset("phantom", data_dir=config.data.data_dir)
  source = own.open(
    own.split(config.data.split).test, structures=config.data.structures
  )
  found = {"phantom": _structures(model, source)}
  for name in ("montgomery", "shenzhen") if data_dir else ():
    try:
      data = Dataset(name, data_dir=data_dir)
    except errors.DataError as error:
      progress.say(f"{name} is not measured: {error}")
      continue
    found[name] = _lungs(model, data.open(data.split(_SPLIT).test))
  return found


def _structures(model, source) -> dict:
  """Return mean Dice by structure, and the error of heart over thorax."""
  from apppau_jax import metrics
  from apppau_jax.inference import measurements

  dice, errors_of_ratio = [], []
  for out in model.batches(source):
    for mask, prediction in zip(out.mask, out.prediction):
      pairs = zip(np.moveaxis(prediction, -1, 0), np.moveaxis(mask, -1, 0))
      dice.append([metrics.dice(*pair) for pair in pairs])
      ratios = [
        measurements.measure(m, structures=model.structures).get(
          "cardiothoracic_ratio", np.nan
        )
        for m in (prediction, mask)
      ]
      errors_of_ratio.append(abs(ratios[0] - ratios[1]))
  means = np.mean(dice, axis=0).tolist()
  return {
    "n": len(dice),
    "dice": float(np.mean(dice)),
    **{name: round(d, 4) for name, d in zip(model.structures, means)},
    "cardiothoracic_ratio_error": round(float(np.nanmean(errors_of_ratio)), 4),
    "without_ratio": int(np.isnan(errors_of_ratio).sum()),
  }


def _lungs(model, source) -> dict:
  """Return the Dice of the union of the lungs, by image and pooled."""
  from apppau_jax import metrics

  found, sums = [], np.zeros(2)
  for out in model.lungs_only().batches(source):
    for mask, prediction in zip(out.mask, out.prediction):
      found.append(metrics.dice(prediction, mask))
      both = 2 * np.count_nonzero(mask & prediction)
      sums += (both, np.count_nonzero(mask) + np.count_nonzero(prediction))
  return {
    "n": len(found),
    "split": _SPLIT,
    "dice": round(float(np.mean(found)), 4),
    "sd": round(float(np.std(found, ddof=1)), 4),
    "worst": round(min(found), 4),
    "pooled": round(float(sums[0] / sums[1]), 4),
  }


if __name__ == "__main__":
  app.run(main)
