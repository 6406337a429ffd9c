"""Lungs of JSRT with all masks, by the recipe of Montgomery and Shenzhen.

Not measured: no copy of JSRT was available. The builder is tested on phantoms
in its layout.

Prepare: python -m launch.prepare_data --dataset=jsrt --raw_dir=RAW
Run: python -m launch.train --config=configs/jsrt.py --workdir=runs/jsrt
"""

from configs import base


def get_config(arg=None):
  arg = base.parse_arg(arg)
  config = base.lung_recipe()
  config.data.dataset = "jsrt"
  config.data.split = "idiap"
  config.optim.warmup_epochs = 3.0
  config.train.epochs = 110
  config.train.eval_every_epochs = 10
  return base.quick(config) if arg.quick else config
