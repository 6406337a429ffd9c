"""Lungs of Montgomery and Shenzhen together, all masks: one network for both.

The report has each set's figures besides (`by_source`). results/main_path.md.

Prepare both sets, then:
Run: python -m launch.train --config=configs/lungs.py --workdir=runs/lungs
"""

from configs import base


def get_config(arg=None):
  arg = base.parse_arg(arg)
  config = base.lung_recipe()
  config.data.dataset = "montgomery+shenzhen"
  config.data.split = "idiap"
  config.optim.warmup_epochs = 2.0
  config.optim.weight_decay = 0.05
  config.augment.geometry_probability = 0.7
  config.augment.noise = 0.03
  config.train.epochs = 40
  config.train.eval_every_epochs = 4
  return base.quick(config) if arg.quick else config
