"""Lungs of Shenzhen, all masks: our recipe.

Measured: validation lung Dice .956 (idiap, one seed); 24 epochs of 25 steps,
18 minutes on two busy CPU cores. results/main_path.md.

Prepare: python -m launch.prepare_data --dataset=shenzhen --raw_dir=RAW
Run: python -m launch.train --config=configs/shenzhen.py --workdir=runs/sz
"""

from configs import base


def get_config(arg=None):
  arg = base.parse_arg(arg)
  config = base.lung_recipe()
  config.data.dataset = "shenzhen"
  config.data.split = "idiap"
  config.loss.name = "kl_tversky"
  config.optim.warmup_epochs = 2.0
  config.optim.weight_decay = 0.05  # it overfits after 300 steps at 1e-4
  config.augment.geometry_probability = 0.9
  config.augment.noise = 0.05
  config.eval.largest_components = 2  # lungs; .0003 on validation images
  config.train.epochs = 24
  config.train.eval_every_epochs = 4
  return base.quick(config) if arg.quick else config
