"""Lungs of Shenzhen with all masks.

Measured: validation lung Dice 0.956 and 0.958 (idiap split, two seeds), the two
networks averaged 0.957; 24 epochs of 25 steps, 16 minutes on two CPU cores with
AVX-512. Base width 16: 0.956, 7 minutes. See results/archive/main_path.md.

Prepare: python -m launch.prepare_data --dataset=shenzhen --raw_dir=RAW
Run: python -m launch.train --config=configs/shenzhen.py --workdir=runs/sz
"""

from configs import base


def get_config(arg=None):
  arg = base.parse_arg(arg)
  config = recipe()
  config.model.base_width = 32
  return base.quick(config) if arg.quick else config


def recipe():
  """Return the recipe for comparisons: base width 16, a third of the time."""
  config = base.lung_recipe()
  config.data.dataset = "shenzhen"
  config.data.split = "idiap"
  config.loss.name = "kl_tversky"
  config.optim.warmup_epochs = 2.0
  config.optim.weight_decay = 0.05  # 1e-4 overfits after 300 steps
  config.augment.geometry_probability = 0.9
  config.augment.noise = 0.05
  config.eval.largest_components = 2  # two lungs; Dice + 0.0003 in validation
  config.train.epochs = 24
  config.train.eval_every_epochs = 4
  return config
