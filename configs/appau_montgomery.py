"""Our recipe at a tenth of Montgomery's masks and classes.

Measured before strong views had a pass and labelled images in them, and D's
classes stages of their own: validation lung Dice .969, AUROC .64 (idiap, three
draws of ten); as it is, without D, where only lungs matter: .974
(configs/baselines.py, no_discriminator). With one mask set model.norm=group.
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
