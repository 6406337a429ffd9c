"""APPAU-Net on phantoms: two players, a tenth of the labels.

Run: python -m launch.train --workdir=runs/appau_phantom \
  --config=configs/appau_phantom.py
"""

from configs import base, phantom


def get_config(arg=None):
  arg = base.parse_arg(arg)
  config = base.two_players(phantom.get_config())
  config.discriminator.base_width = 8
  config.train.epochs = 40
  return base.quick(config) if arg.quick else config
