"""Semi-supervised recipe with a tenth of Shenzhen's masks and classes.

Measured with KL-Tversky, alpha 0.3, beta 0.7 and strong views without
copy-paste: validation lung Dice 0.951 ± 0.002, AUROC 0.863 ± 0.007 (idiap
split, three draws of 40 masks). Without D, where only lungs matter: 0.953
(configs/baselines.py, no_discriminator). See results/archive/appau.md.

Prepare: python -m launch.prepare_data --dataset=shenzhen --raw_dir=RAW
Run: python -m launch.train --workdir=runs/appau_sz \
  --config=configs/appau_shenzhen.py
"""

from configs import base, shenzhen


def get_config(arg=None):
  arg = base.parse_arg(arg)
  config = base.semi_supervised(shenzhen.recipe())
  return base.quick(config) if arg.quick else config
