"""Lungs of Shenzhen, all masks: our recipe.

Measured with KLTV, not with this loss: validation lung Dice .955 (idiap, one
seed); 45 epochs of 25 steps at about 0.9 s. results/main_path.md.

Prepare: python -m launch.prepare_data --dataset=shenzhen --raw_dir=RAW
Run: python -m launch.train --config=configs/shenzhen.py --workdir=runs/sz
"""

from configs import base


def get_config(arg=None):
  arg = base.parse_arg(arg)
  config = base.lung_recipe()
  config.data.dataset = "shenzhen"
  config.data.split = "idiap"
  config.optim.warmup_epochs = 2.0
  config.train.epochs = 45
  config.train.eval_every_epochs = 4
  return base.quick(config) if arg.quick else config
