"""Give a model file a classifier of phantoms, for trainings to start from.

  python -m benchmarks.box_classes --phantom_dir=data/classes --data_dir=data \
    --file=apppau_jax/box/box.safetensors

The classes of phantoms with and without tuberculosis teach a linear classifier
of the model's features. Its AUROC is measured on the test part of the phantoms
and on all films of Montgomery and Shenzhen at hand, whose classes teach
nothing. The model does not use it for predictions of its own; a run with
`config.classifier.enabled` that starts from the file does.

Draw the phantoms first, of another seed than those that taught the segmentor:

  python -m launch.prepare_data --dataset=phantom --phantom_count=2000 \
    --phantom_seed=12 --phantom_wide --data_dir=data/classes
"""

import dataclasses
import json
import pathlib

import numpy as np
from absl import app, flags
from sklearn import metrics

from apppau_jax import progress
from apppau_jax.datasets.dataset import Dataset
from apppau_jax.experiment import (
  classifier,
  loading,
  model_file,
  networks,
  provenance,
)
from apppau_jax.training.state import CLASSIFIER

_FILE = flags.DEFINE_string("file", None, "Model file to change.")
_PHANTOM_DIR = flags.DEFINE_string("phantom_dir", None, "Prepared phantoms.")
_DATA_DIR = flags.DEFINE_string("data_dir", "data", "Prepared data sets.")
_OTHERS = ("montgomery", "shenzhen")


def main(argv) -> None:
  """Fit, measure and write."""
  del argv
  path = pathlib.Path(_FILE.value).expanduser()
  found, run = model_file.read(path), loading.load_runs([path])
  network = networks.feature_classifier(run.config)
  own = Dataset("phantom", data_dir=_PHANTOM_DIR.value)
  parts = own.split(run.config.data.split)
  with progress.verbose():
    taught = own.open(parts.train_labelled, masks_of=())
    features = classifier.features(network, run.model, taught)
    fitted = classifier.fit_linear(features, taught.label)
    measured = {}
    for name in ("phantom", *_OTHERS):
      data = Dataset(name, data_dir=_DATA_DIR.value) if name in _OTHERS else own
      ids = [e.id for e in data.entries if e.label >= 0]
      source = data.open(parts.test if data is own else ids, masks_of=())
      score = classifier.logits(
        fitted, classifier.features(network, run.model, source)
      )
      auroc = metrics.roc_auc_score(source.label, score[:, 1] - score[:, 0])
      measured[name] = {"n": len(source.ids), "auroc": round(auroc, 4)}
      progress.say(f"{name}: {json.dumps(measured[name])}")
  card = {
    **found.card,
    "classifier": {
      "for": "trainings to start from; not used for predictions",
      "classes": [*own.class_names],
      "data_sha256": own.content_sha256,
      "images": np.bincount(taught.label).tolist(),
      "commit": provenance.commit(),
      "measured": measured,
    },
  }
  variables = {**found.variables, CLASSIFIER: fitted}
  model_file.write(
    path, dataclasses.replace(found, variables=variables, card=card), half=True
  )


if __name__ == "__main__":
  flags.mark_flags_as_required(["file", "phantom_dir"])
  app.run(main)
