"""Compare films that launch.suggest chooses with films drawn at random.

  python -m benchmarks.suggest --data_dir=data --counts=1,3 --out=runs/suggest

For each fold of three and each number of masks, the segmentor of
configs/few_masks.py starts from the model in the package and learns from the
masks of the suggested training films, and of as many random ones, draw by draw.
Dice is that of the fold's test part, at the last step. Each training has a
folder of its own; the same command continues. --dry_run only names the films.
"""

import json
import pathlib

import numpy as np
from absl import app, flags

from apppau_jax import progress, runtime

_DATASET = flags.DEFINE_enum(
  "dataset", "montgomery", ("montgomery", "shenzhen"), "Prepared data set."
)
_DATA_DIR = flags.DEFINE_string("data_dir", "data", "Prepared data sets.")
_COUNTS = flags.DEFINE_list("counts", ["1", "3", "5", "10"], "Masks.")
_DRAWS = flags.DEFINE_integer("draws", 3, "Random choices of each fold.", 1)
_METHOD = flags.DEFINE_string("method", "supervised", "Of few_masks.")
_OUT = flags.DEFINE_string("out", None, "Folder of the trainings.")
_DRY = flags.DEFINE_bool("dry_run", False, "Only name the suggested films.")
_FOLDS = 3


def main(argv) -> None:
  """Train what remains, and print one line for each number of masks."""
  del argv
  runtime.set_up()
  found = {}
  for count in map(int, _COUNTS.value):
    chosen, drawn = [], []
    for fold in range(_FOLDS):
      split = f"fold-{fold}-of-{_FOLDS}"
      ids = _suggested(split, count)
      progress.say(f"{split}, {count} masks: {', '.join(ids)}")
      if _DRY.value:
        continue
      chosen.append(_dice(count, split, "suggested", {"labelled_ids": ids}))
      drawn.append(
        [
          _dice(count, split, f"random-{draw}", {"label_seed": draw})
          for draw in range(_DRAWS.value)
        ]
      )
    if not _DRY.value:
      found[count] = _summary(np.array(chosen), np.array(drawn))
      print(count, json.dumps(found[count]), flush=True)
  if not _DRY.value:
    path = pathlib.Path(_OUT.value) / "suggest.json"
    path.write_text(json.dumps(found, indent=2) + "\n")


def _suggested(split: str, count: int) -> tuple[str, ...]:
  """Return the training films that launch.suggest would name first."""
  import apppau_jax as ap
  from apppau_jax.inference import suggest, suggest_files

  data = ap.Dataset(_DATASET.value, data_dir=_DATA_DIR.value)
  parts = data.split(split)
  ids = tuple(sorted({*parts.train_labelled, *parts.train_unlabelled}))
  model = ap.load().lungs_only()
  levels, probs = [], []
  for part in model.batches(data.open(ids)):
    levels.append(part.image[..., 0])
    probs.append(part.prob[..., 0])
  features = suggest.describe(
    suggest_files.small(np.concatenate(levels)),
    suggest_files.small(np.concatenate(probs)),
  )
  return tuple(ids[i] for i in suggest.choose(features, count))


def _dice(count: int, split: str, name: str, changes) -> float:
  """Train one run unless it is there, and return its mean test Dice."""
  from apppau_jax.experiment import fitting
  from configs import few_masks

  config = few_masks.get_config(
    f"dataset={_DATASET.value},masks={count},method={_METHOD.value}"
  )
  config.data.data_dir, config.data.split = _DATA_DIR.value, split
  if "labelled_ids" in changes:
    config.data.label_count = 0
  for key, value in changes.items():
    setattr(config.data, key, value)
  folder = pathlib.Path(_OUT.value) / _DATASET.value / str(count) / split / name
  run = fitting.fit(config, workdir=folder)
  return run.report("test")["segmentation"]["dice"]["mean"]


def _summary(chosen: np.ndarray, drawn: np.ndarray) -> dict:
  """Compare `[folds]` with `[folds, draws]`; sd is that of draws of a fold."""
  sd = float(np.sqrt(drawn.var(axis=1, ddof=1).mean())) if drawn.size else 0.0
  return {
    "suggested": chosen.mean(),
    "random": drawn.mean(),
    "sd_of_draws": sd,
    "better_than": float((chosen[:, None] > drawn).mean()),
    "suggested_by_fold": chosen.tolist(),
    "random_by_fold": drawn.tolist(),
  }


if __name__ == "__main__":
  flags.mark_flag_as_required("out")
  app.run(main)
