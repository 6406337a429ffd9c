"""Lungs of simulated phantoms: a demonstration without any download.

Measured: test lung Dice 0.982 (seed 0), see results/archive/main_path.md.
Run: python -m launch.train --config=configs/phantom.py --workdir=runs/phantom
"""

from configs import base


def get_config(arg=None):
  arg = base.parse_arg(arg)
  config = base.get_config()
  config.data.dataset = "phantom"
  config.model.base_width = 8
  config.optim.learning_rate = 2e-3
  config.optim.weight_decay = 1e-4
  config.augment.rotate_degrees = 10.0
  config.augment.scale = 0.1
  config.augment.shift = 0.05
  config.augment.gamma = 0.3
  config.eval.largest_components = (
    2  # two lungs; Dice + 0.0025 on appau_phantom
  )
  config.train.epochs = 20
  return base.quick(config) if arg.quick else config
