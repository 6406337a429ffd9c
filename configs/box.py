"""The model in the package: five structures, learnt from phantoms alone.

Draw: python -m launch.prepare_data --dataset=phantom --phantom_count=4000 \
  --phantom_seed=7 --phantom_wide --data_dir=data/box
Run: python -m launch.train --config=configs/box.py --workdir=runs/box

Some wide phantoms have white lungs, which the check `polarity` would refuse.
"""

from configs import base, jsrt_structures


def get_config(arg=None):
  arg = base.parse_arg(arg)
  config = base.lung_recipe()
  config.data.dataset = "phantom"
  config.data.data_dir = "data/box"
  config.data.split = "fold-0-of-20"
  config.data.accept = ("polarity",)
  config.data.structures = jsrt_structures.STRUCTURES
  config.model.base_width = 8
  config.loss.side_target = "soft"
  config.augment.scale = 0.2
  config.augment.shift = 0.1
  config.augment.gamma = 0.8
  config.augment.contrast = 0.4
  config.augment.brightness = 0.2
  config.augment.noise = 0.05
  config.eval.largest_components = 1
  config.eval.test_time_augmentation = False
  config.train.epochs = 8
  config.train.eval_every_epochs = 2
  return base.quick(config) if arg.quick else config
