"""Our recipe at a tenth of Shenzhen's masks and classes.

Measured with KL-Tversky, alpha .3, beta .7, strong views without labelled
images: validation lung Dice .951 +- .002, AUROC .863 +- .007 (idiap, three
draws of 40); where only lungs matter, without D: .953 (configs/baselines.py,
no_discriminator). results/archive/appau.md.

Prepare: python -m launch.prepare_data --dataset=shenzhen --raw_dir=RAW
Run: python -m launch.train --workdir=runs/appau_sz \
  --config=configs/appau_shenzhen.py
"""

from configs import base, shenzhen


def get_config(arg=None):
  arg = base.parse_arg(arg)
  config = base.semi_supervised(shenzhen.recipe())
  return base.quick(config) if arg.quick else config
