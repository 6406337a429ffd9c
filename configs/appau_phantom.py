"""APPAU-Net on phantoms: a tenth of the masks, every class known.

Measured: test lung Dice .985 with 14 masks (seed 0, 11 minutes on two busy
CPU cores); the class is not learnt, AUROC .53. results/appau.md.

Run: python -m launch.train --workdir=runs/appau_phantom \
  --config=configs/appau_phantom.py
"""

from configs import base, phantom


def get_config(arg=None):
  arg = base.parse_arg(arg)
  config = base.semi_supervised(phantom.get_config())
  config.data.class_fraction = 1.0
  config.discriminator.base_width = 16
  config.optim.warmup_epochs = 2.0
  config.train.epochs = 40
  return base.quick(config) if arg.quick else config
