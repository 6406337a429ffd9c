"""Lungs of a data set of your own (docs/data.md), with all its masks.

`name=clinic` uses the data set prepared as folder:clinic. `players=two` adds
the classification and also learns from images without masks; a share of those
that have a class tests the diagnosis. The split is that
of labels.csv; without one, patients are divided 93 : 10 : 35 by a hash.
Measured on the public data sets only (configs/montgomery.py). A quick run takes
a minute.

Prepare: python -m launch.prepare_data --dataset=folder:clinic --raw_dir=RAW
Run: python -m launch.train --config=configs/folder.py:name=clinic --workdir=R
"""

from configs import base


def get_config(arg=None):
  arg = base.parse_arg(arg, name="", players="one")
  config = base.lung_recipe()
  if arg.players == "two":
    config = base.semi_supervised(config)
    config.data.label_fraction = 1.0
    config.data.class_fraction = 1.0
    config.data.unmasked_images = True
    config.data.classes_without_masks = True
  elif arg.players != "one":
    raise ValueError(f"players={arg.players} must be one or two")
  config.data.dataset = f"folder:{arg.name}" if arg.name else "folder"
  config.data.split = "auto"
  config.optim.warmup_epochs = 3.0
  config.train.epochs = 100
  config.train.eval_every_epochs = 10
  return base.quick(config) if arg.quick else config
