"""Lungs of Shenzhen, all masks: our recipe.

Measured with KLTV: validation lung Dice .955 (idiap, one seed); 45 epochs of 25
steps at about 0.9 s on two CPU cores. results/main_path.md.

Prepare: python -m launch.prepare_data --dataset=shenzhen --raw_dir=RAW
Run: python -m launch.train --config=configs/shenzhen.py --workdir=runs/sz
"""

from configs import base


def get_config(arg=None):
  arg = base.parse_arg(arg)
  config = base.get_config()
  config.data.dataset = "shenzhen"
  config.data.split = "idiap"
  config.model.preset = "ppau_unet"
  config.model.base_width = 16
  config.loss.name = "cross_entropy_tversky"
  config.loss.fp_weight = 0.5
  config.loss.fn_weight = 0.5
  config.optim.learning_rate = 2e-3
  config.optim.weight_decay = 1e-4
  config.optim.warmup_epochs = 2.0
  config.augment.rotate_degrees = 15.0
  config.augment.scale = 0.15
  config.augment.shift = 0.08
  config.augment.geometry_probability = 0.6
  config.augment.gamma = 0.4
  config.augment.contrast = 0.2
  config.augment.brightness = 0.1
  config.eval.test_time_augmentation = True
  config.train.epochs = 45
  config.train.eval_every_epochs = 4
  return base.quick(config) if arg.quick else config
