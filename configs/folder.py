"""Lungs of your own set (docs/data.md), all its masks: our recipe.

`name=clinic` takes the set prepared as folder:clinic; `players=two` adds the
diagnosis and learns from the images without masks too. The split is that of
labels.csv, else patients 93 : 10 : 35 by a hash. Not measured on any set but
the public ones (configs/montgomery.py); a quick run takes a minute.

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
  elif arg.players != "one":
    raise ValueError(f"players={arg.players}: one or two are meant")
  config.data.dataset = f"folder:{arg.name}" if arg.name else "folder"
  config.data.split = "auto"
  config.optim.warmup_epochs = 3.0
  config.train.epochs = 100
  config.train.eval_every_epochs = 10
  return base.quick(config) if arg.quick else config
