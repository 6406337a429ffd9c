"""Semi-supervised recipe with a tenth of Montgomery's masks and classes.

Measured with an older recipe (strong views in the pass of the labelled images
and without copy-paste, D's classes from the stages of the pair): validation
lung Dice 0.969, AUROC 0.64 (idiap split, three draws of ten masks). Without D,
where only lungs matter: 0.974 with the present one (configs/baselines.py,
no_discriminator). For a single mask set model.norm=group. See
results/archive/appau.md.

Prepare: python -m launch.prepare_data --dataset=montgomery --raw_dir=RAW
Run: python -m launch.train --workdir=runs/appau_mc \
  --config=configs/appau_montgomery.py
"""

from configs import base, montgomery


def get_config(arg=None):
  arg = base.parse_arg(arg)
  config = base.semi_supervised(montgomery.recipe())
  return base.quick(config) if arg.quick else config
