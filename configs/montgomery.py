"""Lungs of Montgomery with all masks.

Measured: validation lung Dice 0.981 (idiap split, one seed), 140 epochs of 6
steps, 20 minutes on two CPU cores with AVX-512. Base width 16 and 200 epochs:
0.980, 12 minutes. See results/archive/main_path.md.

Prepare: python -m launch.prepare_data --dataset=montgomery --raw_dir=RAW
Run: python -m launch.train --config=configs/montgomery.py --workdir=runs/mc
"""

from configs import base


def get_config(arg=None):
  arg = base.parse_arg(arg)
  config = recipe()
  config.model.base_width = 32
  config.train.epochs = 140
  return base.quick(config) if arg.quick else config


def recipe():
  """Return the recipe for comparisons: base width 16, a third of the time."""
  config = base.lung_recipe()
  config.data.dataset = "montgomery"
  config.data.split = "idiap"
  config.optim.warmup_epochs = 5.0
  config.train.epochs = 200
  config.train.eval_every_epochs = 10
  return config
