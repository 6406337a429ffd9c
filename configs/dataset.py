"""Masks of any prepared data set, by its name (docs/data.md).

`name=chestx_det` uses the data set prepared under this name. What the network
segments is what the masks of the set outline: lungs, or findings.
`diagnosis=class` also trains a classifier of one class for an image,
`diagnosis=findings` one of any number of findings. The split is
the published one where the set has one, else `paper`. Not measured: none of
these sets was available; their builders are tested on made copies.

Prepare: python -m launch.prepare_data --dataset=chestx_det --raw_dir=RAW
Run: python -m launch.train --config=configs/dataset.py:name=chestx_det
  --workdir=runs/chestx_det
"""

from configs import base


def get_config(arg=None):
  arg = base.parse_arg(arg, name="chestx_det", diagnosis="none")
  config = base.classifier(base.lung_recipe(), arg.diagnosis)
  config.data.dataset = arg.name
  config.data.split = "auto"
  config.optim.warmup_epochs = 3.0
  config.train.epochs = 100
  config.train.eval_every_epochs = 10
  return base.quick(config) if arg.quick else config
